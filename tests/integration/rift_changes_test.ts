// What a connected rift takes note of, over the in-memory transport.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { systemClock } from "../../src/clock.ts";
import type { TunnelSettings } from "../../src/edge/edge_options.ts";
import type { LogFields, Logger } from "../../src/log.ts";
import type { Rift, RiftOptions } from "../../src/rift/rift_options.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { ask, startServer } from "../support/http_probe.ts";
import { EDGE_SETTINGS, startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";

const LATE_TUNNEL: TunnelSettings = { ...WEB_TUNNEL, name: "late", path: "/late" };
const NO_TLS = { caPem: "", certPem: "", keyPem: "" };

test("A rift serves a tunnel that is declared while it is connected, and gives it back", async (t) => {
  const { url, declare, start, log } = await setUp(t);
  const rift = start();
  await rift.ready;
  await log.heard("Edge refused");

  declare(WEB_TUNNEL, LATE_TUNNEL);
  await log.heard("Tunnel registered");
  const served = await ask(url("late"));
  declare(WEB_TUNNEL);
  await log.heard("Edge refused");
  declare(WEB_TUNNEL, LATE_TUNNEL);
  await log.heard("Tunnel registered");
  const again = await ask(url("late"));

  assert.equal(String(served.body), "here");
  assert.equal(String(again.body), "here");
  assert.equal(log.count("Connected to edge"), 1);
});

test("A rift whose last tunnel is withdrawn stays, and serves when it is back", async (t) => {
  const { url, declare, start, log } = await setUp(t);
  const rift = start();
  await rift.ready;
  await log.heard("Edge refused");

  declare();
  await log.heard("Edge refused");
  declare(WEB_TUNNEL);
  await log.heard("Tunnel registered");
  const served = await ask(url("web"));

  assert.equal(String(served.body), "here");
  assert.equal(log.count("Connected to edge"), 1);
});

test("A rift warns once when its clock is more than a minute off", async (t) => {
  const { url, declare, start, log } = await setUp(t);
  declare(WEB_TUNNEL, LATE_TUNNEL);
  const rift = start({
    clock: { ...systemClock, wallNow: () => Date.now() - 61_000 },
    connectionStreams: 4,
  });
  await rift.ready;
  for (let count = 0; count < 4; count++) await ask(url("web"));
  await log.heard("Connected to edge");
  await log.heard("Connected to edge");

  assert.equal(log.count(/clocks .* differ/), 1);
});

test("A rift whose clock is a little off says nothing", async (t) => {
  const { start, log } = await setUp(t);
  const rift = start({ clock: { ...systemClock, wallNow: () => Date.now() + 50_000 } });
  await rift.ready;

  assert.equal(log.count(/clocks .* differ/), 0);
});

/** Remembers messages, and lets a test wait for the next one. */
class TestLog implements Logger {
  readonly #messages: string[] = [];
  readonly #heard = new Map<string, number>();
  #wake: (() => void) | undefined;

  count(message: string | RegExp): number {
    return this.#messages.filter((one) =>
      typeof message === "string" ? one === message : message.test(one)
    ).length;
  }

  /** Waits for the next one that was not waited for before. */
  async heard(message: string): Promise<void> {
    const before = this.#heard.get(message) ?? 0;
    while (this.count(message) <= before) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    this.#heard.set(message, before + 1);
  }

  readonly debug = (message: string, _fields?: LogFields): void => {
    this.#messages.push(message);
    this.#wake?.();
  };
  readonly info = this.debug;
  readonly warn = this.debug;
  readonly error = this.debug;
  child(): Logger {
    return this;
  }
}

/** An edge with the tunnel "web", and a rift that wants "web" and "late". */
async function setUp(t: TestContext): Promise<{
  url: (tunnel: string) => string;
  declare: (...tunnels: readonly TunnelSettings[]) => void;
  start: (options?: Partial<RiftOptions>) => Rift;
  log: TestLog;
}> {
  const upstream = await startServer((_, response) => response.end("here"));
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [WEB_TUNNEL],
  });
  t.after(async () => {
    await bench.close();
    await upstream.close();
  });
  const log = new TestLog();
  return {
    url: (tunnel) => bench.edge.tunnelUrl(tunnel),
    declare: (...tunnels) => bench.edge.update({ config: EDGE_SETTINGS, tunnels }),
    start: (options) =>
      bench.rift(
        ["web", "late"].map((tunnel) => ({ tunnel, upstream: upstream.url, protocol: "http" })),
        { log, ...options },
      ),
    log,
  };
}
