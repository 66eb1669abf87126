/** Who gets into a tunnel with `auth = "edge"`, what is said to everyone else, and its limits. @module */

import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, test } from "node:test";

import type { EdgeOptions, EdgeSettings } from "../../src/edge/edge_options.ts";
import { FAILURES_AT_ONCE } from "../../src/limits.ts";
import { type LogFields, type Logger, silentLogger } from "../../src/log.ts";
import type {
  AuthenticationResult,
  ClientAuthentication,
  ClientProof,
  Principal,
} from "../../src/principal.ts";
import { Secret } from "../../src/runtime/secret.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import {
  answerJson,
  ask,
  openRequest,
  type Question,
  startServer,
  type TestServer,
} from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import { type Bench, EDGE_SETTINGS, MCP_TUNNEL, startBench } from "../support/tunnel_bench.ts";
import { waitFor } from "../support/tunnel_context.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const GUARDED = { ...MCP_TUNNEL, name: "guarded", path: "/guarded/mcp", auth: "edge" } as const;
const PLAIN = { ...GUARDED, name: "plain", path: "/plain/mcp" } as const;
const OPEN = MCP_TUNNEL;

/** Every token in `valid` is somebody's; the rest of a test decides what becomes of it. */
class Tokens implements ClientAuthentication {
  readonly valid = new Set(["good", "other"]);
  pending: ((result: AuthenticationResult) => void)[] = [];

  authenticate(proof: Parameters<ClientAuthentication["authenticate"]>[0]) {
    const token = proof.authorization?.replace(/^Bearer /, "") ?? proof.proxyUser;
    if (token === undefined) return { outcome: "missing" } as const;
    if (token === "slow") {
      return new Promise<AuthenticationResult>((resolve) => void this.pending.push(resolve));
    }
    if (token === "narrow") return { outcome: "insufficient_scope", scope: "mcp admin" } as const;
    if (token === "dark") return { outcome: "unavailable", reason: "no keys" } as const;
    return this.known(token, proof.authorization === undefined ? "proxy_header" : "user_token");
  }

  known(token: string, how: Principal["how"] = "user_token"): AuthenticationResult {
    if (!this.valid.has(token)) return { outcome: "invalid", reason: "unknown" };
    return {
      outcome: "authenticated",
      principal: { user: token, groups: [], how },
      validUntilMs: Infinity,
      stillValid: () => this.valid.has(token),
    };
  }

  isCheap({ authorization }: ClientProof) {
    return authorization === "Bearer other";
  }

  resourceFacts(tunnel: string) {
    if (tunnel !== "guarded") return undefined;
    return { authorizationServers: ["https://login.example"], scopes: ["mcp"] };
  }
}

let upstream: TestServer;
let onRequest: (request: IncomingMessage, response: ServerResponse) => void;

before(async () => {
  upstream = await startServer((request, response) => {
    request.resume();
    if (request.method === "OPTIONS") return void response.end();
    onRequest(request, response);
  });
});

after(() => upstream.close());

/** Runs with an edge and a rift whose private server answers with the headers it got. */
async function withEdge(
  options: {
    readonly config?: Partial<EdgeSettings>;
    readonly edge?: Partial<EdgeOptions>;
  },
  run: (bench: Bench, tokens: Tokens) => Promise<void>,
): Promise<void> {
  onRequest = (request, response) => answerJson(response, request.headers);
  const tokens = new Tokens();
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [OPEN, GUARDED, PLAIN],
    ...(options.config === undefined ? {} : { config: options.config }),
    edge: { clientAuth: tokens, ...options.edge },
  });
  try {
    const exposes = [OPEN, GUARDED, PLAIN].map(({ name }) => ({
      tunnel: name,
      upstream: `${upstream.url}/mcp`,
      protocol: "mcp" as const,
    }));
    await bench.rift(exposes).ready;
    await run(bench, tokens);
  } finally {
    await bench.close();
  }
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

test("A guarded tunnel tells a client without a token where to get one", async () => {
  await withEdge({}, async ({ edge }) => {
    const url = edge.tunnelUrl("guarded");
    const missing = await ask(url, { method: "POST", body: "{}" });
    const wrong = await ask(url, bearer("stolen"));
    const plain = await ask(edge.tunnelUrl("plain"));
    const metadata = `${edge.url}/.well-known/oauth-protected-resource/guarded/mcp`;

    assert.equal(missing.status, 401);
    assert.equal(
      missing.headers["www-authenticate"],
      `Bearer scope="mcp", resource_metadata="${metadata}"`,
    );
    assert.equal(wrong.status, 401);
    assert.equal(
      wrong.headers["www-authenticate"],
      `Bearer error="invalid_token", scope="mcp", resource_metadata="${metadata}"`,
    );
    assert.equal(plain.status, 401);
    assert.equal(plain.headers["www-authenticate"], "Bearer");
  });
});

test("A guarded tunnel serves metadata whose resource is its URL byte by byte", async () => {
  await withEdge({ config: { publicUrl: "https://mcp.example.com" } }, async ({ edge }) => {
    const answer = await ask(`${edge.url}/.well-known/oauth-protected-resource/guarded/mcp`);
    const none = await ask(`${edge.url}/.well-known/oauth-protected-resource/plain/mcp`);

    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(String(answer.body)), {
      resource: "https://mcp.example.com/guarded/mcp",
      resource_name: "guarded",
      authorization_servers: ["https://login.example"],
      scopes_supported: ["mcp"],
      bearer_methods_supported: ["header"],
    });
    assert.equal(edge.tunnelUrl("guarded"), "https://mcp.example.com/guarded/mcp");
    assert.equal(none.status, 404);
  });
});

test("A guarded tunnel says which scope a token lacks, and when tokens cannot be checked", async () => {
  await withEdge({}, async ({ edge }) => {
    const narrow = await ask(edge.tunnelUrl("guarded"), bearer("narrow"));
    const dark = await ask(edge.tunnelUrl("guarded"), bearer("dark"));

    assert.equal(narrow.status, 403);
    assert.match(
      String(narrow.headers["www-authenticate"]),
      /^Bearer error="insufficient_scope", scope="mcp admin", resource_metadata="http/,
    );
    assert.equal(dark.status, 503);
    assert.ok(Number(dark.headers["retry-after"]) > 0);
  });
});

test("A guarded tunnel refuses tokens in the URL, and keeps good ones from the private server", async () => {
  await withEdge({}, async ({ edge }) => {
    const url = edge.tunnelUrl("guarded");
    const ours = `mcpu_${"x".repeat(43)}`;
    const refused = [
      await ask(`${url}?access_token=good`, bearer("good")),
      await ask(`${url}?Access%5FToken=good`),
      await ask(`${url}?token=${ours}`),
    ];
    const accepted = await ask(url, bearer("good"));
    const passed = await ask(`${edge.tunnelUrl("code")}?access_token=theirs`, bearer("theirs"));

    for (const answer of refused) assert.equal(answer.status, 400);
    assert.equal(refused.length, 3);
    assert.equal(accepted.status, 200);
    assert.equal(JSON.parse(String(accepted.body)).authorization, undefined);
    assert.equal(JSON.parse(String(passed.body)).authorization, "Bearer theirs");
  });
});

test("A token without the scope it needs is in the edge's log, without the token", async () => {
  const refused: LogFields[] = [];
  const log: Logger = {
    ...silentLogger,
    info: (message, fields) => void (message === "Client refused" && refused.push(fields ?? {})),
    child: () => log,
  };
  await withEdge({ edge: { log } }, async ({ edge }) => {
    await ask(edge.tunnelUrl("guarded"), bearer("narrow"));

    assert.equal(refused.length, 1);
    assert.equal(refused[0]!["tunnel"], "guarded");
    assert.match(String(refused[0]!["reason"]), /lacks a scope: mcp admin/);
    assert.doesNotMatch(JSON.stringify(refused), /narrow/);
  });
});

test("A tunnel may keep Authorization from its private server", async () => {
  onRequest = (request, response) => answerJson(response, request.headers);
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [{ ...OPEN, forwardAuthorization: false }],
  });
  try {
    await bench.rift([{ tunnel: "code", upstream: `${upstream.url}/mcp`, protocol: "mcp" }]).ready;
    const kept = await ask(bench.edge.tunnelUrl("code"), bearer("theirs"));

    assert.equal(JSON.parse(String(kept.body)).authorization, undefined);
  } finally {
    await bench.close();
  }
});

test("A rift shows its own credential for users whom the edge has proved, and for nobody else", async () => {
  onRequest = (request, response) => answerJson(response, request.headers);
  const warnings: string[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (text) => void warnings.push(text),
    child: () => log,
  };
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [OPEN, GUARDED],
    edge: { clientAuth: new Tokens() },
  });
  try {
    const authorization = new Secret("Bearer upstream-own");
    const exposes = [OPEN, GUARDED].map(({ name }) => ({
      tunnel: name,
      upstream: `${upstream.url}/mcp`,
      protocol: "mcp" as const,
      authorization,
    }));
    await bench.rift(exposes, { log }).ready;
    const shown = async (url: string, options = {}): Promise<unknown> =>
      JSON.parse(String((await ask(url, options)).body)).authorization;
    const { origin } = new URL(bench.edge.url);
    const document = `${origin}/.well-known/oauth-protected-resource/code/mcp`;

    assert.equal(
      await shown(bench.edge.tunnelUrl("guarded"), bearer("good")),
      "Bearer upstream-own",
    );
    assert.equal(warnings.length, 0);
    assert.equal(await shown(bench.edge.tunnelUrl("code")), undefined);
    assert.equal(await shown(bench.edge.tunnelUrl("code"), bearer("theirs")), "Bearer theirs");
    assert.equal(await shown(document), undefined);
    assert.equal(warnings.filter((text) => text.startsWith("authorization_file is not")).length, 1);
  } finally {
    await bench.close();
  }
});

test("Asking whether a private server is there shows the rift's own credential, and warns of nothing", async () => {
  const shown: (string | undefined)[] = [];
  const server = await startServer((request, response) => {
    shown.push(request.headers.authorization);
    response.end();
  });
  const warnings: string[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (text) => void warnings.push(text),
    child: () => log,
  };
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [OPEN],
  });
  try {
    const expose = { tunnel: "code", upstream: `${server.url}/mcp`, protocol: "mcp" } as const;
    await bench.rift([{ ...expose, authorization: new Secret("Bearer own") }], { log }).ready;
    shown.length = 0;
    const probe = await bench.edge.probe("code", new AbortController().signal);

    assert.equal(probe.answered, true);
    assert.deepEqual(shown, ["Bearer own"]);
    assert.equal(warnings.length, 0);
  } finally {
    await bench.close();
    await server.close();
  }
});

test("A guarded tunnel never lets its private server ask clients for a token", async () => {
  await withEdge({}, async ({ edge }) => {
    onRequest = (_request, response) => {
      response.writeHead(401, { "www-authenticate": 'Bearer resource_metadata="https://evil"' });
      response.end();
    };
    const guarded = await ask(edge.tunnelUrl("guarded"), bearer("good"));
    const open = await ask(edge.tunnelUrl("code"));
    onRequest = (_request, response) => {
      response.writeHead(200, { "www-authenticate": "Bearer x", "mcptun-exchange": "forged" });
      response.end();
    };
    const stripped = await ask(edge.tunnelUrl("guarded"), bearer("good"));

    assert.equal(guarded.status, 502);
    assert.equal(guarded.headers["www-authenticate"], undefined);
    assert.equal(open.status, 401);
    assert.equal(open.headers["www-authenticate"], 'Bearer resource_metadata="https://evil"');
    assert.equal(stripped.headers["www-authenticate"], undefined);
    assert.equal(stripped.headers["mcptun-exchange"], undefined);
  });
});

test("Guessing tokens ends in cheap answers, and asking without one goes on", async () => {
  await withEdge({}, async ({ edge }) => {
    const url = edge.tunnelUrl("guarded");
    let guesses = 0;
    // Failures are forgiven with time, so that one or two more may be looked at.
    while (guesses < 2 * FAILURES_AT_ONCE) {
      if ((await ask(url, bearer(`guess-${guesses}`))).status === 429) break;
      guesses++;
    }
    const blocked = await ask(url, bearer("good"));
    const cheap = await ask(url, bearer("other"));
    const anonymous = await ask(url);

    assert.ok(guesses >= FAILURES_AT_ONCE && guesses < 2 * FAILURES_AT_ONCE, String(guesses));
    assert.equal(blocked.status, 429);
    // What is known by a lookup is let in all the same: a neighbor behind one address.
    assert.equal(cheap.status, 200);
    assert.ok(Number(blocked.headers["retry-after"]) > 0);
    assert.equal(anonymous.status, 401);
  });
});

test("A client that leaves while its token is checked leaves nothing behind", async () => {
  await withEdge({}, async ({ edge }, tokens) => {
    const { request, response } = openRequest(edge.tunnelUrl("guarded"), bearer("slow"));
    response.catch(() => {});
    request.end();
    await waitFor(() => tokens.pending.length === 1);
    request.destroy();
    await waitFor(() => edge.status().clientConnections === 0);
    tokens.pending[0]!(tokens.known("good"));
    const after = await ask(edge.tunnelUrl("guarded"), bearer("good"));

    assert.equal(after.status, 200);
    await waitFor(() => edge.status().exchanges === 0);
  });
});

test("A slow check lets the request in with its whole body", async () => {
  await withEdge({}, async ({ edge }, tokens) => {
    onRequest = (request, response) => {
      let length = 0;
      request.on("data", (chunk: Uint8Array) => length += chunk.length);
      request.on("end", () => answerJson(response, { length }));
    };
    const asked = ask(edge.tunnelUrl("guarded"), {
      method: "POST",
      body: "x".repeat(300_000),
      headers: { authorization: "Bearer slow" },
    });
    await waitFor(() => tokens.pending.length === 1);
    tokens.pending[0]!(tokens.known("good"));
    const answer = await asked;

    assert.equal(answer.status, 200);
  });
});

test("Revoking a proof ends the exchanges it opened, and no others", async () => {
  await withEdge({}, async ({ edge }, tokens) => {
    onRequest = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    };
    const revoked = openRequest(edge.tunnelUrl("guarded"), bearer("good"));
    const kept = openRequest(edge.tunnelUrl("guarded"), bearer("other"));
    revoked.request.end();
    kept.request.end();
    const [ending, going] = [await revoked.response, await kept.response];
    const cut = new Promise((resolve) => ending.on("close", resolve));
    ending.on("error", () => {});
    ending.resume();
    tokens.valid.delete("good");

    edge.recheckClients();

    await cut;
    assert.equal(ending.complete, false);
    assert.equal(going.destroyed, false);
    assert.equal((await ask(edge.tunnelUrl("guarded"), bearer("good"))).status, 401);
    going.destroy();
    await waitFor(() => edge.status().exchanges === 0);
    assert.equal(edge.status().tunnels.find(({ name }) => name === "guarded")?.eventStreams, 0);
  });
});

test("A connection whose token was revoked gets nothing more, and one token does not speak for another", async () => {
  await withEdge({}, async ({ edge }, tokens) => {
    const { host, pathname } = new URL(edge.tunnelUrl("guarded"));
    const client = await RawClient.open(edge.url);
    const statusOf = async (token: string): Promise<string> => {
      const from = client.received.length;
      client.send(
        `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
      );
      await waitFor(() => client.received.slice(from).includes("\r\n\r\n"));
      await waitFor(() => edge.status().exchanges === 0);
      return client.received.slice(from, from + 12);
    };

    const statuses = [await statusOf("good"), await statusOf("good"), await statusOf("bad")];
    statuses.push(await statusOf("good"));
    tokens.valid.delete("good");
    statuses.push(await statusOf("good"), await statusOf("other"));
    client.destroy();

    assert.deepEqual(statuses.map((status) => status.slice(9)), [
      "200",
      "200",
      "401",
      "200",
      "401",
      "200",
    ]);
  });
});

test("New settings end the exchanges of those who would not get in any more, and no others", async () => {
  const edge = { proxyHeaders: { user: "x-auth-user" } };
  const config = { trustedProxies: ["127.0.0.1"] };
  await withEdge({ edge, config }, async ({ edge }, tokens) => {
    onRequest = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    };
    const open = async (tunnel: string, question: Question) => {
      const opened = openRequest(edge.tunnelUrl(tunnel), question);
      opened.request.end();
      const response = await opened.response;
      response.resume();
      const closed = new Promise<void>((resolve) => response.on("close", resolve));
      response.on("error", () => {});
      return { response, closed };
    };
    const anonymous = await open("code", {});
    const named = await open("guarded", { headers: { "x-auth-user": "good" } });
    const withToken = await open("guarded", bearer("good"));
    const onRemoved = await open("plain", bearer("good"));

    edge.update({
      config: EDGE_SETTINGS,
      tunnels: [{ ...OPEN, auth: "edge" }, GUARDED],
      clientAuth: tokens,
    });
    await Promise.all([anonymous.closed, named.closed, onRemoved.closed]);

    assert.equal(edge.status().exchanges, 1);
    assert.equal(withToken.response.complete, false);
    assert.equal(withToken.response.destroyed, false);
    withToken.response.destroy();
    await waitFor(() => edge.status().exchanges === 0);
  });
});

test("Event streams that were asked for at once are bounded as well", async () => {
  await withEdge({ config: { maxEventStreams: 2 } }, async ({ edge }) => {
    const held: ServerResponse[] = [];
    onRequest = (_request, response) => void held.push(response);
    const opened = Array.from({ length: 5 }, () => {
      const one = openRequest(edge.tunnelUrl("guarded"), bearer("good"));
      one.request.end();
      return one;
    });
    await waitFor(() => held.length === 5);
    for (const response of held) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    }
    const answers = await Promise.all(opened.map(({ response }) => response));
    const refused = answers.filter(({ statusCode }) => statusCode === 429);
    for (const answer of answers) answer.destroy();
    await waitFor(() => edge.status().exchanges === 0);

    assert.equal(answers.length, 5);
    assert.equal(refused.length, 3);
  });
});

test("One user's event streams are bounded, and another user's are not counted among them", async () => {
  await withEdge({ config: { maxEventStreams: 2 } }, async ({ edge }) => {
    onRequest = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    };
    const url = edge.tunnelUrl("guarded");
    const streams = [bearer("good"), bearer("good"), bearer("other")].map((question) => {
      const opened = openRequest(url, question);
      opened.request.end();
      return opened;
    });
    const answers = await Promise.all(streams.map(({ response }) => response));
    const third = await ask(url, bearer("good"));
    for (const answer of answers) answer.destroy();
    await waitFor(() => edge.status().exchanges === 0);
    onRequest = (request, response) => answerJson(response, request.headers);
    const again = await ask(url, bearer("good"));

    assert.deepEqual(answers.map(({ statusCode }) => statusCode), [200, 200, 200]);
    assert.equal(third.status, 429);
    assert.match(String(third.body), /TOO_MANY_STREAMS/);
    assert.equal(again.status, 200);
  });
});

test("Event streams of a user take no place of the same name of another issuer", async () => {
  /** All of them are tokens of "alice", of the issuer that they name. */
  class Issuers extends Tokens {
    override authenticate({ authorization = "" }: ClientProof): AuthenticationResult {
      const issuer = authorization.split(" ")[1];
      return {
        outcome: "authenticated",
        principal: { user: "alice", groups: [], how: "jwt", issuer },
        validUntilMs: Infinity,
        stillValid: () => true,
      };
    }
  }
  const config = { maxEventStreams: 1 };
  await withEdge({ config, edge: { clientAuth: new Issuers() } }, async ({ edge }) => {
    onRequest = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    };
    const answers: IncomingMessage[] = [];
    for (const issuer of ["https://one.example", "https://two.example", "https://one.example"]) {
      const opened = openRequest(edge.tunnelUrl("guarded"), bearer(issuer));
      opened.request.end();
      answers.push(await opened.response);
    }
    for (const answer of answers) answer.destroy();

    assert.deepEqual(answers.map(({ statusCode }) => statusCode), [200, 200, 429]);
  });
});

test("A header that names a user counts only from a listed proxy, and never travels on", async () => {
  const edge = { proxyHeaders: { user: "x-auth-user", groups: "x-auth-groups" } };
  const named = { headers: { "x-auth-user": "good", "x-auth-groups": "a,b" } };
  await withEdge({ edge }, async ({ edge }) => {
    assert.equal((await ask(edge.tunnelUrl("guarded"), named)).status, 401);
    const passed = await ask(edge.tunnelUrl("code"), named);
    assert.equal(JSON.parse(String(passed.body))["x-auth-user"], undefined);
  });
  await withEdge({ edge, config: { behindProxy: true } }, async ({ edge }) => {
    assert.equal((await ask(edge.tunnelUrl("guarded"), named)).status, 401);
  });
  await withEdge({ edge, config: { trustedProxies: ["127.0.0.1"] } }, async ({ edge }) => {
    const answer = await ask(edge.tunnelUrl("guarded"), named);
    const twice = await ask(edge.tunnelUrl("guarded"), {
      headers: { "x-auth-user": ["good", "other"] },
    });

    assert.equal(answer.status, 200);
    const headers = JSON.parse(String(answer.body));
    assert.equal(headers["x-auth-user"], undefined);
    assert.equal(headers["x-auth-groups"], undefined);
    assert.equal(twice.status, 400);
  });
});

test("Connections of one address are bounded, and those above the bound learn why", async () => {
  await withEdge({ config: { maxConnectionsPerAddress: 3 } }, async ({ edge }) => {
    const idle = [];
    for (let opened = 0; opened < 3; opened++) idle.push(await RawClient.open(edge.url));
    await waitFor(() => edge.status().clientConnections === 3);
    const refused = await ask(edge.tunnelUrl("code"));
    for (const client of idle) client.destroy();
    await waitFor(() => edge.status().clientConnections === 0);
    const served = await ask(edge.tunnelUrl("code"));

    assert.equal(refused.status, 429);
    assert.match(String(refused.body), /TOO_MANY_FROM_ADDRESS.*|limit is 3/);
    assert.equal(refused.headers.connection, "close");
    assert.equal(served.status, 200);
  });
  const proxied = { maxConnectionsPerAddress: 1, trustedProxies: ["127.0.0.1"] };
  await withEdge({ config: proxied }, async ({ edge }) => {
    const idle = await RawClient.open(edge.url);
    await waitFor(() => edge.status().clientConnections === 1);
    const served = await ask(edge.tunnelUrl("code"));
    idle.destroy();

    assert.equal(served.status, 200);
  });
});
