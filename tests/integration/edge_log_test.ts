/** What an edge says in its log about its tunnels and its end. @module */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type LogFields, type Logger, silentLogger } from "../../src/log.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { openRequest, readAnswer, startServer, type TestServer } from "../support/http_probe.ts";
import { startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";
import { freePort, waitFor } from "../support/tunnel_context.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };

/** Events of level `info` and `warn`, in order. */
class Events {
  readonly all: { readonly message: string; readonly fields: LogFields }[] = [];
  readonly log: Logger;

  constructor() {
    const note = (message: string, fields: LogFields = {}) =>
      void this.all.push({ message, fields });
    this.log = { ...silentLogger, info: note, warn: note, child: () => this.log };
  }

  get messages(): string[] {
    return this.all.map(({ message }) => message);
  }

  of(message: string): LogFields[] {
    return this.all.filter((event) => event.message === message).map(({ fields }) => fields);
  }
}

test("An edge that stops says how many exchanges it cut, and that it is over", async () => {
  const upstream = await startServer((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
  const events = new Events();
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [WEB_TUNNEL],
    config: { drainMs: 1 },
    edge: { log: events.log },
  });
  try {
    await bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]).ready;
    const answers: Promise<string>[] = [];
    for (let count = 0; count < 2; count++) {
      const opened = openRequest(bench.edge.tunnelUrl("web"));
      opened.request.end();
      answers.push(readAnswer(await opened.response).then(() => "whole", () => "cut"));
    }
    await bench.edge.close();

    assert.deepEqual(await Promise.all(answers), ["cut", "cut"]);
    assert.equal(events.of("Exchanges were cut: they had not ended within drain")[0]?.["cut"], 2);
    assert.equal(events.of("Edge has stopped").length, 1);
  } finally {
    await bench.close();
    await upstream.close();
  }
});

test("An edge that stops with nothing in flight has cut nothing", async () => {
  const events = new Events();
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    edge: { log: events.log },
  });

  await bench.close();

  assert.deepEqual(events.messages, ["Edge is listening", "Edge has stopped"]);
});

test("A rift whose private server is down is shown as connected, and its tunnel as waiting", async () => {
  const port = await freePort();
  const edgeEvents = new Events();
  const riftEvents = new Events();
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [WEB_TUNNEL],
    edge: { log: edgeEvents.log },
  });
  let upstream: TestServer | undefined;
  try {
    const { signal } = new AbortController();
    const rift = bench.rift(
      [{ tunnel: "web", upstream: `http://127.0.0.1:${port}`, protocol: "http" }],
      { random: () => 0, log: riftEvents.log },
    );
    await waitFor(() => riftEvents.of("Connected to edge").length > 0);
    const waiting = bench.edge.status();
    const probe = await bench.edge.probe("web", signal);
    upstream = await startServer((_request, response) => response.end(), port);
    await rift.ready;
    const served = bench.edge.status();

    assert.deepEqual(waiting.rifts.map(({ name }) => name), ["test-rift"]);
    assert.deepEqual(waiting.tunnels[0]!.waiting, ["test-rift"]);
    assert.deepEqual(waiting.tunnels[0]!.rifts, []);
    assert.ok(!probe.answered);
    assert.match(probe.reason, /^rift "test-rift" is connected, .* does not answer yet$/);
    assert.deepEqual(riftEvents.of("Connected to edge")[0], {
      edge: "edge-test",
      tunnels: "none yet",
      waiting: "web",
    });
    assert.equal(edgeEvents.of("Rift connected")[0]?.["waiting"], "web");
    assert.deepEqual(edgeEvents.of("Rift serves a tunnel now"), [
      { rift: "test-rift", tunnels: "web" },
    ]);
    assert.deepEqual(served.tunnels[0]!.waiting, []);
    assert.equal(served.tunnels[0]!.rifts.length, 1);
  } finally {
    await bench.close();
    await upstream?.close();
  }
});
