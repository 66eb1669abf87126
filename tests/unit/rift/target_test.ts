import assert from "node:assert/strict";
import { test } from "node:test";

import { backoffMs } from "../../../src/rift/backoff.ts";
import { upstreamTarget } from "../../../src/rift/target.ts";

test("upstreamTarget() keeps every target below its base", () => {
  const { pathOf, origin } = upstreamTarget({
    tunnel: "t",
    upstream: "http://127.0.0.1:9090/base/",
    protocol: "http",
  });
  const refused = ["/../x", "/a/..", "//x", "/%2e%2e/x", "/a%2Fb", "/a\\b", "/..;x/y", "/./x"];

  assert.equal(origin, "http://127.0.0.1:9090");
  assert.equal(pathOf(""), "/base");
  assert.equal(pathOf("?q"), "/base?q");
  assert.equal(pathOf("/x?q=/../"), "/base/x?q=/../");
  for (const target of refused) assert.throws(() => pathOf(target), { code: "BAD_REQUEST" });
  assert.equal(refused.length, 8);
});

test("upstreamTarget() of an MCP tunnel takes a query and no path", () => {
  const { pathOf } = upstreamTarget({
    tunnel: "t",
    upstream: "http://localhost/mcp",
    protocol: "mcp",
  });

  assert.equal(pathOf("?s=1"), "/mcp?s=1");
  assert.throws(() => pathOf("/x"), { code: "BAD_REQUEST" });
});

test("upstreamTarget() names the tunnel whose upstream is not usable", () => {
  const refused = ["nonsense", "ftp://x/", "http://u:p@x/", "http://x/?q=1", "http://x/#f"];

  for (const upstream of refused) {
    assert.throws(() => upstreamTarget({ tunnel: "code", upstream, protocol: "mcp" }), {
      code: "CONFIG_INVALID",
      message: /"code"/,
    });
  }
  assert.equal(refused.length, 5);
});

test("backoffMs() doubles its bound up to the longest, and spreads below it", () => {
  const range = { firstMs: 250, maxMs: 30_000 };

  const bounds = [1, 2, 3, 8, 9, 1_000].map((attempt) => backoffMs(range, attempt, 1));

  assert.deepEqual(bounds, [250, 500, 1_000, 30_000, 30_000, 30_000]);
  assert.equal(backoffMs(range, 5, 0), 0);
});
