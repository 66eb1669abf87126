// Ways around the question who a client is: other methods, paths, types and versions, headers of
// ours, tokens that are not good. Nothing of it reaches a private server.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";

import { systemClock } from "../../src/clock.ts";
import type { TunnelSettings } from "../../src/edge/edge_options.ts";
import { clientAuthentication } from "../../src/identity/client_auth.ts";
import { silentLogger } from "../../src/log.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import {
  answerJson,
  ask,
  readBody,
  sha256,
  startServer,
  type TestServer,
} from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import {
  documents,
  goodClaims,
  issuerSettings,
  makeKey,
  signToken,
  type TestKey,
} from "../support/test_issuer.ts";
import { type Bench, type BenchOptions, MCP_TUNNEL, startBench } from "../support/tunnel_bench.ts";
import { WEB_TUNNEL } from "../support/tunnel_bench.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const ISSUER = "https://login.example.com";
const TOKEN = "mcpu_good";
const GUARDED_MCP: TunnelSettings = { ...MCP_TUNNEL, auth: "edge" };
const GUARDED_WEB: TunnelSettings = { ...WEB_TUNNEL, auth: "edge" };
const OPEN: TunnelSettings = { ...WEB_TUNNEL, name: "open", path: "/open" };
const TUNNELS = [GUARDED_MCP, GUARDED_WEB, OPEN];

let key: TestKey;
let rsa: TestKey;
let upstream: TestServer;
let bench: Bench;
let host: string;
/** Method, target, headers and hash of the body of everything that reached the private server. */
let seen: { readonly line: string; readonly headers: Headers; readonly sha256: string }[] = [];

before(async () => {
  key = await makeKey("key-1");
  rsa = await makeKey("rsa-1", "RS256");
  upstream = await startServer((request, response) => {
    void readBody(request).then((body) => {
      const headers = new Headers();
      request.rawHeaders.forEach((value, at) => {
        if (at % 2 === 1) headers.append(request.rawHeaders[at - 1]!, value);
      });
      // The rift looks whether anybody is there.
      if (request.method !== "OPTIONS") {
        seen.push({ line: `${request.method} ${request.url}`, headers, sha256: sha256(body) });
      }
      answerJson(response, {});
    });
  });
  bench = await startGuarded({
    edge: {
      proxyHeaders: { user: "x-auth-user", groups: "x-auth-groups" },
      clientAuth: clientAuthentication({
        auth: { issuers: [issuerSettings(ISSUER)] },
        userTokens: {
          check: (token) =>
            token === TOKEN
              ? { id: "1", user: "alice", groups: [], validUntilMs: Infinity }
              : undefined,
          isActive: () => true,
        },
        resourceOf: (tunnel) => bench.edge.tunnelUrl(tunnel),
        clock: systemClock,
        log: silentLogger,
        fetch: documents({ [`${ISSUER}/keys`]: { keys: [key.publicJwk, rsa.publicJwk] } }).fetch,
      }),
    },
  });
  host = new URL(bench.edge.url).host;
});

after(async () => {
  await bench.close();
  await upstream.close();
});

async function startGuarded(options: Partial<BenchOptions>): Promise<Bench> {
  const started = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: TUNNELS,
    ...options,
  });
  await started.rift([
    { tunnel: "code", upstream: `${upstream.url}/mcp`, protocol: "mcp" },
    { tunnel: "web", upstream: upstream.url, protocol: "http" },
    { tunnel: "open", upstream: upstream.url, protocol: "http" },
  ]).ready;
  return started;
}

interface Head {
  readonly status: number;
  readonly text: string;
}

/** One request on a connection of its own, byte by byte. */
async function send(line: string, headers: readonly string[] = [], body = ""): Promise<Head> {
  const client = await RawClient.open(bench.edge.url);
  const head = [`${line} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...headers];
  client.send(`${head.join("\r\n")}\r\n\r\n${body}`);
  await client.closed;
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(client.received)?.[1] ?? 0);
  return { status, text: client.received };
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
/** Spellings of the two guarded tunnels' paths, and what is near them. */
const PATHS = [
  ...["/code/mcp", "/code/mcp/", "//code/mcp", "/code//mcp", "/code/%6dcp", "/code/mcp%2f"],
  ...["/code/MCP", "/code/mcp;x", "/code/mcp?x", "/code/./mcp", "/code/mcp/..", "/code/mcp/x"],
  ...["/web", "/web/", "/web/x", "/web/%2e%2e/x", "/WEB", "/web?access=1", "/web/mcp"],
];

test("no method and no spelling of a path reaches a guarded tunnel without a proof", async () => {
  seen = [];
  let ran = 0;
  for (const path of PATHS) {
    for (const method of METHODS) {
      const { status, text } = await send(`${method} ${path}`);
      assert.ok([400, 401, 404, 405].includes(status), `${method} ${path}: ${status}`);
      assert.match(text, /cache-control: no-store/i, `${method} ${path}`);
      ran += 1;
    }
  }

  assert.equal(ran, 171);
  assert.deepEqual(seen, []);
});

/** What gateways elsewhere let pass by: types they do not judge, versions they do not know. */
const DISGUISES: readonly (readonly string[])[] = [
  ["Content-Type: application/json"],
  ["Content-Type: Application/JSON"],
  ["Content-Type: application/json;charset=utf-16"],
  ["Content-Type: text/plain"],
  ["Content-Type: application/json", "Content-Type: text/plain"],
  ["Content-Type:"],
  ["Content-Encoding: gzip"],
  ["Accept: text/html"],
  ["Accept: application/json, text/event-stream"],
  ["MCP-Protocol-Version: 2024-11-05"],
  ["MCP-Protocol-Version: 2025-03-26"],
  ["MCP-Protocol-Version: 2025-06-18"],
  ["MCP-Protocol-Version: 2025-11-25"],
  ["MCP-Protocol-Version: 2026-07-28"],
  ["MCP-Protocol-Version: 2099-01-01"],
  ["MCP-Protocol-Version: garbage"],
  ["Mcp-Session-Id: 0123456789abcdef0123456789abcdef"],
  ["Mcp-Method: ping"],
  ["Last-Event-ID: 7"],
  ["X-HTTP-Method-Override: OPTIONS"],
  ["X-Original-URL: /open"],
  ["Cookie: session=alice"],
  ["X-Auth-User: alice", "X-Auth-Groups: admin"],
  ["X-Forwarded-For: 127.0.0.1"],
  ["X-Forwarded-User: alice"],
  ["Mcptun-Principal: alice"],
  ["Proxy-Authorization: Bearer mcpu_good"],
  ["Authorization: Basic bWNwdV9nb29k"],
  ["Authorization: mcpu_good"],
];

test("no media type, version, session or header stands in for a proof", async () => {
  seen = [];
  let ran = 0;
  for (const disguise of DISGUISES) {
    for (const line of ["POST /code/mcp", "GET /code/mcp", "POST /web/x"]) {
      const { status } = await send(line, [...disguise, "Content-Length: 2"], "{}");
      assert.equal(status, 401, `${line} ${disguise.join(", ")}`);
      ran += 1;
    }
  }

  assert.equal(ran, 87);
  assert.deepEqual(seen, []);
});

test("an edge has no routes but its tunnels', and is no authorization server", async () => {
  const paths = [
    ...["/", "/index.html", "/healthz", "/readyz", "/metrics", "/status", "/admin", "/debug"],
    ...["/config", "/mcp", "/sse", "/messages", "/api", "/rifts", "/tunnels", "/.env"],
    ...["/authorize", "/token", "/register", "/oauth/authorize", "/oauth/token"],
    ...["/.well-known/mcp-servers", "/.well-known/mcp.json", "/.well-known/jwks.json"],
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
  ];
  let ran = 0;
  for (const path of paths) {
    for (const method of ["GET", "POST"]) {
      const { status, text } = await send(`${method} ${path}`, ["Content-Length: 0"]);
      assert.equal(status, 404, `${method} ${path}`);
      assert.doesNotMatch(text, /\bcode\b.*\bmcp\b|"web"|"open"/, `${path} names no tunnel`);
      ran += 1;
    }
  }

  assert.equal(ran, 52);
});

/** Headers that only the edge may set, with the spellings that some servers take for the same. */
const OURS = [
  ...["Mcptun-Principal", "Mcptun-Exchange", "mcptun-x", "X-Auth-User", "X-Auth-Groups"],
  ...["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-User"],
  ...["X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "Proxy-Authorization"],
  ...["Mcptun_Principal", "X_Auth_User", "X-Auth_Groups", "X_Forwarded_For", "X-Forwarded_Host"],
  ...["X_Real_IP", "Proxy_Authorization", "Transfer_Encoding", "Content_Length"],
];

test("headers that are the edge's own never come from a client", async () => {
  seen = [];
  let ran = 0;
  for (const name of OURS) {
    for (
      const [line, proof] of [["GET /open", "X-A: 1"], [
        "GET /web",
        `Authorization: Bearer ${TOKEN}`,
      ]]
    ) {
      const { status } = await send(line!, [`${name}: canary`, proof!]);
      assert.equal(status, 200, `${line} ${name}`);
      ran += 1;
    }
  }

  assert.equal(ran, 44);
  assert.equal(seen.length, 44);
  for (const { headers } of seen) {
    for (const [name, value] of headers) assert.ok(!value.includes("canary"), `${name}: ${value}`);
    assert.equal(headers.get("x-forwarded-for"), "127.0.0.1");
  }
});

test("an edge that cannot check anybody lets nobody in", async () => {
  seen = [];
  const blind = await startGuarded({});
  try {
    const statuses = [];
    for (const name of ["code", "web"]) {
      for (const token of [TOKEN, "undefined", ""]) {
        const headers = { authorization: `Bearer ${token}` };
        statuses.push((await ask(blind.edge.tunnelUrl(name), { headers })).status);
      }
      statuses.push((await ask(blind.edge.tunnelUrl(name))).status);
    }

    assert.deepEqual(statuses, Array<number>(8).fill(401));
    assert.deepEqual(seen, []);
  } finally {
    await blind.close();
  }
});

test("no JWT that is not good opens a guarded tunnel", async () => {
  seen = [];
  const url = bench.edge.tunnelUrl("code");
  const claims = goodClaims({ clock: systemClock, iss: ISSUER, aud: url });
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const confused = `${part({ alg: "HS256", kid: "rsa-1" })}.${part(claims)}`;
  const mac = createHmac("sha256", rsa.publicPem).update(confused).digest("base64url");
  const now = Math.floor(Date.now() / 1_000);
  const bad: readonly (readonly [string, string])[] = [
    ["alg none", `${part({ alg: "none" })}.${part(claims)}.`],
    ["key confusion", `${confused}.${mac}`],
    ["wrong audience", await signToken(key, { ...claims, aud: bench.edge.tunnelUrl("web") })],
    ["wrong issuer", await signToken(key, { ...claims, iss: "https://evil.example" })],
    ["expired", await signToken(key, { ...claims, exp: now - 60 })],
    ["not yet valid", await signToken(key, { ...claims, nbf: now + 600 })],
    ["another key", await signToken(await makeKey("key-1"), claims)],
    ["a key of its own", await signToken(await makeKey("key-9"), claims, { jku: "https://evil" })],
  ];
  let ran = 0;
  for (const [name, token] of bad) {
    const { status, headers } = await ask(url, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(status, 401, name);
    assert.match(String(headers["www-authenticate"]), /error="invalid_token"/, name);
    ran += 1;
  }
  const seenBefore = seen.length;
  const good = await signToken(key, claims);
  const let_in = await ask(url, { headers: { authorization: `Bearer ${good}` } });

  assert.equal(ran, 8);
  assert.equal(seenBefore, 0);
  assert.equal(let_in.status, 200);
  assert.equal(seen[0]?.headers.get("authorization"), null);
});

test("a compressed body is passed on as it came, and never unpacked on the way", async () => {
  seen = [];
  const bomb = gzipSync(Buffer.alloc(32 * 1_024 * 1_024), { level: 9 });
  const headers = { "content-encoding": "gzip", "content-type": "application/json" };
  const url = bench.edge.tunnelUrl("open");
  const passed = await ask(url, { method: "POST", headers, body: bomb });
  const large = await ask(url, {
    method: "POST",
    headers: { ...headers, "content-length": String(17 * 1_024 * 1_024) },
  });

  assert.equal(passed.status, 200);
  assert.ok(bomb.length < 64 * 1_024);
  assert.deepEqual(seen.map(({ sha256: hash }) => hash), [sha256(bomb)]);
  assert.equal(seen[0]?.headers.get("content-encoding"), "gzip");
  assert.equal(large.status, 413);
});
