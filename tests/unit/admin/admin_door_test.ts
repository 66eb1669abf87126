import assert from "node:assert/strict";
import { test } from "node:test";

import { type DoorRules, judgeAdmin } from "../../../src/admin/admin_door.ts";
import { Secret } from "../../../src/runtime/secret.ts";

const TOKEN = `mcpa_${"t".repeat(20)}`;
const RULES: DoorRules = {
  hosts: new Set(["localhost:9464", "127.0.0.1:9464", "[::1]:9464"]),
  operator: { token: new Secret(TOKEN) },
};

function judge(
  headers: readonly string[],
  { method = "GET", url = "/status", rules = RULES } = {},
) {
  return judgeAdmin({ method, url, rawHeaders: headers }, rules);
}

test("the door admits its own names, and knows the operator by the token", () => {
  let ran = 0;
  for (const host of ["localhost:9464", "127.0.0.1:9464", "[::1]:9464", "LOCALHOST:9464"]) {
    const stranger = judge(["Host", host]);
    const operator = judge(["Host", host, "Authorization", `Bearer ${TOKEN}`]);

    assert.ok(stranger.admitted && stranger.caller === "stranger");
    assert.ok(operator.admitted && operator.caller === "operator");
    ran++;
  }
  assert.equal(ran, 4);
});

test("the door refuses every other Host, none, and two", () => {
  const cases = [
    ["Host", "evil.example:9464"],
    ["Host", "localhost"],
    ["Host", "localhost:9465"],
    ["Host", "localhost:9464.evil.example"],
    ["Host", "127.0.0.1.evil.example:9464"],
    ["Host", ""],
    [],
    ["Host", "localhost:9464", "host", "localhost:9464"],
  ];
  let ran = 0;
  for (const headers of cases) {
    const verdict = judge([...headers, "Authorization", `Bearer ${TOKEN}`]);

    assert.ok(!verdict.admitted && verdict.code === "HOST_REFUSED", headers.join());
    ran++;
  }
  assert.equal(ran, 8);
});

test("the door refuses what a web page has caused, even of the same host", () => {
  const cases = [
    ["Origin", "https://evil.example"],
    ["Origin", "null"],
    ["Origin", "http://localhost:9464"],
    ["Sec-Fetch-Site", "cross-site"],
    ["Sec-Fetch-Site", "same-site"],
    ["Sec-Fetch-Site", "same-origin"],
    ["sec-fetch-site", "none", "Sec-Fetch-Site", "cross-site"],
  ];
  let ran = 0;
  for (const headers of cases) {
    const verdict = judge(["Host", "localhost:9464", ...headers], { url: "/healthz" });

    assert.ok(!verdict.admitted && verdict.code === "ORIGIN_REFUSED", headers.join());
    ran++;
  }
  assert.equal(ran, 7);
  assert.ok(judge(["Host", "localhost:9464", "Sec-Fetch-Site", "none"]).admitted);
});

test("the door takes GET and HEAD without a body", () => {
  const host = ["Host", "localhost:9464"];
  let ran = 0;
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", ""]) {
    const verdict = judge(host, { method });
    assert.ok(!verdict.admitted && verdict.code === "METHOD_REFUSED", method);
    ran++;
  }
  assert.equal(ran, 7);
  assert.ok(judge(host, { method: "HEAD" }).admitted);
  assert.ok(judge([...host, "Content-Length", "0"]).admitted);
  for (const body of [["Content-Length", "1"], ["Transfer-Encoding", "chunked"]]) {
    const verdict = judge([...host, ...body]);
    assert.ok(!verdict.admitted && verdict.code === "BAD_REQUEST");
  }
});

test("everything but the one right token is a stranger's", () => {
  const cases = [
    ["Authorization", "Bearer wrong"],
    ["Authorization", `Bearer ${TOKEN}x`],
    ["Authorization", `Bearer ${TOKEN.slice(0, -1)}`],
    ["Authorization", `Basic ${TOKEN}`],
    ["Authorization", TOKEN],
    ["Authorization", "Bearer "],
    ["Authorization", "Bearer undefined"],
    ["Authorization", `Bearer ${TOKEN}`, "Authorization", `Bearer ${TOKEN}`],
    ["X-Token", TOKEN],
  ];
  let ran = 0;
  for (const headers of cases) {
    const verdict = judge(["Host", "localhost:9464", ...headers]);
    assert.ok(verdict.admitted && verdict.caller === "stranger", headers.join());
    ran++;
  }
  assert.equal(ran, 9);
});

test("without a token nobody is the operator; where file permissions decide, everyone is", () => {
  const closed = judge(["Host", "localhost:9464", "Authorization", "Bearer undefined"], {
    rules: { ...RULES, operator: { token: undefined } },
  });
  const open = judge(["Host", "localhost:9464"], { rules: { ...RULES, operator: "anyone" } });

  assert.ok(closed.admitted && closed.caller === "stranger");
  assert.ok(open.admitted && open.caller === "operator");
});

test("the query is told apart from the path", () => {
  const verdict = judge(["Host", "localhost:9464"], { url: "/readyz?tunnel=a%2Fb?c" });

  assert.ok(verdict.admitted);
  assert.equal(verdict.path, "/readyz");
  assert.equal(verdict.query.get("tunnel"), "a/b?c");
});
