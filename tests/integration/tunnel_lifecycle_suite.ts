/** How a tunnel comes, goes and refuses, whatever carries it. Called once per transport. @module */

import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import type { ServerResponse } from "node:http";

import {
  ask,
  deferred,
  openRequest,
  readAnswer,
  startServer,
  type TestServer,
} from "../support/http_probe.ts";
import { rawRequest } from "../support/raw_http.ts";
import { authorityOf, MCP_TUNNEL, startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";
import {
  echoBody,
  errorCode,
  freePort,
  type SuiteOptions,
  tunnelContext,
  waitFor,
} from "../support/tunnel_context.ts";

/** Declares the whole suite. */
export function tunnelLifecycleSuite(options: SuiteOptions): void {
  const { makeTransport } = options;
  const { behavior, withTunnel } = tunnelContext(options);

  // --- Without an upstream or a rift ---

  behavior("answers 503 with Retry-After while no rift is connected", async () => {
    const bench = await startBench({ makeTransport });
    try {
      const answer = await ask(bench.edge.tunnelUrl("code"), { method: "POST", body: "{}" });

      assert.equal(answer.status, 503);
      assert.match(String(answer.headers["retry-after"]), /^\d+$/);
      assert.deepEqual(JSON.parse(String(answer.body)), {
        jsonrpc: "2.0",
        id: null,
        error: {
          code: -32_603,
          message: "No rift serves this tunnel now",
          data: { code: "TUNNEL_OFFLINE" },
        },
      });
    } finally {
      await bench.close();
    }
  });

  behavior("is registered only once its upstream answers", async () => {
    const port = await freePort();
    const bench = await startBench({ makeTransport });
    let upstream: TestServer | undefined;
    try {
      const rift = bench.rift([
        { tunnel: "web", upstream: `http://127.0.0.1:${port}/`, protocol: "http" },
      ], { random: () => 0 });
      await waitFor(() => bench.edge.status().tunnels.length > 0);
      const before = await ask(bench.edge.tunnelUrl("web"));
      upstream = await startServer(echoBody, port);
      await rift.ready;
      const after = await ask(bench.edge.tunnelUrl("web"), { method: "POST", body: "up" });

      assert.equal(before.status, 503);
      assert.equal(String(after.body), "up");
    } finally {
      await bench.close();
      await upstream?.close();
    }
  });

  behavior(
    "moves to a fresh connection before the old one is used up, and loses nothing",
    async () => {
      const bench = await startBench({ makeTransport });
      let finish!: () => void;
      const upstream = await startServer((request, response) => {
        if (!request.url?.endsWith("/long")) return echoBody(request, response);
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write("data: first\n\n");
        finish = () => response.end("data: last\n\n");
      });
      try {
        const states: string[] = [];
        const rift = bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }], {
          connectionStreams: 20,
          onState: (state) => states.push(state),
        });
        await rift.ready;
        const url = bench.edge.tunnelUrl("web");
        const long = openRequest(`${url}/long`);
        long.request.end();
        const answer = await long.response;
        const whole = readAnswer(answer);
        whole.catch(() => {}); // awaited below, unless something else fails first
        const connected = () => states.filter((state) => state === "connected").length;
        let asked = 0;
        let served = 0;
        // Moving takes its time, in which the old connection goes on to serve.
        for (; asked < 5_000 && connected() < 5; asked++) {
          const echoed = await ask(url, { method: "POST", body: String(asked) });
          if (String(echoed.body) === String(asked)) served += 1;
        }
        finish();

        assert.equal(served, asked);
        // Four connections used up, each by a stream for each call and a few of its own.
        assert.ok(asked >= 60);
        assert.equal(String((await whole).body), "data: first\n\ndata: last\n\n");
        assert.ok(connected() >= 5);
      } finally {
        await bench.close();
        await upstream.close();
      }
    },
  );

  behavior("answers 502 while its upstream is down, and works again after", async () => {
    await withTunnel(echoBody, async ({ mcpUrl, upstream }) => {
      await upstream.close();
      const down = await ask(mcpUrl, { method: "POST", body: "1" });
      const again = await startServer(echoBody, upstream.port);
      const up = await ask(mcpUrl, { method: "POST", body: "2" });
      await again.close();

      assert.equal(down.status, 502);
      assert.equal(errorCode(down.body), "UPSTREAM_UNREACHABLE");
      assert.equal(String(up.body), "2");
    });
  });

  behavior("fails running exchanges and serves new ones when its rift is replaced", async () => {
    const hanging = deferred<void>();
    await withTunnel((request, response) => {
      if (request.url === "/mcp?hang") return hanging.resolve();
      echoBody(request, response);
    }, async ({ mcpUrl, bench, upstream }) => {
      const cut = ask(`${mcpUrl}?hang`, { method: "POST", body: "x" });
      await hanging.promise;
      const newer = bench.rift([
        { tunnel: "code", upstream: `${upstream.url}/mcp`, protocol: "mcp" },
      ]);
      await newer.ready;
      const answer = await ask(mcpUrl, { method: "POST", body: "new" });
      const failed = await cut;

      assert.equal(String(answer.body), "new");
      assert.equal(failed.status, 502);
      assert.match(String(failed.body), /outcome is unknown/);
    });
  });

  behavior("ends a rift for good when a newer one with its credential takes over", async () => {
    const upstream = await startServer(echoBody);
    const bench = await startBench({ makeTransport });
    const exposes = [{ tunnel: "web", upstream: upstream.url, protocol: "http" }] as const;
    try {
      const older = bench.rift(exposes);
      await older.ready;
      const newer = bench.rift(exposes);
      await newer.ready;
      const end = await older.closed;

      assert.equal(end.reason, "fatal");
      assert.equal(end.error?.code, "REPLACED");
    } finally {
      await bench.close();
      await upstream.close();
    }
  });

  behavior("comes back by itself when the edge restarts", async () => {
    const upstream = await startServer(echoBody);
    const { transport, serverTls, clientTls } = await makeTransport();
    const shared = () => Promise.resolve({ transport, serverTls, clientTls });
    const first = await startBench({ makeTransport: shared });
    const { port } = first.edge.tunnelAddress;
    const states: string[] = [];
    const rift = first.rift(
      [{ tunnel: "web", upstream: upstream.url, protocol: "http" }],
      {
        signal: new AbortController().signal,
        random: () => 0.1,
        onState: (state) => states.push(state),
      },
    );
    try {
      await rift.ready;
      await first.edge.close();
      const second = await startBench({
        makeTransport: shared,
        config: { tunnelListen: `127.0.0.1:${port}` },
      });
      try {
        await second.edge.waitForTunnel("web", AbortSignal.timeout(30_000));
        const answer = await ask(second.edge.tunnelUrl("web"), { method: "POST", body: "back" });

        assert.equal(String(answer.body), "back");
        assert.ok(states.filter((state) => state === "connected").length >= 2);
      } finally {
        await rift.close();
        await second.close();
      }
    } finally {
      await first.close();
      await upstream.close();
    }
  });

  behavior("lets a running exchange finish when its rift drains", async () => {
    const begun = deferred<ServerResponse>();
    const upstream = await startServer((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      begun.resolve(response);
    });
    const bench = await startBench({ makeTransport });
    try {
      const rift = bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }], {
        drainMs: 10_000,
      });
      await rift.ready;
      const asked = ask(bench.edge.tunnelUrl("web"));
      const response = await begun.promise;
      const closed = rift.close();
      await waitFor(() =>
        bench.edge.status().tunnels[0]?.rifts.some((rift) => rift.healthy) === false
      );
      const refused = await ask(bench.edge.tunnelUrl("web"));
      response.end("finished");
      const answer = await asked;
      await closed;

      assert.equal(refused.status, 503);
      assert.equal(String(answer.body), "finished");
    } finally {
      await bench.close();
      await upstream.close();
    }
  });

  // --- Refusals ---

  behavior("is refused with the reason when it may not claim its tunnels", async () => {
    const upstream = await startServer(echoBody);
    const cases = [
      ["web", "http", () => false, /does not allow tunnel "web"/],
      ["none", "http", () => true, /"none" is not declared/],
      ["code", "http", () => true, /declared with protocol "mcp"/],
    ] as const;
    let count = 0;
    for (const [tunnel, protocol, mayClaim, reason] of cases) {
      const bench = await startBench({
        makeTransport,
        edge: {
          rifts: authorityOf({ name: "r", serial: "02", expiresAtMs: Infinity, mayClaim }),
        },
      });
      const rift = bench.rift([{ tunnel, upstream: upstream.url, protocol }]);
      const end = await rift.closed;
      await assert.rejects(rift.ready, { code: "REFUSED" });
      await bench.close();

      assert.equal(end.reason, "fatal");
      assert.equal(end.error?.code, "REFUSED");
      assert.match(end.error?.message ?? "", reason);
      count++;
    }
    assert.equal(count, cases.length);
    await upstream.close();
  });

  behavior("refuses more exchanges than a tunnel may have", async () => {
    const begun = deferred<ServerResponse>();
    await withTunnel((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      begun.resolve(response);
    }, async ({ url }) => {
      const running = ask(url);
      const response = await begun.promise;
      const refused = await ask(url);
      response.end("done");
      const answer = await running;

      assert.equal(refused.status, 503);
      assert.match(String(refused.body), /the limit is 1/);
      assert.equal(String(answer.body), "done");
    }, { config: { maxExchanges: 1 } });
  });

  behavior("refuses a body above the limit, told or counted", async () => {
    let finished = 0;
    await withTunnel((request, response) => {
      request.on("error", () => {});
      request.resume();
      request.on("end", () => {
        if (request.method === "POST") finished++;
        response.end();
      });
    }, async ({ url }) => {
      const host = new URL(url).host;
      const told = await rawRequest(
        url,
        `POST /web HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1025\r\n\r\n`,
      );
      const chunk = `400\r\n${"x".repeat(1_024)}\r\n`;
      const counted = await rawRequest(
        url,
        `POST /web HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`,
      );

      for (const answer of [told, counted]) {
        assert.equal(answer.status, 413);
        assert.match(answer.body, /the limit is 1024 bytes/);
        assert.equal(answer.headers.get("connection"), "close");
      }
      assert.equal(finished, 0);
    }, { config: { maxBodyBytes: 1_024 } });
  });

  behavior("refuses a body that makes no progress", async () => {
    await withTunnel(echoBody, async ({ url }) => {
      const host = new URL(url).host;
      const answer = await rawRequest(
        url,
        `POST /web HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 10\r\n\r\nhalf`,
      );

      assert.equal(answer.status, 408);
      assert.match(answer.body, /the limit is 200 ms without progress/);
    }, { config: { bodyTimeoutMs: 200 } });
  });

  behavior("sends comments between the events of a silent stream, if asked to", async () => {
    await withTunnel((request, response) => {
      if (request.method === "OPTIONS") return void response.end();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: one\n\n");
    }, async ({ mcpUrl }) => {
      const { request, response } = openRequest(mcpUrl);
      request.end();
      const message = await response;
      let text = "";
      message.on("data", (chunk: Buffer) => text += String(chunk));
      message.on("error", () => {});
      await waitFor(() => text.endsWith(":\n\n:\n\n"));
      request.destroy();

      assert.ok(text.startsWith("data: one\n\n:\n\n"));
    }, { tunnels: [WEB_TUNNEL, { ...MCP_TUNNEL, sseKeepaliveMs: 20 }] });
  });
}
