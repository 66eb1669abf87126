/** New settings while an edge runs, and the probes that say whether a tunnel works. @module */

import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, before, test } from "node:test";

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import {
  answerJson,
  ask,
  openRequest,
  startServer,
  type TestServer,
} from "../support/http_probe.ts";
import { type Bench, EDGE_SETTINGS, startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const SECOND = { ...WEB_TUNNEL, name: "second", path: "/second" };

let upstream: TestServer;
let onRequest: (request: IncomingMessage, response: ServerResponse) => void;

before(async () => {
  upstream = await startServer((request, response) => {
    request.resume();
    onRequest(request, response);
  });
});

after(() => upstream.close());

async function withEdge(run: (bench: Bench) => Promise<void>): Promise<void> {
  onRequest = (request, response) => answerJson(response, { url: request.url });
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [WEB_TUNNEL],
  });
  try {
    await bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]).ready;
    await run(bench);
  } finally {
    await bench.close();
  }
}

test("New settings hold for the next request, and a running stream goes on", async () => {
  await withEdge(async ({ edge }) => {
    onRequest = (request, response) => {
      if (request.url !== "/events") return answerJson(response, {});
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      events.push(response);
    };
    const events: ServerResponse[] = [];
    const opened = openRequest(`${edge.tunnelUrl("web")}/events`);
    opened.request.end();
    const stream = await opened.response;
    const chunks: string[] = [];
    stream.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
    const ended = new Promise<void>((resolve) => stream.on("end", resolve));

    edge.update({
      config: { ...EDGE_SETTINGS, maxBodyBytes: 10, hosts: ["new.example"] },
      tunnels: [{ ...WEB_TUNNEL, path: "/moved", origins: ["https://page.example"] }],
    });
    const old = await ask(`${edge.url}/web`);
    const moved = await ask(edge.tunnelUrl("web"), { headers: { origin: "https://page.example" } });
    const large = await ask(edge.tunnelUrl("web"), { method: "POST", body: "x".repeat(11) });
    const named = await ask(edge.tunnelUrl("web"), { headers: { host: "new.example" } });
    events[0]!.end("data: 2\n\n");
    await ended;

    assert.match(edge.tunnelUrl("web"), /\/moved$/);
    assert.equal(old.status, 404);
    assert.equal(moved.status, 200);
    assert.equal(large.status, 413);
    assert.equal(named.status, 200);
    assert.equal(chunks.join(""), "data: 1\n\ndata: 2\n\n");
    assert.ok((edge.status().tunnels[0]?.outcomes["2xx"] ?? 0) >= 3);
  });
});

test("Settings that cannot be put in force change nothing", async () => {
  await withEdge(async ({ edge }) => {
    const update = {
      config: { ...EDGE_SETTINGS, hosts: ["not a host"] },
      tunnels: [{ ...WEB_TUNNEL, path: "/moved" }],
    };
    const publicTls = { certPem: "", keyPem: "" };

    assert.throws(() => edge.update(update), { code: "CONFIG_INVALID" });
    assert.throws(
      () => edge.update({ ...update, config: EDGE_SETTINGS, publicTls }),
      { code: "CONFIG_INVALID" },
    );
    assert.throws(
      () => edge.update({ ...update, config: { ...EDGE_SETTINGS, listen: "0.0.0.0:1" } }),
      { code: "CONFIG_INVALID" },
    );
    assert.equal((await ask(`${edge.url}/web`)).status, 200);
    assert.equal((await ask(`${edge.url}/moved`)).status, 404);
  });
});

test("A tunnel that is taken out of the configuration is gone, and comes back", async () => {
  await withEdge(async ({ edge }) => {
    edge.update({ config: EDGE_SETTINGS, tunnels: [SECOND] });
    const gone = await ask(`${edge.url}/web`);
    assert.throws(() => edge.tunnelUrl("web"), RangeError);
    edge.update({ config: EDGE_SETTINGS, tunnels: [SECOND, WEB_TUNNEL] });
    await edge.waitForTunnel("web", AbortSignal.timeout(10_000));
    const back = await ask(`${edge.url}/web`);

    assert.equal(gone.status, 404);
    assert.equal(back.status, 200);
  });
});

test("A probe goes through the tunnel to the private server", async () => {
  await withEdge(async ({ edge }) => {
    const { signal } = new AbortController();
    const asked: string[] = [];
    onRequest = (request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(501);
      response.end();
    };
    const answered = await edge.probe("web", signal);
    onRequest = (request) => request.socket.destroy();
    const broken = await edge.probe("web", signal);
    const unknown = await edge.probe("nothing", signal);
    const aborted = await edge.probe("web", AbortSignal.abort());

    assert.equal(answered.answered, true);
    assert.deepEqual(asked, ["OPTIONS /"]);
    assert.deepEqual(broken, { answered: false, reason: "UPSTREAM_FAILED" });
    assert.deepEqual(unknown, { answered: false, reason: "no rift is connected" });
    assert.equal(aborted.answered, false);
    assert.equal(edge.status().tunnels[0]?.outcomes["5xx"], undefined);
  });
});
