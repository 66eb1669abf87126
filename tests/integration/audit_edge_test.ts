/** Exactly one record of every exchange, however it ends, and what stands in it. @module */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, test } from "node:test";

import type { AuditRecord } from "../../src/audit/record.ts";
import type { PolicyDecider, TunnelSettings } from "../../src/edge/edge_options.ts";
import { ORDINARY_METHODS } from "../../src/policy/methods.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { ask, openRequest, readBody, startServer, type TestServer } from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import { type Bench, MCP_TUNNEL, startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";
import { waitFor } from "../support/tunnel_context.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const AWARE: TunnelSettings = { ...MCP_TUNNEL, auth: "edge", mode: "aware" };
const KEEPING: TunnelSettings = {
  ...AWARE,
  name: "keeping",
  path: "/keeping/mcp",
  auditArguments: { keep: ["path"], maxBytes: 1_000 },
};
const OFFLINE: TunnelSettings = { ...WEB_TUNNEL, name: "offline", path: "/offline" };
const RULE = {
  list: "deny_tools",
  pattern: "execute_*",
  file: "user.toml",
  line: 4,
  column: 15,
} as const;
const POLICY: PolicyDecider = {
  version: "v1",
  decide: (_tunnel, _principal, { kind, name }) =>
    kind === "method" && ORDINARY_METHODS.has(name)
      ? { allowed: true, reason: "ordinary_method", layer: "user" }
      : kind === "tool" && name.startsWith("execute_")
      ? { allowed: false, reason: "deny_rule", layer: "user", rule: RULE }
      : { allowed: true, reason: "default_allow", layer: "tunnel" },
};
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

let upstream: TestServer;
let bench: Bench;
let records: AuditRecord[];
let intents: AuditRecord[];
let blocked: string | undefined;
let answerIntent: ((record: AuditRecord) => Promise<boolean>) | undefined;
let respond: (request: IncomingMessage, response: ServerResponse) => void;

before(async () => {
  upstream = await startServer((request, response) => {
    readBody(request).then(() => {
      if (request.method === "OPTIONS") return void response.end();
      respond(request, response);
    }, () => response.destroy());
  });
  bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [AWARE, KEEPING, WEB_TUNNEL, OFFLINE],
    config: { maxBodyBytes: 2_000, bodyTimeoutMs: 60_000 },
    edge: {
      policy: POLICY,
      audit: {
        blockedBy: () => blocked,
        write: (record) => void records.push(structuredClone(record)),
        intent: (record) => {
          if (answerIntent === undefined) return undefined;
          intents.push(structuredClone(record));
          return answerIntent(record);
        },
        digest: (purpose, text) => `${purpose}:${text.length}`,
      },
      clientAuth: {
        authenticate: ({ authorization }) =>
          authorization === undefined ? { outcome: "missing" } : {
            outcome: "authenticated",
            principal: { user: authorization.slice(7), groups: ["staff"], how: "user_token" },
            validUntilMs: Infinity,
            stillValid: () => true,
          },
        isCheap: () => false,
        resourceFacts: () => undefined,
      },
    },
  });
  await bench.rift([
    ...[AWARE, KEEPING].map(({ name }) => ({
      tunnel: name,
      upstream: `${upstream.url}/mcp`,
      protocol: "mcp" as const,
    })),
    { tunnel: "web", upstream: upstream.url, protocol: "http" },
  ]).ready;
});

after(async () => {
  await bench.close();
  await upstream.close();
});

function begin(value: unknown = { jsonrpc: "2.0", id: 1, result: {} }): void {
  records = [];
  intents = [];
  blocked = undefined;
  answerIntent = undefined;
  respond = (_request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(value));
  };
}

function call(method: string, params: object = {}, headers: Record<string, string> = {}) {
  return {
    method: "POST",
    headers: {
      authorization: "Bearer alice",
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2025-11-25",
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  };
}

const url = (tunnel: string) => bench.edge.tunnelUrl(tunnel);

/** The only record, once it is there; more would be a fault. */
async function record(): Promise<AuditRecord> {
  await waitFor(() => records.length > 0 && bench.edge.status().exchanges === 0);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(records.length, 1);
  return records[0]!;
}

test("The record of a call says who, what, by which rule, and how it ended", async () => {
  begin();
  const question = call("tools/call", { name: "read_file", arguments: { path: "/a" } }, {
    traceparent: TRACE,
    "mcp-session-id": "s1",
  });
  const first = await ask(url("code"), {
    ...call("initialize", {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "c", version: "1" },
    }),
  });
  assert.equal(first.status, 200);
  begin();
  respond = (_request, response) => {
    response.writeHead(200, { "content-type": "application/json", "mcp-session-id": "s1" });
    response.end('{"jsonrpc":"2.0","id":1,"result":{}}');
  };
  await ask(
    url("code"),
    call("initialize", {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "c", version: "1" },
    }),
  );
  assert.equal((await record()).session, "session:2");
  begin();
  const answer = await ask(url("code"), question);
  const { time, duration_ms: took, connection, ...rest } = await record();

  assert.equal(answer.headers["mcptun-exchange"], rest.exchange);
  assert.ok(Date.now() - time < 60_000);
  assert.ok(typeof took === "number" && took >= 0);
  assert.ok(connection !== undefined && connection !== "");
  assert.deepEqual(JSON.parse(JSON.stringify(rest)), {
    type: "exchange",
    edge: rest.edge,
    exchange: rest.exchange,
    tunnel: "code",
    client: "127.0.0.1",
    user: "alice",
    groups: ["staff"],
    how: "user_token",
    transport: "quic",
    rift: rest.rift,
    era: "legacy",
    protocol: "2025-11-25",
    http_method: "POST",
    http_path: "/code/mcp",
    status: 200,
    method: "tools/call",
    kind: "tool",
    name: "read_file",
    rpc_id: "1",
    decision: "allow",
    layer: "tunnel",
    reason: "default_allow",
    session: "session:2",
    policy: "v1",
    result: "ok",
    bytes_in: Buffer.byteLength(question.body),
    bytes_out: 36,
    traceparent: TRACE,
  });
});

test("The version on record of an initialize is the one that it asks for", async () => {
  const asked = ["2025-06-18", `2099-01-01${"x".repeat(300)}`];
  for (const protocolVersion of asked) {
    begin({ jsonrpc: "2.0", id: 1, result: {} });
    const clientInfo = { name: "c", version: "1" };
    const question = call("initialize", { protocolVersion, capabilities: {}, clientInfo });
    const { "mcp-protocol-version": _, ...headers } = question.headers;
    await ask(url("code"), { ...question, headers });
    const { method, protocol = "" } = await record();

    assert.equal(method, "initialize");
    assert.equal(protocol, protocolVersion.slice(0, 257));
  }
  assert.equal(asked.length, 2);
});

test("A denied call is on record with the rule and its place", async () => {
  begin();
  const answer = await ask(url("code"), call("tools/call", { name: "execute_it" }));
  const { decision, layer, reason, rule, rule_at, result, error_code, status, bytes_out } =
    await record();

  assert.deepEqual({ decision, layer, reason, rule, rule_at, result, error_code, status }, {
    decision: "deny",
    layer: "user",
    reason: "deny_rule",
    rule: 'deny_tools "execute_*"',
    rule_at: "user.toml:4:15",
    result: "denied",
    error_code: -32602,
    status: 200,
  });
  assert.equal(bytes_out, answer.body.length);
  assert.equal(answer.headers["mcptun-exchange"], records[0]?.exchange);
});

test("Errors of tools and of JSON-RPC, filtered lists and events are told apart", async () => {
  const cases: readonly (readonly [string, object, unknown, Partial<AuditRecord>])[] = [
    [
      "tools/call",
      { name: "a" },
      { jsonrpc: "2.0", id: 1, result: { content: [], isError: true } },
      { result: "tool_error", status: 200 },
    ],
    [
      "tools/call",
      { name: "a" },
      { jsonrpc: "2.0", id: 1, error: { code: -32050, message: "x" } },
      { result: "rpc_error", error_code: -32050 },
    ],
    [
      "tools/list",
      {},
      { jsonrpc: "2.0", id: 1, result: { tools: [{ name: "a" }, { name: "execute_b" }] } },
      { result: "ok", items_before: 2, items_after: 1 },
    ],
  ];
  let ran = 0;
  for (const [method, params, value, expected] of cases) {
    begin(value);
    await ask(url("code"), call(method, params));
    const found = await record();
    for (const [key, wanted] of Object.entries(expected)) {
      assert.equal(found[key as keyof AuditRecord], wanted, `${method} ${key}`);
    }
    ran++;
  }
  assert.equal(ran, 3);

  begin();
  respond = (_request, response) => {
    response.setHeader("content-type", "text/event-stream");
    response.write('data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n');
    response.end('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n');
  };
  await ask(url("code"), call("tools/call", { name: "a" }));
  assert.equal((await record()).events, 2);
});

test("What the operator asked for is kept of the arguments, and nothing without being asked", async () => {
  const question = call("tools/call", { name: "a", arguments: { path: "/p", secret: "s" } });
  begin();
  await ask(url("code"), question);
  assert.equal((await record()).arguments, undefined);

  begin();
  await ask(url("keeping"), question);
  assert.deepEqual((await record()).arguments, { path: "/p" });
});

test("A request that gets nowhere has one record too", async () => {
  const cases: readonly (readonly [string, Parameters<typeof ask>[1], Partial<AuditRecord>])[] = [
    ["code", { method: "POST", body: "{}" }, { status: 401, code: "UNAUTHENTICATED" }],
    ["code", { method: "PUT" }, { status: 405, code: "METHOD_REFUSED", result: "refused" }],
    ["web", { method: "POST", body: "x".repeat(2_001) }, { status: 413, code: "BODY_TOO_LARGE" }],
    ["offline", {}, { status: 503, code: "TUNNEL_OFFLINE", result: "upstream_error" }],
    [
      "code",
      { ...call("ping"), body: '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}' },
      { status: 400, reason: "duplicate", result: "refused", user: "alice" },
    ],
    [
      "code",
      call("ping", {}, { "mcp-session-id": "somebody-elses" }),
      { status: 404, result: "denied", reason: "not_owner" },
    ],
    [
      "code",
      call("tasks/get", { taskId: "somebody-elses" }, { "mcp-protocol-version": "2025-11-25" }),
      { kind: "task", result: "denied", layer: "ownership", reason: "not_owner" },
    ],
  ];
  let ran = 0;
  for (const [tunnel, question, expected] of cases) {
    begin();
    const answer = await ask(url(tunnel), question);
    const found = await record();
    assert.equal(answer.headers["mcptun-exchange"], found.exchange);
    for (const [key, wanted] of Object.entries(expected)) {
      assert.equal(found[key as keyof AuditRecord], wanted, `${answer.status} ${key}`);
    }
    ran++;
  }
  assert.equal(ran, 7);
});

test("A transparent tunnel has the facts of HTTP on record, without the query", async () => {
  begin();
  respond = (_request, response) => response.writeHead(404).end("gone");
  await ask(`${url("web")}/a/b?token=secret`, { method: "POST", body: "12345" });
  const found = await record();

  assert.equal(found.http_path, "/web/a/b");
  assert.equal(found.status, 404);
  assert.equal(found.result, "ok");
  assert.equal(found.bytes_in, 5);
  assert.equal(found.bytes_out, 4);
  assert.equal(found.decision, undefined);
  assert.equal(found.user, undefined);
});

test("A client that leaves, and a server that breaks off, have one record each", async () => {
  begin();
  let held: ServerResponse | undefined;
  respond = (_request, response) => void (held = response);
  const leaving = openRequest(url("web"));
  leaving.request.on("error", () => {});
  leaving.response.catch(() => {});
  leaving.request.end();
  await waitFor(() => held !== undefined);
  leaving.request.destroy();
  assert.equal((await record()).result, "aborted_by_client");

  begin();
  respond = (_request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("half");
    setImmediate(() => response.destroy());
  };
  await assert.rejects(ask(url("web"), {}));
  const broken = await record();
  assert.equal(broken.result, "upstream_error");
  assert.equal(broken.bytes_out, 4);

  begin();
  const client = await RawClient.open(bench.edge.url);
  const { host } = new URL(bench.edge.url);
  client.send(
    `POST /code/mcp HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer a\r\n` +
      "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
  );
  await waitFor(() => bench.edge.status().clientConnections > 0);
  await ask(url("offline"), {});
  await waitFor(() => records.length === 1);
  begin();
  client.destroy();
  assert.equal((await record()).result, "aborted_by_client");
});

test("Nothing goes on before its intent is on record, nor while records cannot be written", async () => {
  let asked = 0;
  begin();
  respond = (_request, response) => {
    asked++;
    response.end("{}");
  };
  let write: (isWritten: boolean) => void = () => {};
  answerIntent = () => new Promise((resolve) => write = resolve);
  const waiting = ask(url("web"), {});
  await waitFor(() => intents.length === 1);
  assert.equal(asked, 0);
  assert.equal(intents[0]?.type, "intent");
  write(true);
  assert.equal((await waiting).status, 200);
  assert.equal((await record()).exchange, intents[0]?.exchange);
  assert.equal(asked, 1);

  begin();
  respond = () => asked++;
  answerIntent = () => Promise.resolve(false);
  assert.equal((await ask(url("web"), {})).status, 503);
  assert.equal((await record()).code, "AUDIT_UNAVAILABLE");

  begin();
  respond = () => asked++;
  blocked = "disk full: /secret/path";
  const refused = await ask(url("web"), {});
  assert.equal(refused.status, 503);
  assert.doesNotMatch(String(refused.body), /secret/);
  assert.equal(asked, 1);
});

test("Requests that reach no tunnel are not exchanges", async () => {
  begin();
  await ask(`${bench.edge.url}/nowhere`, {});
  await ask(url("web"), { headers: { host: "evil.example" } });
  await ask(`${bench.edge.url}/.well-known/oauth-protected-resource/code/mcp`, {});
  await ask(url("web"), {});

  assert.equal((await record()).tunnel, "web");
});
