/** Web pages of other origins, and the documents that OAuth clients look for at a host's root. @module */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { answerJson, ask, startServer, type TestServer } from "../support/http_probe.ts";
import { type Bench, MCP_TUNNEL, startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const PAGE = "https://good.example";
const GUARDED = { ...MCP_TUNNEL, name: "guarded", path: "/guarded/mcp", auth: "edge" } as const;
const CLOSED = { ...MCP_TUNNEL, name: "closed", path: "/closed/mcp", origins: [] } as const;

let upstream: TestServer;
let bench: Bench;
let seen: string[] = [];

before(async () => {
  upstream = await startServer((request, response) => {
    request.resume();
    if (request.method !== "OPTIONS") seen.push(`${request.method} ${request.url}`);
    response.setHeader("access-control-allow-origin", "*");
    answerJson(response, { method: request.method, url: request.url });
  });
  bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [MCP_TUNNEL, GUARDED, CLOSED, WEB_TUNNEL],
    edge: {
      clientAuth: {
        authenticate: () => ({ outcome: "missing" }),
        isCheap: () => false,
        resourceFacts: () => ({ authorizationServers: ["https://login.example"], scopes: [] }),
      },
    },
  });
  await bench.rift([
    ...[MCP_TUNNEL, GUARDED, CLOSED].map(({ name }) => ({
      tunnel: name,
      upstream: `${upstream.url}/private`,
      protocol: "mcp" as const,
    })),
    { tunnel: "web", upstream: `${upstream.url}/base`, protocol: "http" },
  ]).ready;
});

after(async () => {
  await bench.close();
  await upstream.close();
});

test("A listed page gets its preflight answered before it shows a token", async () => {
  seen = [];
  const preflight = {
    method: "OPTIONS",
    headers: {
      origin: PAGE,
      "access-control-request-method": "POST",
      "access-control-request-headers":
        "authorization, content-type, mcp-protocol-version, Mcp-Param-region, x-evil",
    },
  };
  for (const name of ["code", "guarded"]) {
    const answer = await ask(bench.edge.tunnelUrl(name), preflight);

    assert.equal(answer.status, 204, name);
    assert.equal(answer.headers["access-control-allow-origin"], PAGE);
    assert.equal(answer.headers["access-control-allow-methods"], "GET, POST, DELETE");
    assert.equal(
      answer.headers["access-control-allow-headers"],
      "authorization, content-type, mcp-protocol-version, Mcp-Param-region",
    );
    assert.equal(answer.headers["access-control-allow-credentials"], undefined);
    assert.match(String(answer.headers.vary), /Origin/);
  }
  assert.deepEqual(seen, []);
});

test("A listed page may read answers and errors, with the edge's word on it alone", async () => {
  const served = await ask(bench.edge.tunnelUrl("code"), { headers: { origin: PAGE } });
  const refused = await ask(bench.edge.tunnelUrl("guarded"), { headers: { origin: PAGE } });
  const metadata = await ask(
    `${bench.edge.url}/.well-known/oauth-protected-resource/guarded/mcp`,
    { headers: { origin: PAGE } },
  );
  const notAPage = await ask(bench.edge.tunnelUrl("code"));

  for (const answer of [served, refused, metadata]) {
    assert.equal(answer.headers["access-control-allow-origin"], PAGE);
    assert.match(String(answer.headers["access-control-expose-headers"]), /WWW-Authenticate/);
  }
  assert.deepEqual([served.status, refused.status, metadata.status], [200, 401, 200]);
  assert.equal(notAPage.headers["access-control-allow-origin"], "*");
});

test("Pages that are not listed get nothing, whatever they send", async () => {
  seen = [];
  const cases = [
    ["closed", { origin: PAGE }],
    ["code", { origin: "https://evil.example" }],
    ["code", { origin: "http://good.example" }],
    ["code", { origin: "https://good.example.evil.example" }],
    ["code", { origin: "https://GOOD.example" }],
    ["code", { origin: "null" }],
    ["code", { origin: "http://[::1].evil.example" }],
    ["code", { "sec-fetch-site": "cross-site" }],
    ["guarded", { origin: "https://evil.example", authorization: "Bearer x" }],
  ] as const;

  let count = 0;
  for (const [name, headers] of cases) {
    for (const method of ["GET", "POST", "OPTIONS"]) {
      const preflight = method === "OPTIONS" ? { "access-control-request-method": "POST" } : {};
      const answer = await ask(bench.edge.tunnelUrl(name), {
        method,
        headers: { ...headers, ...preflight, "content-type": "text/plain" },
      });
      assert.equal(answer.status, 403, `${method} ${JSON.stringify(headers)}`);
      assert.equal(answer.headers["access-control-allow-origin"], undefined);
      count++;
    }
  }
  assert.equal(count, 3 * cases.length);
  assert.deepEqual(seen, []);
});

test("Well-known documents of a private server that authenticates pass through unchanged", async () => {
  seen = [];
  const paths = [
    "/.well-known/oauth-protected-resource/code/mcp",
    "/.well-known/oauth-authorization-server/code/mcp",
    "/.well-known/openid-configuration/code/mcp?x=1",
    "/code/mcp/.well-known/openid-configuration",
  ];
  for (const path of paths) {
    const answer = await ask(`${bench.edge.url}${path}`);
    assert.equal(answer.status, 200, path);
  }
  const post = await ask(`${bench.edge.url}${paths[0]}`, { method: "POST", body: "{}" });

  assert.deepEqual(seen, paths.map((path) => `GET ${path}`));
  assert.equal(post.status, 405);
  assert.equal(post.headers.allow, "GET");
});

test("A guarded tunnel's private server is not asked for well-known documents", async () => {
  seen = [];
  const metadata = await ask(`${bench.edge.url}/.well-known/oauth-protected-resource/guarded/mcp`);
  const server = await ask(`${bench.edge.url}/.well-known/oauth-authorization-server/guarded/mcp`);
  const root = await ask(`${bench.edge.url}/.well-known/oauth-protected-resource`);

  assert.equal(metadata.status, 200);
  assert.equal(JSON.parse(String(metadata.body)).resource, bench.edge.tunnelUrl("guarded"));
  assert.equal(server.status, 404);
  assert.equal(root.status, 404);
  assert.deepEqual(seen, []);
});
