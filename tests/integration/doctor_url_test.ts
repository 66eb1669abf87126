// test-timeout: 120s
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { ERROR_TABLE } from "../../src/errors.ts";
import { silentLogger } from "../../src/log.ts";
import { startSampleServer } from "../../src/sample/sample_server.ts";
import { startConformanceServer } from "../fixtures/mcp/conformance_server.ts";
import {
  diagnose,
  type DiagnoseOptions,
  GOOD_TOKEN,
  modernAnswer,
  oauthServer,
  openServer,
  type Reply,
  type Script,
  startScripted,
} from "../support/doctor_probe.ts";
import { fakeClock } from "../support/fake_clock.ts";
import { forwardTo } from "../support/legacy_front.ts";

test("a server that does all right passes every step that applies", async () => {
  const { steps } = await against(oauthServer, { token: GOOD_TOKEN });

  assert.deepEqual(steps.map(({ name, status }) => `${name} ${status}`), [
    "url note",
    "dns ok",
    "tcp ok",
    "tls skip",
    "challenge ok",
    "metadata ok",
    "issuer ok",
    "token ok",
    "request ok",
    "server ok",
    "tools ok",
  ]);
});

test("without a token everything before it is checked, and the rest is skipped", async () => {
  const { step, steps } = await against(oauthServer);

  assert.equal(step("issuer").status, "ok");
  assert.equal(step("token").status, "note");
  assert.equal(step("tools").status, "skip");
  assert.ok(steps.every(({ status }) => status !== "fail"));
});

test("the token goes to the checked URL alone", async () => {
  const server = await startScripted(oauthServer);
  try {
    await diagnose(server.url, { token: GOOD_TOKEN });

    const told = server.asked.filter(({ headers }) => headers["authorization"] !== undefined);
    assert.deepEqual(new Set(told.map(({ path }) => path)), new Set(["/mcp"]));
    assert.equal(told.length, 2);
  } finally {
    await server.close();
  }
});

interface Case {
  readonly name: string;
  readonly script: Script;
  readonly token?: string;
  readonly step: string;
  readonly status?: "note" | "ok";
  readonly detail: RegExp;
  readonly hint?: RegExp;
}

const METADATA = "/.well-known/oauth-protected-resource/mcp";
const ISSUER = "/.well-known/oauth-authorization-server/as";

const CASES: readonly Case[] = [
  {
    name: "a plain web server",
    script: () => ({
      status: 200,
      headers: { "Content-Type": "text/html", Server: "nginx" },
      body: "<html><title>Welcome!</title></html>",
    }),
    step: "challenge",
    detail: /^200, not MCP: text\/html, from nginx, "Welcome!"$/,
    hint: /another program answers/,
  },
  {
    name: "a web server without the path",
    script: () => ({ status: 404, body: "gone" }),
    step: "challenge",
    detail: /^404, not MCP: no content type, "gone"$/,
    hint: /check the path/,
  },
  {
    name: "a path that takes no POST",
    script: () => ({ status: 405 }),
    step: "challenge",
    detail: /^405, not MCP/,
    hint: /takes no POST/,
  },
  {
    name: "a proxy whose edge is down",
    script: () => ({ status: 502, headers: { "Content-Type": "text/html" }, body: "Bad Gateway" }),
    step: "challenge",
    detail: /^502, not MCP: text\/html, "Bad Gateway"$/,
    hint: /is the edge up/,
  },
  {
    name: "a redirect",
    script: () => ({ status: 308, headers: { Location: "https://elsewhere.example/mcp" } }),
    step: "challenge",
    detail: /^308: redirected to "https:\/\/elsewhere\.example\/mcp" \(not followed\)$/,
    hint: /final URL/,
  },
  {
    name: "an answer that breaks off",
    script: () => ({ status: 200, body: "half", end: "cut" }),
    step: "challenge",
    detail: /broke off/,
    hint: /cut the connection/,
  },
  {
    name: "an SDK server that does not know the Host",
    script: () => rpcError(403, -32_000, "Invalid Host: mcp.example.com"),
    step: "challenge",
    detail: /403: the server answers with error -32000/,
    hint: /Host name/,
  },
  {
    name: "a server without authentication",
    script: openServer,
    step: "challenge",
    status: "note",
    detail: /no authentication asked/,
    hint: /auth = "edge"/,
  },
  {
    name: "a server of another version",
    script: () =>
      rpcError(400, -32_022, "Unsupported", { supported: ["2027-01-01"], requested: "2026-07-28" }),
    step: "challenge",
    detail: /error -32022/,
    hint: /does not accept this request/,
  },
  {
    name: "an edge whose policy does not name the user",
    script: (asked) =>
      asked.headers["authorization"] === undefined
        ? oauthServer(asked)
        : rpcError(404, -32_601, "Method not found", undefined),
    token: GOOD_TOKEN,
    step: "request",
    detail: /^404: the server answers with error -32601 "Method not found"$/,
    hint: /policy.*mcptun policy explain FILE --user NAME --tunnel NAME --method server\/discover/,
  },
  {
    name: "a 401 without a challenge",
    script: () => ({ status: 401 }),
    step: "challenge",
    detail: /^401 without a WWW-Authenticate header$/,
    hint: /a proxy in front/,
  },
  {
    name: "a password from a proxy",
    script: () => ({ status: 401, headers: { "WWW-Authenticate": 'Basic realm="x"' } }),
    step: "challenge",
    detail: /no Bearer challenge \(Basic/,
    hint: /WWW-Authenticate: Bearer/,
  },
  {
    name: "an announced metadata document that is missing",
    script: changed(METADATA, () => ({ status: 404 })),
    step: "metadata",
    detail: /": 404\nIt is where the challenge/,
    hint: /let the path through/,
  },
  {
    name: "metadata that is a page",
    script: changed(METADATA, () => ({ status: 200, body: "<title>Home</title>" })),
    step: "metadata",
    detail: /no JSON object: no content type, "Home"/,
    hint: /something else answers/,
  },
  {
    name: "metadata for another resource",
    script: changed(METADATA, ({ base }) => ({
      status: 200,
      body: { resource: "https://localhost:8080/mcp", authorization_servers: [`${base}/as`] },
    })),
    step: "metadata",
    detail: /resource {3}"https:\/\/localhost:8080\/mcp"\nthis URL {3}"http:\/\/127/,
    hint: /edge\.public_url to http:\/\/127\.0\.0\.1:\d+;/,
  },
  {
    name: "metadata without a resource",
    script: changed(METADATA, () => ({ status: 200, body: { authorization_servers: [] } })),
    step: "metadata",
    detail: /no resource/,
    hint: /RFC 9728/,
  },
  {
    name: "metadata without issuers",
    script: changed(METADATA, ({ base }) => ({
      status: 200,
      body: { resource: `${base}/mcp`, authorization_servers: [] },
    })),
    step: "metadata",
    detail: /authorization_servers is missing or empty/,
    hint: /auth\.issuer/,
  },
  {
    name: "metadata that allows tokens in the query alone",
    script: changed(METADATA, ({ base }) => ({
      status: 200,
      body: {
        resource: `${base}/mcp`,
        authorization_servers: [`${base}/as`],
        bearer_methods_supported: ["query"],
      },
    })),
    step: "metadata",
    detail: /has no header/,
    hint: /add "header"/,
  },
  {
    name: "metadata elsewhere",
    script: changed(METADATA, () => ({ status: 302, headers: { Location: "/login" } })),
    step: "metadata",
    detail: /302, redirected to "\/login" \(not followed\)/,
    hint: /do not follow redirects/,
  },
  {
    name: "a challenge without metadata anywhere",
    script: () => ({ status: 401, headers: { "WWW-Authenticate": "Bearer" } }),
    step: "metadata",
    status: "note",
    detail: /cannot find out where to get a token/,
    hint: /by hand/,
  },
  {
    name: "an issuer that is a script",
    script: changed(METADATA, ({ base }) => ({
      status: 200,
      body: { resource: `${base}/mcp`, authorization_servers: ["javascript:alert(1)"] },
    })),
    step: "issuer",
    detail: /"javascript:alert\(1\)"\nnot an https URL \(javascript:\)/,
    hint: /https URL/,
  },
  {
    name: "an issuer without encryption",
    script: changed(METADATA, ({ base }) => ({
      status: 200,
      body: { resource: `${base}/mcp`, authorization_servers: ["http://issuer.example"] },
    })),
    step: "issuer",
    detail: /it must be https/,
    hint: /https URL/,
  },
  {
    name: "an issuer without metadata",
    script: changed(ISSUER, () => ({ status: 404 })),
    step: "issuer",
    detail:
      /oauth-authorization-server\/as": 404\n.*openid-configuration\/as": 404\n.*as\/\.well-known\/openid-configuration": 404$/,
    hint: /byte by byte/,
  },
  {
    name: "an issuer with another name",
    script: changed(ISSUER, ({ base }) => ({ status: 200, body: { issuer: `${base}/as/` } })),
    step: "issuer",
    detail: /issuer {5}"http.*\/as\/"\nexpected {3}"http.*\/as"/,
    hint: /exactly as it names itself/,
  },
  {
    name: "an issuer without endpoints",
    script: changed(ISSUER, ({ base }) => ({ status: 200, body: { issuer: `${base}/as` } })),
    step: "issuer",
    detail: /lacks authorization_endpoint, token_endpoint/,
    hint: /issuer's settings/,
  },
  {
    name: "an issuer without PKCE",
    script: changed(ISSUER, (asked) =>
      withBody(oauthServer(asked), {
        code_challenge_methods_supported: ["plain"],
      })),
    step: "issuer",
    detail: /no S256/,
    hint: /PKCE/,
  },
  {
    name: "an issuer that new clients cannot introduce themselves to",
    script: changed(ISSUER, (asked) =>
      withBody(oauthServer(asked), {
        client_id_metadata_document_supported: false,
      })),
    step: "issuer",
    status: "note",
    detail: /no way for new clients/,
    hint: /register each client/,
  },
  {
    name: "the credential of a rift as a token",
    script: oauthServer,
    token: `mcpt_${"a".repeat(60)}`,
    step: "token",
    detail: /credential of a rift.*\nNot sent$/,
    hint: /user token/,
  },
  {
    name: "a token that has ended",
    script: oauthServer,
    token: jwt({ iss: "x", aud: "y", exp: 1_000 }),
    step: "token",
    detail: /ended at 1970-01-01 00:16 UTC/,
    hint: /new one/,
  },
  {
    name: "a token that is not known",
    script: oauthServer,
    token: "another-token",
    step: "request",
    detail: /^401: invalid_token, "unknown", scope "mcp"$/,
    hint: /from the issuer/,
  },
  {
    name: "a user token that is not known",
    script: oauthServer,
    token: `mcpu_${"a".repeat(43)}`,
    step: "request",
    detail: /^401: invalid_token/,
    hint: /does not know this token/,
  },
  {
    name: "a token for somebody else",
    script: oauthServer,
    token: jwt({
      iss: "https://a.example",
      aud: "https://b.example",
      exp: 4_000_000_000,
      scope: "x",
    }),
    step: "request",
    detail: /^401: invalid_token/,
    hint: /its issuer is none of .*; its audience is not .*; it lacks scope mcp$/,
  },
  {
    name: "a token without a scope",
    script: (asked) =>
      asked.headers["authorization"] === undefined ? oauthServer(asked) : {
        status: 403,
        headers: { "WWW-Authenticate": 'Bearer error="insufficient_scope", scope="mcp admin"' },
      },
    token: GOOD_TOKEN,
    step: "request",
    detail: /^403: insufficient_scope, scope "mcp admin"$/,
    hint: /all scopes/,
  },
  {
    name: "a server that names no version",
    script: ({ message }) => withResult(modernAnswer(message), { supportedVersions: [] }),
    step: "server",
    status: "note",
    detail: /no versions named/,
    hint: /supportedVersions/,
  },
  {
    name: "a server without tools",
    script: ({ message }) =>
      message.method === "tools/list"
        ? rpcError(404, -32_601, "Method not found")
        : modernAnswer(message),
    step: "tools",
    status: "note",
    detail: /no tools/,
  },
  {
    name: "a list of tools that fails",
    script: ({ message }) =>
      message.method === "tools/list"
        ? rpcError(200, -32_603, "database is down")
        : modernAnswer(message),
    step: "tools",
    detail: /error -32603 "database is down"/,
    hint: /look into its log/,
  },
  {
    name: "a list of tools that is none",
    script: ({ message }) => withResult(modernAnswer(message), { tools: "many" }),
    step: "tools",
    detail: /has no tools/,
    hint: /does not keep to MCP/,
  },
  {
    name: "an answer as an event stream",
    script: (asked) =>
      asked.method === "POST" ? asEvents(modernAnswer(asked.message)) : { status: 404 },
    step: "tools",
    status: "ok",
    detail: /^2 tools: alpha, beta$/,
  },
];

test("each way to be broken shows at its step, with a way to mend it", async () => {
  let ran = 0;
  for (const { name, script, token, step: stepName, status = "fail", detail, hint } of CASES) {
    const { step } = await against(script, { token });

    const found = step(stepName);
    assert.equal(found.status, status, `${name}: ${JSON.stringify(found)}`);
    assert.match(found.detail, detail, name);
    if (hint === undefined) assert.equal(found.hint, undefined, name);
    else assert.match(found.hint ?? "", hint, name);
    if (status === "fail") assert.ok(found.hint, name);
    ran++;
  }
  assert.equal(ran, 38);
});

test("each error code of an edge has a hint of its own", async () => {
  const codes = Object.entries(ERROR_TABLE)
    .filter(([code, facts]) => "http" in facts && code !== "UNAUTHENTICATED");
  const hints = new Set<string>();
  for (const [code, facts] of codes) {
    const status = "http" in facts ? facts.http : 0;
    const { step } = await against(() => rpcError(status, -32_603, facts.sentence, { code }));

    const { status: outcome, detail, hint = "" } = step("challenge");
    assert.equal(outcome, "fail", code);
    assert.equal(detail, `${status} ${code}: ${facts.sentence}`);
    assert.doesNotMatch(hint, /docs\/errors\.md/, code);
    hints.add(hint);
  }
  assert.equal(hints.size, codes.length);
  assert.ok(codes.length >= 19);
});

test("an error code that is not known leads to the document", async () => {
  const { step } = await against(() => rpcError(403, -32_600, "No", { code: "FROM_THE_FUTURE" }));

  assert.equal(step("challenge").hint, "docs/errors.md says what FROM_THE_FUTURE means");
});

test("a closed port is told as refused", async () => {
  const server = await startScripted(openServer);
  await server.close();

  const { step, steps } = await diagnose(server.url);

  assert.match(step("tcp").detail, /Connection refused/);
  assert.match(step("tcp").hint ?? "", /nothing listens/);
  assert.equal(steps.filter(({ status }) => status === "skip").length, 8);
});

test("a port that speaks something else is told so", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.resume(); // an end that is not read never comes
    socket.end("SSH-2.0-test\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const { step } = await diagnose(`http://127.0.0.1:${port}/mcp`);

    assert.equal(step("challenge").status, "fail");
    assert.match(step("challenge").detail, /does not speak HTTP|closed before an answer/);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test("a URL with a secret in it is not used, and the secret is not shown", async () => {
  let ran = 0;
  for (
    const [url, detail] of [
      ["https://user:hunter2@127.0.0.1:1/mcp", /credentials/],
      ["https://127.0.0.1:1/mcp?access_token=hunter2", /token in its query/],
      ["https://127.0.0.1:1/mcp#hunter2", /fragment/],
    ] as const
  ) {
    const { step, steps, text } = await diagnose(url);

    assert.equal(step("url").status, "fail");
    assert.match(step("url").detail, detail);
    assert.equal(steps.filter(({ status }) => status === "skip").length, 10);
    assert.doesNotMatch(text, /hunter2/);
    ran++;
  }
  assert.equal(ran, 3);
});

test("a server of the sample speaks the modern version", async () => {
  const life = new AbortController();
  const sample = await startSampleServer({ log: silentLogger, signal: life.signal });
  try {
    const { step } = await diagnose(sample.url);

    assert.match(step("server").detail, /^mcptun-sample .*, MCP 2026-07-28$/);
    assert.match(step("tools").detail, /^9 tools: echo, calculate/);
  } finally {
    await sample.close();
    life.abort();
  }
});

test("a server with sessions is spoken to as it wants, and its session is ended", async () => {
  const life = new AbortController();
  const host = await startConformanceServer({ signal: life.signal });
  const front = await forwardTo(host.url);
  try {
    const { step, steps } = await diagnose(front.url);

    assert.match(step("server").detail, /fixture 1\.0\.0, MCP 2025-11-25, with sessions/);
    assert.match(step("tools").detail, /^\d+ tools.*: test_/);
    assert.ok(steps.every(({ status }) => status !== "fail"));
    assert.deepEqual(front.seen, [
      "POST server/discover",
      "POST initialize",
      "POST notifications/initialized",
      "GET ",
      "GET ",
      "POST tools/list",
      "DELETE ",
    ]);
  } finally {
    await front.close();
    life.abort();
  }
});

test("text from outside cannot move the cursor, reorder the line or fill the screen", async () => {
  const nasty = "\u001b[2J\u001b]0;owned\u0007\u202egnp\u200b\r\nok    tls  fine";
  const scripts: readonly Script[] = [
    ({ message }) =>
      withResult(modernAnswer(message), {
        supportedVersions: [nasty],
        _meta: { "io.modelcontextprotocol/serverInfo": { name: nasty, version: nasty } },
        tools: [{ name: nasty.repeat(1_000) }],
      }),
    () => rpcError(500, -32_603, nasty.repeat(1_000)),
    () => ({ status: 200, body: `<title>${nasty}</title>` }),
    () => ({ status: 307, headers: { Location: "https://a/%1b\u00a0\u0085x" } }),
    () => ({
      status: 401,
      headers: { "WWW-Authenticate": 'Bearer error="x\u0090", error_description="\u009b2J"' },
    }),
    changed(METADATA, () => ({
      status: 200,
      body: { resource: nasty, authorization_servers: [nasty] },
    })),
  ];
  for (const [at, script] of scripts.entries()) {
    const { text } = await against(script, { token: GOOD_TOKEN });

    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(
      text,
      /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u200b\u00a0]/,
      String(at),
    );
    assert.doesNotMatch(text, /^ok {4}tls/m);
    assert.ok(text.split("\n").length < 60, String(at));
  }
  assert.equal(scripts.length, 6);
});

test("a server that repeats the token does not make it visible", async () => {
  const { text, step } = await against(
    ({ headers }) => rpcError(500, -32_603, `You said ${String(headers["authorization"])}`),
    { token: GOOD_TOKEN },
  );
  const echoed = await against(
    (asked) =>
      asked.headers["authorization"] === undefined
        ? oauthServer(asked)
        : rpcError(500, -32_603, `You said ${String(asked.headers["authorization"])}`),
    { token: GOOD_TOKEN },
  );

  assert.equal(step("challenge").status, "fail");
  assert.match(echoed.step("request").detail, /You said Bearer \[redacted\]/);
  assert.doesNotMatch(text + echoed.text, new RegExp(GOOD_TOKEN));
});

test("metadata of any size is read to a bound only", async () => {
  const { step } = await against(
    changed(METADATA, () => ({ status: 200, body: "x".repeat(300_000), end: "hang" })),
  );

  assert.equal(step("metadata").status, "fail");
  assert.match(step("metadata").detail, /longer than 262144 bytes/);
});

test("an answer that never ends is given up in time", async () => {
  const clock = fakeClock();
  const server = await startScripted(
    changed(METADATA, () => ({ status: 200, body: "{", end: "hang" })),
    { onHang: () => setImmediate(() => clock.advance(10_000)) },
  );
  try {
    const { step } = await diagnose(server.url, { clock });

    assert.equal(step("metadata").status, "fail");
    assert.match(step("metadata").detail, /within 10000 ms/);
    assert.match(step("metadata").hint ?? "", /--timeout/);
  } finally {
    await server.close();
  }
});

test("a check that is asked to end ends before its next step", async () => {
  const { StepRunner } = await import("../../src/doctor/step_runner.ts");
  const life = new AbortController();
  const runner = new StepRunner({ clock: fakeClock(), signal: life.signal });
  life.abort();

  await assert.rejects(runner.run("x", () => ({ status: "ok", detail: "" })), { code: "ABORTED" });
  assert.equal(runner.results.length, 0);
});

async function against(script: Script, options: DiagnoseOptions = {}) {
  const server = await startScripted(script);
  try {
    return await diagnose(server.url, options);
  } finally {
    await server.close();
  }
}

/** The good server with another answer at one path. */
function changed(path: string, answer: Script): Script {
  return (asked) => asked.path === path ? answer(asked) : oauthServer(asked);
}

function rpcError(status: number, code: number, message: string, data?: unknown): Reply {
  return { status, body: { jsonrpc: "2.0", id: null, error: { code, message, data } } };
}

function withBody(reply: Reply, more: Readonly<Record<string, unknown>>): Reply {
  return { ...reply, body: { ...reply.body as object, ...more } };
}

function withResult(reply: Reply, more: Readonly<Record<string, unknown>>): Reply {
  const body = reply.body as { readonly result: object };
  return { ...reply, body: { ...body, result: { ...body.result, ...more } } };
}

function asEvents(reply: Reply): Reply {
  const note = JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: {} });
  return {
    status: 200,
    headers: { "Content-Type": "text/event-stream" },
    body: `: hello\r\n\r\ndata: ${note}\n\nevent: message\ndata: ${JSON.stringify(reply.body)}\n\n`,
    end: "hang",
  };
}

function jwt(claims: Readonly<Record<string, unknown>>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256", typ: "at+jwt" })}.${part(claims)}.c2lnbmF0dXJl`;
}
