/** What the edge refuses before anything is forwarded, byte by byte. @module */

import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { after, before, test } from "node:test";

import { systemClock } from "../../src/clock.ts";
import { silentLogger } from "../../src/log.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { clientAuthentication } from "../../src/identity/client_auth.ts";
import { SERVER_NAME } from "../../src/identity/tunnel_ca.ts";
import {
  answerJson,
  ask,
  readAnswer,
  startServer,
  type TestServer,
} from "../support/http_probe.ts";
import { RawClient, rawRequest } from "../support/raw_http.ts";
import { makeTestPki } from "../support/test_pki.ts";
import { type Bench, MCP_TUNNEL, startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const TOKEN = "mcpu_test-token";
const HOST_TUNNEL = { ...MCP_TUNNEL, name: "own", host: "own.example.com", path: "/mcp" };

let upstream: TestServer;
let open: Bench;
let guarded: Bench;
let seen: string[] = [];

before(async () => {
  upstream = await startServer((request, response) => {
    if (request.method !== "OPTIONS") seen.push(`${request.method} ${request.url}`);
    request.resume();
    answerJson(response, request.headers);
  });
  const makeTransport = () =>
    Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS });
  const exposes = [
    { tunnel: "web", upstream: upstream.url, protocol: "http" },
    { tunnel: "code", upstream: `${upstream.url}/mcp`, protocol: "mcp" },
    { tunnel: "own", upstream: `${upstream.url}/own`, protocol: "mcp" },
  ] as const;
  open = await startBench({
    makeTransport,
    tunnels: [WEB_TUNNEL, MCP_TUNNEL, HOST_TUNNEL],
    config: { hosts: ["mcp.example.com", "exact.example.com:8443"], maxHeaders: 20 },
  });
  guarded = await startBench({
    makeTransport,
    tunnels: [WEB_TUNNEL, MCP_TUNNEL, HOST_TUNNEL].map((tunnel) => ({ ...tunnel, auth: "edge" })),
    edge: {
      clientAuth: clientAuthentication({
        auth: { issuers: [] },
        userTokens: {
          check: (token) =>
            token === TOKEN
              ? { id: "1", user: "alice", groups: [], validUntilMs: Infinity }
              : undefined,
          isActive: () => true,
        },
        resourceOf: () => "",
        clock: systemClock,
        log: silentLogger,
      }),
    },
  });
  await open.rift(exposes).ready;
  await guarded.rift(exposes).ready;
});

after(async () => {
  await open.close();
  await guarded.close();
  await upstream.close();
});

/** `{host}` in a case stands for the real `host:port`. */
function filled(text: string, bench: Bench = open): string {
  return text.replaceAll("{host}", new URL(bench.edge.url).host)
    .replaceAll("{port}", new URL(bench.edge.url).port);
}

const REFUSED: readonly (readonly [name: string, request: string, status: number, code: string])[] =
  [
    ["no Host", "GET /web HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"],
    ["no Host in HTTP/1.0", "GET /web HTTP/1.0\r\n\r\n", 400, "BAD_REQUEST"],
    ["an empty Host", "GET /web HTTP/1.1\r\nHost: \r\n\r\n", 421, "HOST_REFUSED"],
    ["two Hosts", "GET /web HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    [
      "two Hosts of different case",
      "GET /web HTTP/1.1\r\nHost: {host}\r\nhOST: evil.example\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    ["a foreign Host", "GET /web HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, "HOST_REFUSED"],
    [
      "a Host that starts like ours",
      "GET /web HTTP/1.1\r\nHost: mcp.example.com.evil.example\r\n\r\n",
      421,
      "HOST_REFUSED",
    ],
    [
      "a loopback literal in front of a name",
      "GET /web HTTP/1.1\r\nHost: [::1].evil.example\r\n\r\n",
      421,
      "HOST_REFUSED",
    ],
    [
      "loopback on another port",
      "GET /web HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
      421,
      "HOST_REFUSED",
    ],
    ["user info in Host", "GET /web HTTP/1.1\r\nHost: a@{host}\r\n\r\n", 421, "HOST_REFUSED"],
    [
      "the wrong port of a name with a port",
      "GET /web HTTP/1.1\r\nHost: exact.example.com:{port}\r\n\r\n",
      421,
      "HOST_REFUSED",
    ],
    [
      "an absolute target with another authority",
      "GET http://evil.example/web HTTP/1.1\r\nHost: {host}\r\n\r\n",
      421,
      "HOST_REFUSED",
    ],
    [
      "an absolute target of another scheme",
      "GET ftp://{host}/web HTTP/1.1\r\nHost: {host}\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    ["a target of *", "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["dot segments", "GET /web/../x HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["a final dot segment", "GET /web/.. HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["encoded dots", "GET /web/%2E%2e/x HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["an encoded slash", "GET /web/a%2fb HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["an encoded backslash", "GET /web/a%5Cb HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["a backslash", "GET /web/a\\b HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    [
      "dots with a parameter",
      "GET /web/..;/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    ["an empty segment", "GET //web HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["a fragment", "GET /web#x HTTP/1.1\r\nHost: {host}\r\n\r\n", 400, "BAD_REQUEST"],
    ["a path of no tunnel", "GET /other HTTP/1.1\r\nHost: {host}\r\n\r\n", 404, "NO_ROUTE"],
    ["a longer name", "GET /webb HTTP/1.1\r\nHost: {host}\r\n\r\n", 404, "NO_ROUTE"],
    [
      "a path below an MCP tunnel",
      "GET /code/mcp/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
      404,
      "NO_ROUTE",
    ],
    ["another case of a path", "GET /code/MCP HTTP/1.1\r\nHost: {host}\r\n\r\n", 404, "NO_ROUTE"],
    [
      "a tunnel with its own host at the edge's",
      "GET /mcp HTTP/1.1\r\nHost: {host}\r\n\r\n",
      404,
      "NO_ROUTE",
    ],
    [
      "a tunnel by path at another tunnel's host",
      "GET /web HTTP/1.1\r\nHost: own.example.com\r\n\r\n",
      404,
      "NO_ROUTE",
    ],
    ["HEAD on MCP", "HEAD /code/mcp HTTP/1.1\r\nHost: {host}\r\n\r\n", 405, ""],
    ["PUT on MCP", "PUT /code/mcp HTTP/1.1\r\nHost: {host}\r\n\r\n", 405, "METHOD_REFUSED"],
    ["OPTIONS on MCP", "OPTIONS /code/mcp HTTP/1.1\r\nHost: {host}\r\n\r\n", 405, "METHOD_REFUSED"],
    ["TRACE", "TRACE /web HTTP/1.1\r\nHost: {host}\r\n\r\n", 405, "METHOD_REFUSED"],
    ["CONNECT", "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n", 405, "METHOD_REFUSED"],
    [
      "an unlisted Origin",
      "POST /code/mcp HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example\r\n\r\n",
      403,
      "ORIGIN_REFUSED",
    ],
    [
      "Origin null",
      "POST /code/mcp HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\n\r\n",
      403,
      "ORIGIN_REFUSED",
    ],
    [
      "two listed Origins",
      "POST /code/mcp HTTP/1.1\r\nHost: {host}\r\n" +
      "Origin: https://good.example\r\nOrigin: https://good.example\r\n\r\n",
      403,
      "ORIGIN_REFUSED",
    ],
    [
      "a listed Origin at another tunnel",
      "POST /web HTTP/1.1\r\nHost: {host}\r\nOrigin: https://good.example\r\n\r\n",
      403,
      "ORIGIN_REFUSED",
    ],
    [
      "a WebSocket upgrade",
      "GET /web HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    [
      "an unknown expectation",
      "POST /web HTTP/1.1\r\nHost: {host}\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    [
      "a duplicate Mcp header",
      "POST /code/mcp HTTP/1.1\r\nHost: {host}\r\nMcp-Name: a\r\nmcp-name: b\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    [
      "Content-Length with chunked",
      "POST /web HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n" +
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    [
      "two Content-Lengths",
      "POST /web HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
      400,
      "BAD_REQUEST",
    ],
    [
      "a coding besides chunked",
      "POST /web HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    [
      "a bare LF in a header",
      "GET /web HTTP/1.1\r\nHost: {host}\r\nX: a\n b\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    ["a space before the colon", "GET /web HTTP/1.1\r\nHost : {host}\r\n\r\n", 400, "BAD_REQUEST"],
    [
      "too many headers",
      `GET /web HTTP/1.1\r\nHost: {host}\r\n${"X: y\r\n".repeat(20)}\r\n`,
      431,
      "HEADERS_TOO_LARGE",
    ],
    [
      "headers that are too large",
      `GET /web HTTP/1.1\r\nHost: {host}\r\nX: ${"y".repeat(20_000)}\r\n\r\n`,
      431,
      "HEADERS_TOO_LARGE",
    ],
    [
      "a body that is too large",
      "POST /web HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999\r\n\r\n",
      413,
      "BODY_TOO_LARGE",
    ],
  ];

test("The front door refuses what is not for it, and nothing reaches the upstream", async () => {
  seen = [];
  let count = 0;
  for (const [name, request, status, code] of REFUSED) {
    if (request.startsWith("HEAD")) {
      const answer = await ask(open.edge.tunnelUrl("code"), { method: "HEAD" });
      assert.equal(answer.status, status, name);
    } else {
      const answer = await rawRequest(open.edge.url, filled(request));
      assert.equal(answer.status, status, `${name}: ${answer.body}`);
      const body = JSON.parse(answer.body);
      assert.equal(body.error.data.code, code, name);
      assert.equal(body.error.code, -32_600, name);
      assert.equal(body.id, null, name);
    }
    count++;
  }
  assert.equal(count, REFUSED.length);
  assert.deepEqual(seen, []);
});

test("The front door accepts each good form of Host, target and Origin", async () => {
  const accepted = [
    "GET /web HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET /web HTTP/1.1\r\nHost: LOCALHOST:{port}\r\n\r\n",
    "GET /web HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n",
    "GET /web HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n",
    "GET /web HTTP/1.1\r\nHost: MCP.Example.com:{port}\r\n\r\n",
    "GET /web HTTP/1.1\r\nHost: exact.example.com:8443\r\n\r\n",
    "GET http://{host}/web/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET /mcp HTTP/1.1\r\nHost: own.example.com\r\n\r\n",
    "GET /web/a.b/..c/%20?q=/../%2e HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET /code/mcp HTTP/1.1\r\nHost: {host}\r\nOrigin: https://good.example\r\n\r\n",
    "DELETE /code/mcp HTTP/1.1\r\nHost: {host}\r\n\r\n",
  ];
  seen = [];
  for (const request of accepted) {
    const answer = await rawRequest(open.edge.url, filled(request));
    assert.equal(answer.status, 200, `${request}: ${answer.body}`);
  }
  assert.equal(seen.length, accepted.length);
});

test("The front door names the methods of a tunnel with 405", async () => {
  const answer = await rawRequest(
    open.edge.url,
    filled("PUT /code/mcp HTTP/1.1\r\nHost: {host}\r\n\r\n"),
  );

  assert.equal(answer.headers.get("allow"), "GET, POST, DELETE");
});

test("The front door takes h2c offers for what they are and goes on in HTTP/1.1", async () => {
  const answer = await rawRequest(
    open.edge.url,
    filled(
      "GET /web HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
    ),
  );

  assert.equal(answer.status, 200);
  assert.equal(JSON.parse(answer.body)["upgrade"], undefined);
});

test("The front door asks for a token on tunnels that need one", async () => {
  const paths = ["/code/mcp", "/web"];
  for (const path of paths) {
    const bare = await rawRequest(
      guarded.edge.url,
      filled(`POST ${path} HTTP/1.1\r\nHost: {host}\r\n\r\n`, guarded),
    );
    assert.equal(bare.status, 401, path);
    assert.equal(bare.headers.get("www-authenticate"), "Bearer");
  }
  const wrong = await rawRequest(
    guarded.edge.url,
    filled("GET /web HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer nope\r\n\r\n", guarded),
  );
  const twice = await rawRequest(
    guarded.edge.url,
    filled(
      `GET /web HTTP/1.1\r\nHost: {host}\r\n${`Authorization: Bearer ${TOKEN}\r\n`.repeat(2)}\r\n`,
      guarded,
    ),
  );

  assert.equal(wrong.status, 401);
  assert.equal(twice.status, 401);
});

test("The front door keeps the edge's own token from the upstream", async () => {
  const answer = await rawRequest(
    guarded.edge.url,
    filled(`GET /web HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`, guarded),
  );

  assert.equal(answer.status, 200);
  assert.equal(JSON.parse(answer.body)["authorization"], undefined);
});

test("The front door refuses before it asks for the body", async () => {
  const client = await RawClient.open(open.edge.url);
  client.send(
    filled(
      "POST /web HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n" +
        "Content-Length: 99999999\r\n\r\n",
    ),
  );
  const answer = await client.answer();
  client.destroy();

  assert.equal(answer.status, 413);
  assert.equal(answer.headers.get("connection"), "close");
});

test("A client that is refused in its body can read the answer and is not reset", async () => {
  const client = await RawClient.open(open.edge.url);
  client.send(filled("POST /nothing HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4000000\r\n\r\n"));
  const piece = "x".repeat(100_000);
  const answered = client.answer();
  for (let sent = 0; sent < 40; sent++) {
    if (!client.socket.write(piece, "latin1")) await once(client.socket, "drain");
  }
  const answer = await answered;
  const end = await client.closed;

  assert.equal(answer.status, 404);
  assert.equal(end, "end");
});

test("Requests on one connection are answered in order, refused ones among them", async () => {
  const client = await RawClient.open(open.edge.url);
  client.send(filled(
    "GET /web/1 HTTP/1.1\r\nHost: {host}\r\n\r\nGET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n" +
      "GET /web/2 HTTP/1.1\r\nHost: {host}\r\n\r\n",
  ));
  const statuses = [await client.answer(), await client.answer(), await client.answer()]
    .map((answer) => answer.status);
  client.destroy();

  assert.deepEqual(statuses, [200, 404, 200]);
});

test("An edge takes what its operator's proxy says only when it is told to", async () => {
  const makeTransport = () =>
    Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS });
  const proxied = await startBench({ makeTransport, config: { behindProxy: true } });
  try {
    await proxied.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]).ready;
    const answer = await ask(proxied.edge.tunnelUrl("web"), {
      headers: {
        "x-forwarded-for": "203.0.113.9",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "mcp.example.com",
      },
    });

    const headers = JSON.parse(String(answer.body));
    assert.equal(headers["x-forwarded-for"], "203.0.113.9, 127.0.0.1");
    assert.equal(headers["x-forwarded-proto"], "https");
    assert.equal(headers["x-forwarded-host"], "mcp.example.com");
  } finally {
    await proxied.close();
  }
});

test("An edge refuses to serve plain HTTP to other machines", async () => {
  const makeTransport = () =>
    Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS });

  await assert.rejects(startBench({ makeTransport, config: { listen: "0.0.0.0:0" } }), {
    code: "CONFIG_INVALID",
  });
});

test("An edge with a certificate serves HTTPS and says so to the upstream", async () => {
  const { server, caPem } = await makeTestPki();
  const makeTransport = () =>
    Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS });
  const secure = await startBench({ makeTransport, edge: { publicTls: server } });
  try {
    await secure.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]).ready;
    const request = httpsRequest(secure.edge.tunnelUrl("web"), {
      ca: caPem,
      servername: SERVER_NAME,
      agent: false,
    });
    request.end();
    const [message]: IncomingMessage[] = await once(request, "response");
    assert.ok(message);
    const answer = await readAnswer(message);

    assert.equal(answer.status, 200);
    assert.equal(JSON.parse(String(answer.body))["x-forwarded-proto"], "https");
    assert.match(secure.edge.url, /^https:/);
  } finally {
    await secure.close();
  }
});

test("An edge says which address is in use", async () => {
  const makeTransport = () =>
    Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS });
  const { host } = new URL(open.edge.url);

  await assert.rejects(startBench({ makeTransport, config: { listen: host } }), {
    code: "ADDRESS_IN_USE",
  });
});
