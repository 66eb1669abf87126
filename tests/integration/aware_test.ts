/** What an aware tunnel lets through, what its clients see, and who owns what. @module */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, test } from "node:test";

import type { PolicyDecider, TunnelSettings } from "../../src/edge/edge_options.ts";
import { FAMILIES } from "../../src/mcp/methods.ts";
import { ORDINARY_METHODS } from "../../src/policy/methods.ts";
import type { Decision } from "../../src/policy/decide.ts";
import { ANSWER_STALL_MS } from "../../src/limits.ts";
import type { ClientAuthentication } from "../../src/principal.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { fakeClock } from "../support/fake_clock.ts";
import { type Answer, ask, openRequest, readBody, startServer } from "../support/http_probe.ts";
import type { TestServer } from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import { type Bench, MCP_TUNNEL, startBench } from "../support/tunnel_bench.ts";
import { waitFor } from "../support/tunnel_context.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const AWARE: TunnelSettings = {
  ...MCP_TUNNEL,
  auth: "edge",
  mode: "aware",
  serverRequests: FAMILIES,
};
const EXPLAINING: TunnelSettings = {
  ...AWARE,
  name: "explaining",
  path: "/explaining/mcp",
  rules: { onDeny: "explain" },
  serverRequests: ["elicitation"],
};
const MIB = 1_024 * 1_024;
const MODERN = "2026-07-28";
const LEGACY = "2025-11-25";

/** Names that are allowed; a test may change it while streams are open. */
let allowed = new Set<string>();
const POLICY: PolicyDecider = {
  version: "test",
  decide: (_tunnel, { user }, { kind, name }): Decision =>
    user !== "eve" && kind === "method" && ORDINARY_METHODS.has(name) || allowed.has(name)
      ? { allowed: true, reason: "allow_rule", layer: "user" }
      : { allowed: false, reason: "not_in_allow_list", layer: "user" },
};

const CLIENTS: ClientAuthentication = {
  authenticate: ({ authorization = "Bearer alice" }) => {
    const [user = "", issuer] = authorization.slice(7).split("@");
    return {
      outcome: "authenticated",
      principal: { user, groups: [], how: issuer === undefined ? "user_token" : "jwt", issuer },
      validUntilMs: Infinity,
      stillValid: () => true,
    };
  },
  isCheap: () => false,
  resourceFacts: () => undefined,
};

let upstream: TestServer;
let bench: Bench;
let seen: { readonly request: IncomingMessage; readonly body: string }[] = [];
let respond: (response: ServerResponse, body: string) => void;

before(async () => {
  upstream = await startServer((request, response) => {
    readBody(request).then((body) => {
      if (request.method === "OPTIONS") return void response.end();
      seen.push({ request, body: String(body) });
      respond(response, String(body));
    }, () => response.destroy());
  });
  bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [AWARE, EXPLAINING],
    edge: {
      policy: POLICY,
      clientAuth: CLIENTS,
    },
  });
  await bench.rift([AWARE, EXPLAINING].map(({ name }) => ({
    tunnel: name,
    upstream: `${upstream.url}/mcp`,
    protocol: "mcp",
  }))).ready;
});

after(async () => {
  await bench.close();
  await upstream.close();
});

function start(): void {
  seen = [];
  allowed = new Set(["read_file", "file:///repo/a", "review"]);
  respond = (response) => json(response, { jsonrpc: "2.0", id: 1, result: {} });
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader("content-type", "application/json");
  response.end(typeof value === "string" ? value : JSON.stringify(value));
}

interface Call {
  readonly tunnel?: string;
  readonly user?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request of the modern era, with the headers that mirror it. */
function modern(method: string, params: Record<string, unknown> = {}, call: Call = {}) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": { sampling: {}, elicitation: { form: {} } },
  };
  const name = params.name ?? params.uri;
  return {
    method: "POST",
    headers: {
      ...common(call),
      "mcp-protocol-version": MODERN,
      "mcp-method": method,
      ...(typeof name === "string" ? { "mcp-name": name } : {}),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } }),
  };
}

function legacy(method: string, params: Record<string, unknown> = {}, call: Call = {}) {
  return {
    method: "POST",
    headers: { ...common(call), "mcp-protocol-version": LEGACY },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  };
}

function common({ user = "alice", headers = {} }: Call): Record<string, string> {
  return {
    authorization: `Bearer ${user}`,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    ...headers,
  };
}

function send(question: Parameters<typeof ask>[1], tunnel = "code"): Promise<Answer> {
  return ask(bench.edge.tunnelUrl(tunnel), question);
}

function parsed({ body }: Answer) {
  return JSON.parse(String(body));
}

test("An allowed call goes on as the bytes that came, and a denied one goes nowhere", async () => {
  start();
  const body = '{"jsonrpc":"2.0","id":12345678901234567890,"method":"tools/call",' +
    '"params":{"name":"read_file","arguments":{"n":1e2,"big":98765432109876543210}}}';
  const fine = await send({ ...legacy("tools/call"), body });
  const denied = await send(legacy("tools/call", { name: "execute_command" }));

  assert.equal(fine.status, 200);
  assert.deepEqual(seen.map(({ body }) => body), [body]);
  assert.equal(seen[0]?.request.headers.authorization, undefined);
  assert.equal(seen[0]?.request.headers["content-length"], String(body.length));
  assert.equal(denied.status, 200);
  assert.equal(parsed(denied).error.code, -32602);
});

test("A denial has the form of its era, and says why only where that is wanted", async () => {
  start();
  const cases = [
    [modern("tools/call", { name: "x" }), 200, -32602],
    [modern("prompts/get", { name: "x" }), 200, -32602],
    [modern("resources/read", { uri: "file:///etc/x" }), 200, -32602],
    [legacy("resources/read", { uri: "file:///etc/x" }), 200, -32002],
    [legacy("x/unknown"), 200, -32601],
    [modern("x/unknown"), 404, -32601],
  ] as const;
  let count = 0;
  for (const [question, status, code] of cases) {
    const hidden = await send(question);
    const explained = await send(question, "explaining");
    assert.equal(hidden.status, status, question.body);
    assert.equal(parsed(hidden).error.code, code, question.body);
    assert.equal(parsed(hidden).id, 1);
    assert.doesNotMatch(String(hidden.body), /policy|user layer|not_in_allow_list/);
    assert.match(String(explained.body), /Denied by the user layer/);
    count++;
  }
  assert.equal(count, cases.length);
  assert.deepEqual(seen, []);
});

test("Every version header, none and garbage meet the same refusal of a denied call", async () => {
  start();
  const versions = [
    undefined,
    "2024-11-05",
    "2025-03-26",
    "2025-06-18",
    "2025-11-25",
    "2026-07-28",
    "2099-01-01",
    "garbage",
    "",
  ];
  let count = 0;
  for (const version of versions) {
    for (
      const question of [legacy("tools/call", { name: "x" }), modern("tools/call", { name: "x" })]
    ) {
      const { "mcp-protocol-version": _, ...headers } = question.headers as Record<string, string>;
      const answer = await send({
        ...question,
        headers: version === undefined ? headers : { ...headers, "mcp-protocol-version": version },
      });
      assert.ok(answer.status === 200 || answer.status === 400, `${version}: ${answer.status}`);
      assert.notEqual(parsed(answer).error, undefined);
      count++;
    }
  }
  assert.equal(count, 2 * versions.length);
  assert.deepEqual(seen, []);
});

test("What is not one JSON message in plain UTF-8 is refused before anything else", async () => {
  start();
  const good = legacy("tools/call", { name: "read_file" });
  const cases = [
    [{ ...good, headers: { ...good.headers, "content-type": "text/plain" } }, 415],
    [{ ...good, headers: { ...good.headers, "content-encoding": "gzip" } }, 415],
    [{ ...good, body: `\ufeff${good.body}` }, 400],
    [{ ...good, body: `${good.body}{}` }, 400],
    [{ ...good, body: good.body.replace('"name"', '"name":"x","name"') }, 400],
    [{ ...good, body: good.body.replace('"name"', '"Name":"x","name"') }, 400],
    [{ ...good, body: Buffer.from([0x22, 0xff, 0x22]) }, 400],
    [{ ...good, body: "[".repeat(10_000) }, 400],
    [{ ...good, body: "[]" }, 400],
  ] as const;
  let count = 0;
  for (const [question, status] of cases) {
    const answer = await send(question);
    assert.equal(answer.status, status, String(question.body).slice(0, 80));
    count++;
  }
  assert.equal(count, cases.length);
  assert.deepEqual(seen, []);
});

test("Lists show what may be used, in order, with their cursors and their own text", async () => {
  start();
  respond = (response) =>
    json(
      response,
      '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"hidden"},{"name":"read_file","n":1e2},' +
        '{"name":"other"}],"nextCursor":"c","ttlMs":5,"cacheScope":"public"}}',
    );
  const answer = await send(modern("tools/list"));

  assert.equal(
    String(answer.body),
    '{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"read_file","n":1e2}],' +
      '"nextCursor":"c","ttlMs":5,"cacheScope":"private"}}',
  );
  assert.equal(answer.headers["content-length"], String(answer.body.length));
});

test("A list inside an event is filtered, and every other event goes on at once", async () => {
  start();
  let stream: ServerResponse | undefined;
  respond = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": hello\n\n");
    stream = response;
  };
  const opened = openRequest(bench.edge.tunnelUrl("code"), modern("tools/list"));
  opened.request.end(modern("tools/list").body);
  const answer = await opened.response;
  let text = "";
  answer.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  const ended = new Promise<void>((resolve) => answer.on("end", resolve));
  await waitFor(() => text === ":\n\n");
  const progress = 'data: {"jsonrpc":"2.0","method":"notifications/progress",' +
    '"params":{"progressToken":1,"progress":1}}\n\n';
  stream!.write(progress);
  await waitFor(() => text.endsWith(progress));
  stream!.end(
    'id: 7\ndata: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"x"},{"name":"read_file"}]}}\n\n',
  );
  await ended;

  const events = text.split("\n\n");
  assert.match(events[2] ?? "", /^id: 7\ndata: .*"tools":\[{"name":"read_file"}\]/);
});

test("What cannot be judged on its way back does not reach the client", async () => {
  start();
  const cases: readonly ((response: ServerResponse) => void)[] = [
    (response) => json(response, '{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[]}}'),
    (response) => json(response, "not json"),
    (response) => json(response, { jsonrpc: "2.0", id: 2, result: {} }),
    (response) => {
      response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
      response.end(Buffer.from("1f8b", "hex"));
    },
    ...["application/json;charset=utf-16le", "text/event-stream; charset=iso-8859-1"].map(
      (type) => (response: ServerResponse) => {
        response.writeHead(200, { "content-type": type });
        response.end(
          'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'.slice(type.startsWith("a") ? 6 : 0),
        );
      },
    ),
    (response) => {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      response.end("secret");
    },
  ];
  const question = modern("tools/list", {}, { headers: { "accept-encoding": "gzip" } });
  for (const answerWith of cases) {
    respond = answerWith;
    const answer = await send(question);
    assert.equal(answer.status, 502);
    assert.doesNotMatch(String(answer.body), /secret/);
  }
  assert.equal(seen.length, 7);
  assert.ok(seen.every(({ request }) => request.headers["accept-encoding"] === undefined));
});

test("Events that got shorter go out without the length they had, and the connection goes on", async () => {
  start();
  respond = (response) => {
    const event = `data: ${
      JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        result: { tools: [{ name: "hidden" }, { name: "read_file" }] },
      })
    }\n\n`;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "content-length": String(event.length),
    });
    response.end(event);
  };
  const url = bench.edge.tunnelUrl("code");
  const { host, pathname } = new URL(url);
  const client = await RawClient.open(url);
  const ask = ({ headers, body }: ReturnType<typeof legacy>) => {
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    client.send(
      `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${head.join("")}` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
  };
  ask(legacy("tools/list"));
  const events = await client.until((received) =>
    received.endsWith("\n\n\r\n0\r\n\r\n") || /content-length/i.test(received)
  );
  respond = (response) => json(response, { jsonrpc: "2.0", id: 1, result: { second: true } });
  ask(legacy("ping"));
  const rest = await client.until((received) => received.endsWith('{"second":true}}'));
  client.destroy();

  assert.doesNotMatch(events, /content-length/i);
  assert.match(events, /"tools":\[{"name":"read_file"}\]/);
  assert.doesNotMatch(events, /hidden/);
  assert.match(rest.slice(events.length), /^HTTP\/1\.1 200 /);
});

test("A session belongs to who opened it; to anyone else it does not exist", async () => {
  start();
  respond = (response) => {
    response.setHeader("mcp-session-id", "s-1");
    json(response, { jsonrpc: "2.0", id: 1, result: {} });
  };
  const params = {
    protocolVersion: LEGACY,
    capabilities: {},
    clientInfo: { name: "t", version: "1" },
  };
  await send(legacy("initialize", params));
  respond = (response) => json(response, { jsonrpc: "2.0", id: 1, result: {} });
  const headers = { "mcp-session-id": "s-1" };
  const own = await send(legacy("ping", {}, { headers }));
  const others = [
    await send(legacy("ping", {}, { headers, user: "bob" })),
    await send(legacy("ping", {}, { headers: { "mcp-session-id": "s-2" } })),
    await send(legacy("ping", {}, { headers }), "explaining"),
    await send({ method: "GET", headers: { ...common({ user: "bob" }), ...headers } }),
    await send({ method: "DELETE", headers: { ...common({ user: "bob" }), ...headers } }),
    await send({
      method: "GET",
      headers: { ...common({}), ...headers, "last-event-id": "never given" },
    }),
  ];
  const ended = await send({ method: "DELETE", headers: { ...common({}), ...headers } });
  const after = await send(legacy("ping", {}, { headers }));

  assert.equal(own.status, 200);
  assert.deepEqual(others.map(({ status }) => status), [404, 404, 404, 404, 404, 404]);
  assert.equal(ended.status, 200);
  assert.equal(after.status, 404);
  assert.deepEqual(seen.map(({ request }) => request.method), ["POST", "POST", "DELETE"]);
});

test("A session does not belong to the user of the same name of another issuer", async () => {
  start();
  respond = (response) => {
    response.setHeader("mcp-session-id", "of-alice-one");
    json(response, { jsonrpc: "2.0", id: 1, result: { protocolVersion: LEGACY } });
  };
  const one = "alice@https://one.example.com";
  await send(legacy("initialize", { protocolVersion: LEGACY, capabilities: {} }, { user: one }));
  const headers = { "mcp-session-id": "of-alice-one" };

  const own = await send(legacy("ping", {}, { user: one, headers }));
  const others = await Promise.all(
    ["alice", "alice@https://two.example.com", "alice@https://one.example.co"].map((user) =>
      send(legacy("ping", {}, { user, headers }))
    ),
  );

  assert.equal(own.status, 200);
  assert.deepEqual(others.map(({ status }) => status), [404, 404, 404]);
});

test("A client answers only what its own server session has asked, and once", async () => {
  start();
  respond = (response, body) => {
    if (!body.includes("tools/call")) {
      response.writeHead(202);
      return void response.end();
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(
      'data: {"jsonrpc":"2.0","id":"q-1","method":"elicitation/create","params":{}}\n\n' +
        'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n',
    );
  };
  const reply = (user: string, id: string) => ({
    method: "POST",
    headers: { ...common({ user }), "mcp-protocol-version": LEGACY },
    body: JSON.stringify({ jsonrpc: "2.0", id, result: {} }),
  });
  const early = await send(reply("alice", "q-1"));
  const call = await send(legacy("tools/call", { name: "read_file" }));
  const statuses = [
    (await send(reply("bob", "q-1"))).status,
    (await send(reply("alice", "q-2"))).status,
    (await send(reply("alice", "q-1"))).status,
    (await send(reply("alice", "q-1"))).status,
  ];

  assert.equal(early.status, 400);
  assert.match(String(call.body), /elicitation\/create/);
  assert.deepEqual(statuses, [400, 400, 202, 400]);
});

test("Capabilities that a tunnel does not let through are not seen by its private server", async () => {
  start();
  await send(modern("tools/list"), "explaining");
  await send(modern("tools/list"));

  const capabilities = seen.map(({ body }) =>
    JSON.parse(body).params._meta["io.modelcontextprotocol/clientCapabilities"]
  );
  assert.deepEqual(capabilities, [
    { elicitation: { form: {} } },
    { sampling: {}, elicitation: { form: {} } },
  ]);
  assert.equal(seen[0]?.request.headers["content-length"], String(seen[0]?.body.length));
});

test("A batch of 2025-03-26 goes on whole when all of it is allowed, and else not at all", async () => {
  start();
  respond = (response) => json(response, "[]");
  const batch = (...names: string[]) => ({
    method: "POST",
    headers: { ...common({}), "mcp-protocol-version": "2025-03-26" },
    body: JSON.stringify(names.map((name, index) => ({
      jsonrpc: "2.0",
      id: index + 1,
      method: "tools/call",
      params: { name },
    }))),
  });
  respond = (response) => json(response, [1, 2].map((id) => ({ jsonrpc: "2.0", id, result: {} })));
  const fine = await send(batch("read_file", "read_file"));
  const mixed = await send(batch("read_file", "x"));
  const modernBatch = await send({
    ...batch("read_file"),
    headers: { ...common({}), "mcp-protocol-version": MODERN },
  });

  assert.equal(fine.status, 200);
  assert.equal(seen.length, 1);
  assert.deepEqual(parsed(mixed).map(({ id }: { id: number }) => id), [1, 2]);
  assert.equal(modernBatch.status, 400);
});

test("A changed policy holds for streams that are open", async () => {
  start();
  allowed.add("file:///repo/b");
  let stream: ServerResponse | undefined;
  respond = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": open\n\n");
    stream = response;
  };
  const listen = modern("subscriptions/listen", {
    notifications: { resourceSubscriptions: ["file:///repo/a", "file:///repo/b"] },
  });
  const opened = openRequest(bench.edge.tunnelUrl("code"), listen);
  opened.request.end(listen.body);
  const answer = await opened.response;
  let text = "";
  answer.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  await waitFor(() => text !== "");
  const update = (uri: string) =>
    stream!.write(
      `data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"${uri}"}}\n\n`,
    );
  update("file:///repo/b");
  await waitFor(() => text.includes("repo/b"));
  text = "";
  allowed.delete("file:///repo/b");
  update("file:///repo/b");
  update("file:///repo/a");
  await waitFor(() => text.includes("repo/a"));
  answer.destroy();

  assert.doesNotMatch(text, /repo\/b/);
});

test("Closing a modern stream ends the request at the private server", async () => {
  start();
  let closed = false;
  respond = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": open\n\n");
    response.on("close", () => closed = true);
  };
  const call = modern("tools/call", { name: "read_file" });
  const opened = openRequest(bench.edge.tunnelUrl("code"), call);
  opened.request.end(call.body);
  const answer = await opened.response;
  answer.destroy();

  await waitFor(() => closed);
  await waitFor(() => bench.edge.status().exchanges === 0);
});

test("A denied or refused request is counted as what it is", () => {
  const { outcomes } = bench.edge.status().tunnels[0]!;

  assert.ok((outcomes["denied"] ?? 0) > 10);
  assert.ok((outcomes["refused"] ?? 0) > 10);
  assert.ok((outcomes["2xx"] ?? 0) > 5);
});

test("One user's bodies cannot take the room of everybody else's", async () => {
  start();
  const socketOf = async (bytes: number) => {
    const client = await RawClient.open(bench.edge.tunnelUrl("code"));
    const { host, pathname } = new URL(bench.edge.tunnelUrl("code"));
    client.send(
      `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer mallory\r\n` +
        `Content-Type: application/json\r\nMcp-Protocol-Version: ${LEGACY}\r\n` +
        `Content-Length: ${16 * MIB}\r\n\r\n`,
    );
    client.socket.write(Buffer.alloc(bytes, " "));
    return client;
  };
  const clients = await Promise.all(Array.from({ length: 6 }, () => socketOf(16 * MIB - 1)));
  // Five fit into the share; the one that does not is told so.
  await waitFor(() => clients.some(({ received }) => received.startsWith("HTTP/1.1 503")));
  const other = await send(legacy("tools/call", { name: "read_file" }));
  for (const client of clients) client.destroy();
  await Promise.all(clients.map((client) => client.closed));

  assert.equal(clients.filter(({ received }) => received !== "").length, 1);
  assert.equal(other.status, 200);
});

test("The room of a body is given back once it is sent, while its answer goes on", async () => {
  start();
  let streams = 0;
  respond = (response) => {
    streams++;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": open\n\n");
  };
  const text = "x".repeat(15 * MIB);
  const answers: IncomingMessage[] = [];
  for (let count = 0; count < 7; count++) {
    const call = legacy("tools/call", { name: "read_file", arguments: { text } });
    const opened = openRequest(bench.edge.tunnelUrl("code"), call);
    opened.request.end(call.body);
    answers.push(await opened.response);
  }
  for (const answer of answers) answer.destroy();
  await waitFor(() => bench.edge.status().exchanges === 0);

  assert.deepEqual(answers.map(({ statusCode }) => statusCode), Array(7).fill(200));
  assert.equal(streams, 7);
});

test("Unfinished events of one user end at its share, and not at everybody's", async () => {
  start();
  const half = `data: {"jsonrpc":"2.0","method":"notifications/message","params":"`;
  const piece = "x".repeat(MIB);
  const streams: ServerResponse[] = [];
  respond = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": open\n\n");
    streams.push(response);
  };
  const listen = modern("subscriptions/listen", { notifications: {} });
  const ends: Promise<unknown>[] = [];
  for (let count = 0; count < 3; count++) {
    const { request, response } = openRequest(bench.edge.tunnelUrl("code"), listen);
    request.end(listen.body);
    const answer = await response;
    answer.resume();
    ends.push(new Promise((resolve) => answer.once("close", resolve).once("error", () => {})));
  }
  let isCut = false;
  const cut = Promise.race(ends).then(() => void (isCut = true));
  // A share is 80 MiB: three of 34 MiB are more, and each is no larger than an event may be.
  for (let count = 0; count < 34 && !isCut; count++) {
    for (const stream of streams) {
      if (!stream.destroyed) stream.write(count === 0 ? half + piece : piece);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await cut;
  respond = (response) => json(response, { jsonrpc: "2.0", id: 1, result: {} });
  const bob = await send(modern("tools/call", { name: "read_file" }, { user: "bob" }));
  for (const stream of streams) stream.destroy();
  await waitFor(() => bench.edge.status().exchanges === 0);

  assert.equal(isCut, true);
  assert.equal(bob.status, 200);
});

test("A client that does not read its answer is cut, and one that reads slowly is not", async () => {
  const clock = fakeClock();
  const text = "x".repeat(24 * MIB);
  const server = await startServer((request, response) => {
    readBody(request).then(
      () =>
        json(response, { jsonrpc: "2.0", id: 1, result: { content: [{ type: "text", text }] } }),
      () => response.destroy(),
    );
  });
  const place = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [AWARE],
    clock,
    edge: { policy: POLICY, clientAuth: CLIENTS },
  });
  await place.rift([{ tunnel: "code", upstream: `${server.url}/mcp`, protocol: "mcp" }]).ready;
  start();
  const url = place.edge.tunnelUrl("code");
  const { host, pathname } = new URL(url);
  const call = legacy("tools/call", { name: "read_file" });
  const openClient = async () => {
    const client = await RawClient.open(url);
    client.socket.pause();
    const head = Object.entries(call.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    client.send(
      `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${head.join("")}` +
        `Content-Length: ${call.body.length}\r\n\r\n${call.body}`,
    );
    return client;
  };
  const deaf = await openClient();
  const slow = await openClient();
  let read = 0;
  slow.socket.on("data", (chunk: Buffer) => {
    read += chunk.length;
    slow.socket.pause();
  });
  slow.socket.pause();
  await waitFor(() => place.edge.status().exchanges === 2);
  // Whether it reads a little or nothing is the only difference between the two.
  let steps = 0;
  for (; steps < 8; steps++) {
    const enough = read + 2 * MIB;
    while (read < enough && !slow.socket.destroyed) {
      slow.socket.resume();
      await new Promise((resolve) => setImmediate(resolve));
    }
    clock.advance(ANSWER_STALL_MS / 4);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  const afterSteps = place.edge.status().exchanges;
  while (read < text.length && !slow.socket.destroyed) {
    slow.socket.resume();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await waitFor(() => place.edge.status().exchanges === 0);
  slow.destroy();
  deaf.destroy();
  await place.close();
  await server.close();

  assert.equal(steps, 8);
  assert.equal(afterSteps, 1);
  assert.ok(read > text.length, `${read} bytes were read slowly`);
});

test("Who is denied everything may not listen to the private server either", async () => {
  start();
  respond = (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end('data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n');
  };
  const listen = async (user: string) => {
    const headers = { ...common({ user }), "mcp-protocol-version": LEGACY };
    return await send({ method: "GET", headers });
  };
  const alice = await listen("alice");
  const seenBefore = seen.length;
  const eve = await listen("eve");

  assert.match(String(alice.body), /notifications\/message/);
  assert.equal(JSON.parse(String(eve.body)).error.code, -32601);
  assert.equal(seen.length, seenBefore);
});

test("Requests and events without a session stand in nobody else's way", async () => {
  start();
  respond = (response, body) => {
    if (body.includes("result")) return void response.writeHead(202).end();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(
      'id: 1\ndata: {"jsonrpc":"2.0","id":"same","method":"elicitation/create","params":{}}\n\n',
    );
  };
  for (const user of ["bob", "alice"]) {
    await send(legacy("tools/call", { name: "read_file" }, { user }));
  }
  const reply = await send({
    method: "POST",
    headers: { ...common({}), "mcp-protocol-version": LEGACY },
    body: JSON.stringify({ jsonrpc: "2.0", id: "same", result: {} }),
  });
  const resumed = await send({
    method: "GET",
    headers: { ...common({}), "mcp-protocol-version": LEGACY, "last-event-id": "1" },
  });

  assert.equal(reply.status, 202);
  assert.equal(resumed.status, 200);
});

test("A session that the private server did not end goes on", async () => {
  start();
  respond = (response) => {
    response.setHeader("mcp-session-id", "s-kept");
    json(response, { jsonrpc: "2.0", id: 1, result: {} });
  };
  await send(legacy("initialize", {
    protocolVersion: LEGACY,
    capabilities: {},
    clientInfo: { name: "t", version: "1" },
  }));
  const headers = { "mcp-session-id": "s-kept" };
  const end = { method: "DELETE", headers: { ...common({}), ...headers } };
  respond = (response) => void response.writeHead(405).end();
  const refused = await send(end);
  respond = (response) => json(response, { jsonrpc: "2.0", id: 1, result: {} });
  const still = await send(legacy("ping", {}, { headers }));
  const ended = await send(end);
  const after = await send(legacy("ping", {}, { headers }));

  assert.deepEqual(
    [refused, still, ended, after].map(({ status }) => status),
    [405, 200, 200, 404],
  );
});
