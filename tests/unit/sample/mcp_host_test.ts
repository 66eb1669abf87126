import assert from "node:assert/strict";
import { request } from "node:http";
import test from "node:test";
import { McpServer } from "@modelcontextprotocol/server";
import { TunnelError } from "../../../src/errors.ts";
import { silentLogger } from "../../../src/log.ts";
import { type McpHost, type McpHostOptions, startMcpHost } from "../../../src/sample/mcp_host.ts";

const INITIALIZE = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "test", version: "1.0.0" },
  },
};
const PING = { jsonrpc: "2.0", id: 2, method: "ping" };

async function withHost(
  options: Partial<McpHostOptions>,
  check: (host: McpHost) => Promise<void>,
): Promise<void> {
  const host = await startMcpHost({
    createServer: () =>
      new McpServer({ name: "test", version: "1.0.0" }, {
        capabilities: { resources: { subscribe: true } },
      }),
    log: silentLogger,
    signal: new AbortController().signal,
    ...options,
  });
  try {
    await check(host);
  } finally {
    await host.close();
  }
}

async function post(url: string, message: unknown, sessionId?: string): Promise<Response> {
  const answer = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(sessionId === undefined ? {} : { "mcp-session-id": sessionId }),
    },
    body: JSON.stringify(message),
  });
  await answer.clone().text();
  return answer;
}

async function openSession(host: McpHost): Promise<string> {
  const answer = await post(host.url, INITIALIZE);
  const id = answer.headers.get("mcp-session-id");
  assert.ok(id);
  return id;
}

test("one session too many ends the session unused for longest", async () => {
  await withHost({ maxSessions: 2 }, async (host) => {
    const first = await openSession(host);
    const second = await openSession(host);
    assert.equal((await post(host.url, PING, first)).status, 200);

    const third = await openSession(host);

    assert.equal(host.sessions(), 2);
    assert.equal((await post(host.url, PING, second)).status, 404);
    assert.equal((await post(host.url, PING, first)).status, 200);
    assert.equal((await post(host.url, PING, third)).status, 200);
  });
});

test("DELETE ends a session", async () => {
  await withHost({}, async (host) => {
    const id = await openSession(host);

    const answer = await fetch(host.url, { method: "DELETE", headers: { "mcp-session-id": id } });

    await answer.text();
    assert.equal(answer.status, 200);
    assert.equal(host.sessions(), 0);
    assert.equal((await post(host.url, PING, id)).status, 404);
  });
});

test("a request outside a session that opens none is refused", async () => {
  await withHost({}, async (host) => {
    assert.equal((await post(host.url, PING)).status, 400);
    assert.equal(host.sessions(), 0);
  });
});

test("a body over the limit is refused", async () => {
  await withHost({ maxRequestBytes: 1_024 }, async (host) => {
    const answer = await post(host.url, { ...PING, params: { filler: "x".repeat(2_000) } });

    assert.equal(answer.status, 413);
  });
});

test("a path other than /mcp is not found", async () => {
  await withHost({}, async (host) => {
    assert.equal((await post(`${host.url}/more`, PING)).status, 404);
  });
});

for (
  const [header, value] of [["host", "evil.example.com"], ["origin", "http://evil.example.com"]]
) {
  test(`a foreign ${header} is refused`, async () => {
    await withHost({}, async (host) => {
      const status = await statusOf(host.url, { [String(header)]: String(value) });

      assert.equal(status, 403);
    });
  });
}

test("a port in use is named", async () => {
  await withHost({}, async (host) => {
    const port = Number(new URL(host.url).port);

    await assert.rejects(
      withHost({ port }, () => Promise.resolve()),
      (error) => error instanceof TunnelError && error.code === "ADDRESS_IN_USE",
    );
  });
});

/** The status of a POST with headers that `fetch` would not send. */
function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", headers }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    sent.once("error", reject);
    sent.end();
  });
}
