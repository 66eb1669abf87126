import assert from "node:assert/strict";
import { test } from "node:test";

import { HostTable, parseAuthority, parseListen } from "../../../src/edge/authority.ts";
import { Router } from "../../../src/edge/router.ts";
import { MCP_TUNNEL, WEB_TUNNEL } from "../../support/tunnel_bench.ts";

const LISTENER = { scheme: "https", port: 8443, loopback: false } as const;

test("Router prefers the longest prefix and gives what is left as the target", () => {
  const tunnels = [
    { settings: WEB_TUNNEL },
    { settings: { ...WEB_TUNNEL, name: "deep", path: "/web/deep" } },
    { settings: { ...WEB_TUNNEL, name: "root", path: "/" } },
    { settings: MCP_TUNNEL },
  ];
  const router = new Router(new HostTable(LISTENER, ["a.example"]), tunnels);
  const cases = [
    ["/web", "web", ""],
    ["/web/x?y", "web", "/x?y"],
    ["/web/deep/x", "deep", "/x"],
    ["/webdeep", "root", "/webdeep"],
    ["/", "root", "/"],
    ["/code/mcp?x", "code", "?x"],
    ["/code/mcp/x", "root", "/code/mcp/x"],
  ] as const;

  let count = 0;
  for (const [target, name, rest] of cases) {
    const route = router.find("a.example", target);
    assert.ok(typeof route === "object", target);
    assert.deepEqual([route.tunnel.settings.name, route.target], [name, rest]);
    count++;
  }
  assert.equal(count, cases.length);
});

test("HostTable compares names exactly, and ports where one is named", () => {
  const hosts = new HostTable(LISTENER, ["a.example", "b.example:9000"]);
  const cases = [
    ["a.example", true],
    ["A.EXAMPLE:8443", true],
    ["a.example:443", true],
    ["a.example:80", false],
    ["a.example.", false],
    ["x.a.example", false],
    ["b.example:9000", true],
    ["b.example", false],
    ["localhost:8443", false],
    ["a.example:99999", false],
    ["", false],
  ] as const;

  let count = 0;
  for (const [host, expected] of cases) {
    assert.equal(hosts.isEdge(host), expected, host);
    count++;
  }
  assert.equal(count, cases.length);
});

test("HostTable takes a loopback name of another port when it is configured", () => {
  const listener = { scheme: "http", port: 8080, loopback: true } as const;
  const hosts = new HostTable(listener, ["localhost:9000"]); // of a proxy on the same host

  assert.equal(hosts.isEdge("localhost:9000"), true);
  assert.equal(hosts.isEdge("localhost:8080"), true);
  assert.equal(hosts.isEdge("localhost:9001"), false);
  assert.equal(hosts.isEdge("127.0.0.1:9000"), false);
});

test("HostTable takes loopback names only on a loopback listener, with its port", () => {
  const hosts = new HostTable({ scheme: "http", port: 8080, loopback: true }, []);

  assert.equal(hosts.isEdge("localhost:8080"), true);
  assert.equal(hosts.isEdge("127.0.0.1:8080"), true);
  assert.equal(hosts.isEdge("[::1]:8080"), true);
  assert.equal(hosts.isEdge("localhost"), false);
  assert.equal(hosts.isEdge("localhost:8081"), false);
});

test("parseAuthority() refuses what is not a host and a port", () => {
  const refused = ["a b", "a@b", "a/b", "a:b", "[::1", "::1", "-", "a:1:2", "a..", "", "a:"];

  for (const text of refused) assert.equal(parseAuthority(text), undefined, text);
  assert.equal(refused.length, 11);
});

test("parseListen() gives an IPv6 address as sockets want it", () => {
  assert.deepEqual(parseListen("[::1]:80"), { host: "::1", port: 80 });
  assert.throws(() => parseListen("localhost"), { code: "CONFIG_INVALID" });
});

test("Router finds well-known documents of tunnels, and what the edge says of those it guards", () => {
  const guarded = { ...MCP_TUNNEL, name: "guarded", path: "/guarded/mcp", auth: "edge" } as const;
  const own = { ...MCP_TUNNEL, name: "own", host: "own.example", path: "/mcp" } as const;
  const site = { ...WEB_TUNNEL, name: "site", host: "site.example", path: "/" } as const;
  const tunnels = [MCP_TUNNEL, guarded, WEB_TUNNEL, own, site].map((settings) => ({ settings }));
  const router = new Router(new HostTable(LISTENER, ["a.example"]), tunnels);
  const resource = "/.well-known/oauth-protected-resource";
  const server = "/.well-known/oauth-authorization-server";
  const cases = [
    ["a.example", `${resource}/code/mcp`, "code well_known"],
    ["a.example", `${resource}/guarded/mcp`, "guarded metadata"],
    ["a.example", `${server}/code/mcp?x=1`, "code well_known"],
    ["a.example", "/.well-known/openid-configuration/code/mcp", "code well_known"],
    ["a.example", "/code/mcp/.well-known/openid-configuration", "code well_known"],
    ["a.example", `${server}/guarded/mcp`, "no_tunnel"],
    ["a.example", `${resource}/web`, "no_tunnel"],
    ["a.example", resource, "no_tunnel"],
    ["a.example", "/.well-known/other", "no_tunnel"],
    ["a.example", `${resource}/code/mcp/`, "no_tunnel"],
    ["a.example", `${resource}/../code/mcp`, "unsafe_target"],
    ["own.example", resource, "own well_known"],
    ["own.example", `${server}`, "own well_known"],
    ["own.example", `${resource}/mcp`, "own well_known"],
    ["own.example", `${resource}/code/mcp`, "no_tunnel"],
    ["site.example", resource, "site endpoint"],
  ] as const;

  let count = 0;
  for (const [host, target, expected] of cases) {
    const route = router.find(host, target);
    const found = typeof route === "string" ? route : `${route.tunnel.settings.name} ${route.what}`;
    assert.equal(found, expected, target);
    if (typeof route === "object") assert.equal(route.target, target);
    count++;
  }
  assert.equal(count, cases.length);
});
