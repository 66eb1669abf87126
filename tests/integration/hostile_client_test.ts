// What a client without credentials, or a bad upstream, must not be able to do to a tunnel.

import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { ask, startServer } from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import { startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";
import type { BenchOptions } from "../support/tunnel_bench.ts";
import { waitFor } from "../support/tunnel_context.ts";

const TLS = { caPem: "", certPem: "", keyPem: "" };
const makeTransport: BenchOptions["makeTransport"] = () =>
  Promise.resolve({ transport: memoryTransport(), serverTls: TLS, clientTls: TLS });

async function withWeb(
  answer: (response: ServerResponse, path: string) => void,
  options: Partial<BenchOptions>,
  run: (web: { readonly url: string; readonly exchanges: () => number }) => Promise<void>,
): Promise<void> {
  const bench = await startBench({ makeTransport, ...options });
  const upstream = await startServer((request, response) => answer(response, request.url ?? ""));
  try {
    const rift = bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]);
    await rift.ready;
    await run({
      url: bench.edge.tunnelUrl("web"),
      exchanges: () => bench.edge.status().exchanges,
    });
  } finally {
    await bench.close();
    await upstream.close();
  }
}

test("a client that pipelines and leaves takes all of its exchanges with it", async () => {
  const open = new Set<ServerResponse>();
  const asked: string[] = [];
  await withWeb(
    (response, path) => {
      asked.push(path);
      if (!path.endsWith("/endless")) return void response.end("quick");
      open.add(response);
      response.on("close", () => open.delete(response));
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    },
    {},
    async ({ url, exchanges }) => {
      const { host } = new URL(url);
      const client = await RawClient.open(url);
      const get = (path: string) => `GET /web/${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
      client.send(get("endless") + get("quick").repeat(5) + get("endless").repeat(9));
      await waitFor(() => open.size === 1);
      asked.length = 0;

      client.socket.destroy();

      await waitFor(() => exchanges() === 0 && open.size === 0);
      await ask(`${url}/barrier`);
      assert.deepEqual(asked, ["/barrier"]);
    },
  );
});

test("a keep-alive comment never pushes an event stream beyond its length", async () => {
  const head = "data: x\n\n";
  const tail = "data: the rest\n\n";
  let finish: (() => void) | undefined;
  await withWeb(
    (response, path) => {
      if (!path.endsWith("/sized")) return void response.end();
      response.writeHead(200, {
        "content-type": "text/event-stream",
        "content-length": head.length + tail.length,
      });
      response.write(head);
      finish = () => response.end(tail);
      setTimeout(() => finish?.(), 120);
    },
    { tunnels: [{ ...WEB_TUNNEL, sseKeepaliveMs: 20 }] },
    async ({ url }) => {
      const answer = await ask(`${url}/sized`);

      assert.equal(String(answer.body), head + tail);
    },
  );
});

test("connections above the limit are turned away, those below are served on", async () => {
  await withWeb(
    (response) => void response.end("served"),
    { config: { maxConnections: 2 } },
    async ({ url }) => {
      const { host } = new URL(url);
      const get = `GET /web/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
      const first = await RawClient.open(url);
      const second = await RawClient.open(url);
      first.send(get);
      await waitFor(() => first.received.includes("served"));
      const third = await RawClient.open(url);
      third.send(get);
      await third.closed;
      first.send(get);
      await waitFor(() => first.received.split("served").length === 3);

      assert.match(third.received, /^HTTP\/1\.1 503 [^]*the limit is 2/);
      second.socket.destroy();
      first.socket.destroy();
    },
  );
});
