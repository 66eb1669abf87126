import assert from "node:assert/strict";
import { test } from "node:test";

import { publicUrls } from "../../../src/edge/public_url.ts";

const PLAIN = { hosts: [], behindProxy: false };
const LOOPBACK = { scheme: "http", host: "127.0.0.1", port: 8080, loopback: true } as const;
const PUBLIC = { scheme: "https", host: "0.0.0.0", port: 443, loopback: false } as const;
const PATH = { path: "/code/mcp" };
const HOST = { path: "/mcp", host: "code.example.com" };

test("publicUrls() gives each tunnel one URL that follows from the configuration alone", () => {
  const cases = [
    [PLAIN, LOOPBACK, PATH, "http://127.0.0.1:8080/code/mcp"],
    [PLAIN, { ...LOOPBACK, host: "::1" }, PATH, "http://[::1]:8080/code/mcp"],
    [PLAIN, LOOPBACK, HOST, "http://code.example.com:8080/mcp"],
    [{ ...PLAIN, hosts: ["a.example"] }, LOOPBACK, PATH, "http://127.0.0.1:8080/code/mcp"],
    [{ ...PLAIN, hosts: ["a.example"] }, PUBLIC, PATH, "https://a.example/code/mcp"],
    [
      { ...PLAIN, hosts: ["a.example"] },
      { ...PUBLIC, port: 8443 },
      PATH,
      "https://a.example:8443/code/mcp",
    ],
    [{ ...PLAIN, hosts: ["a.example:9443"] }, PUBLIC, PATH, "https://a.example:9443/code/mcp"],
    [PLAIN, PUBLIC, HOST, "https://code.example.com/mcp"],
    [PLAIN, PUBLIC, { path: "/", host: "wiki.example.com" }, "https://wiki.example.com"],
    [{ hosts: ["a.example"], behindProxy: true }, LOOPBACK, PATH, "https://a.example/code/mcp"],
    [{ hosts: ["a.example"], behindProxy: true }, LOOPBACK, HOST, "https://code.example.com/mcp"],
    [
      { ...PLAIN, publicUrl: "https://m.example:444" },
      LOOPBACK,
      PATH,
      "https://m.example:444/code/mcp",
    ],
    [{ ...PLAIN, publicUrl: "https://m.example" }, LOOPBACK, HOST, "https://code.example.com/mcp"],
  ] as const;

  let count = 0;
  for (const [config, bound, tunnel, url] of cases) {
    assert.equal(publicUrls(config, bound)(tunnel), url);
    count++;
  }
  assert.equal(count, cases.length);
});
