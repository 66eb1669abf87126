// test-timeout: 180s
// test-alone
// Floods of the edge's UDP port over real sockets: a rift with a good certificate still gets in, and
// nothing of the flood stays.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { systemClock } from "../../src/clock.ts";
import type { Clock } from "../../src/clock.ts";
import { SERVER_NAME } from "../../src/identity/tunnel_ca.ts";
import { MAX_HANDSHAKES, MAX_MEMBER_ID_USES } from "../../src/limits.ts";
import type { Logger } from "../../src/log.ts";
import { silentLogger } from "../../src/log.ts";
import { openUdp } from "../../src/runtime/udp_socket.ts";
import type { OpenUdp, UdpSocket } from "../../src/runtime/udp_socket.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import type { Connection, Listener, TlsMaterial } from "../../src/transport/transport.ts";
import { testPki } from "../support/connection_pair.ts";
import type { Hello } from "../support/udp_flood.ts";
import {
  anyId,
  bogusInitial,
  garbage,
  helloOf,
  openMany,
  readRetry,
  realInitial,
} from "../support/udp_flood.ts";

const BOGUS = 10_000;
/** Among them the rift's own: an attacker may sit behind the same NAT. */
const HOSTS = Array.from({ length: 8 }, (_, index) => `127.0.0.${index + 1}`);
const PORTS = 64;
const BATCH = 32;
/** Silence after which a datagram counts as lost. */
const LOST_MS = 20;
/** Of which 10 MiB may be handshakes, and some the test's own. */
const MAX_GROWTH_BYTES = 64 * 1_024 * 1_024;
/** Handshakes at once below which none was given up, so that no native object had to be freed. */
const MAX_GIVEN_UP = 32;
/**
 * A second is promised, and it took up to 0.3 s (Node 20) and 0.05 s (Deno 2.9). Flood, edge and rift
 * share one thread here: on a machine with more to do, it must be in before the flood is over.
 */
const RIFT_LIMIT_MS = 1_000;
/** Processor time of an edge with nothing to do, as a share of the time that passes. */
const MAX_IDLE_SHARE = 0.5;
const IDLE_MS = 300;
const NOTHING = new Uint8Array(0);

let hello: Hello;
let overheard: Hello;
before(async () => {
  const pki = await testPki();
  // It trusts another CA, so that its ids are those of a stranger.
  hello = await recordHello(pki.mistrustingClient);
  overheard = await recordHello(pki.client);
});
after(() => reports.forEach((line) => process.stdout.write(`${line}\n`)));
const reports: string[] = [];

test("10,000 datagrams of garbage keep no rift out and leave nothing behind", async () => {
  await flood({
    name: "garbage",
    first: () => garbage(),
    check({ dropped }) {
      assert.ok(dropped.garbage > BOGUS / 2, `${dropped.garbage} were dropped as garbage`);
    },
  });
});

test("10,000 first packets that never answer the Retry keep no rift out", async () => {
  await flood({ name: "no answer to the Retry", first: () => bogusInitial(anyId(), NOTHING) });
});

test("10,000 handshakes that answer the Retry with garbage keep no rift out", async () => {
  await flood({
    name: "garbage after the Retry",
    first: () => bogusInitial(anyId(), NOTHING),
    next: (retry) => bogusInitial(retry.id, retry.token),
  });
});

test("10,000 handshakes that say hello and then stall keep no rift out", async () => {
  await flood({
    name: "stalled handshakes",
    first: () => bogusInitial(anyId(), NOTHING),
    next: (retry) => realInitial(retry.id, retry.token, hello),
    check({ dropped, handshakes }) {
      assert.ok(handshakes <= MAX_HANDSHAKES, `${handshakes} handshakes are kept`);
      const gaveWay = dropped.address_full + dropped.table_full + dropped.handshake_rate;
      assert.ok(gaveWay > 0, "the flood's own handshakes gave way");
    },
  });
});

test("10,000 handshakes from the rift's own address do not keep it out", async () => {
  await flood({
    name: "stalled handshakes from the rift's address",
    first: () => bogusInitial(anyId(), NOTHING),
    next: (retry) => realInitial(retry.id, retry.token, hello),
    hosts: ["127.0.0.1"],
    end: "at_once",
  });
});

test("10,000 copies of what a rift once sent are soon treated as anyone's", async () => {
  await flood({
    name: "an overheard hello",
    first: () => bogusInitial(anyId(), NOTHING, overheard.sourceId),
    next: (retry) => realInitial(retry.id, retry.token, overheard),
    check({ dropped }) {
      const held = dropped.address_full + dropped.table_full + dropped.handshake_rate +
        dropped.retry_rate;
      assert.ok(held > 0, "most of them were held back");
    },
    end: "at_once",
  });
});

type Retry = NonNullable<ReturnType<typeof readRetry>>;

interface Flood {
  readonly name: string;
  readonly first: () => Uint8Array;
  /** What answers a Retry. @default Nothing. */
  readonly next?: (retry: Retry) => Uint8Array;
  readonly check?: (stats: NonNullable<Listener["stats"]>) => void;
  /** @default HOSTS */
  readonly hosts?: readonly string[];
  /** `"when_empty"`: everything of the flood has timed out, which takes ten seconds and more. */
  readonly end?: "when_empty" | "at_once";
}

/** Sends `BOGUS` first packets, and lets a rift in meanwhile. */
async function flood(
  { name, first, next, check, hosts = HOSTS, end = "when_empty" }: Flood,
): Promise<void> {
  const { clock, timers } = countingClock();
  const lines: string[] = [];
  const log: Logger = { ...silentLogger, debug: (message) => void lines.push(message) };
  const controller = new AbortController();
  const pace = makePace();
  const { signal } = controller;
  const { listener, dial } = await listen({ clock, log, signal, pace });
  // An enrolled rift has been here before.
  const earlier = await dial();
  earlier.close(0, "");
  let sockets: readonly UdpSocket[] = [];
  try {
    const to = { host: "127.0.0.1", port: listener.address.port };
    let toEdge = 0;
    sockets = await openMany(hosts, PORTS / hosts.length, (bytes, index) => {
      const retry = readRetry(bytes);
      const answer = retry === undefined ? undefined : next?.(retry);
      if (answer === undefined) return;
      toEdge += 1;
      sockets[index]!.send(answer, to);
    });
    let lost = 0;
    const waiting = (): number => toEdge - pace.taken - lost;
    const rssBefore = process.memoryUsage().rss;
    let connected: Promise<Connection> | undefined;
    let tookMs = Infinity;
    let most = 0;

    for (let sent = 0; sent < BOGUS; sent++) {
      toEdge += 1;
      sockets[sent % sockets.length]!.send(first(), to);
      if (sent % BATCH !== 0) continue;
      // At the edge's own pace, so that the kernel's buffer is not what drops them.
      while (waiting() > BATCH) {
        if (await pace.woken() === "silence") lost += waiting();
      }
      await turn();
      most = Math.max(most, listener.stats!.handshakes);
      if (connected !== undefined || sent < BOGUS / 3) continue;
      const dialedAtMs = performance.now();
      connected = untilIn(dial, signal);
      connected.then(() => tookMs = performance.now() - dialedAtMs, () => {});
    }
    const isInMeanwhile = tookMs < Infinity;
    const rift = await connected!;
    const second = await untilIn(dial, signal);
    collectGarbage();
    await aWhile(); // what was collected is freed in a later turn
    const growth = process.memoryUsage().rss - rssBefore;
    const stats = listener.stats!;
    reports.push(
      `${name}: the rift was in after ${tookMs.toFixed(0)} ms, memory grew by ` +
        `${(growth / 1_048_576).toFixed(1)} MiB, at most ${most} handshakes, ` +
        JSON.stringify(stats.dropped),
    );

    assert.ok(isInMeanwhile || tookMs < RIFT_LIMIT_MS, `the rift was in after ${tookMs} ms`);
    // Inside `deno test` native objects are never freed (denoland/deno#35692); in a program they are.
    const isMeasured = !("Deno" in globalThis) || most < MAX_GIVEN_UP;
    assert.ok(!isMeasured || growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes`);
    assert.ok(most <= MAX_HANDSHAKES + MAX_MEMBER_ID_USES, `there were ${most} handshakes at once`);
    assert.ok(lines.filter((line) => line === "Newcomers dropped").length <= 2, "no line for each");
    check?.(stats);
    second.close(0, "");
    if (end === "when_empty") await untilEmpty(listener, timers, rift);
  } finally {
    for (const socket of sockets) await socket.close();
    controller.abort();
  }
}

/** Dials as a rift does: again when the handshake had to give way. */
async function untilIn(
  dial: () => Promise<Connection>,
  signal: AbortSignal,
): Promise<Connection> {
  for (;;) {
    try {
      return await dial();
    } catch (error) {
      if (signal.aborted) throw error;
      await aWhile();
    }
  }
}

/** Waits until only the rift is left, and sees that the endpoint is then quiet. */
async function untilEmpty(
  listener: Listener,
  timers: { readonly set: number },
  rift: Connection,
): Promise<void> {
  while (listener.stats!.handshakes > 0 || listener.stats!.connections > 1) await aWhile();
  rift.close(0, "");
  await rift.closed;
  while (listener.stats!.connections > 0) await aWhile();
  const before = timers.set;
  for (let turns = 0; turns < 1_000; turns++) await turn();

  assert.equal(timers.set, before, "no timer is set any more");
  const spent = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const { user, system } = process.cpuUsage(spent);
  const share = (user + system) / 1_000 / IDLE_MS;
  assert.ok(share < MAX_IDLE_SHARE, `an idle edge takes ${share} of a core`);
  assert.equal(listener.stats!.handshakes, 0);
}

async function listen({ clock, log, signal, pace }: {
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly pace: Pace;
}): Promise<{ readonly listener: Listener; readonly dial: () => Promise<Connection> }> {
  const pki = await testPki();
  const counting: OpenUdp = (options) =>
    openUdp({
      ...options,
      onDatagram(bytes, from) {
        options.onDatagram(bytes, from);
        pace.take();
      },
    });
  const admitted = new Set<string>();
  const listener = await quicTransport({ openUdp: counting }).listen({
    clock,
    log,
    signal,
    host: "0.0.0.0",
    port: 0,
    tls: pki.server,
    onConnection(connection) {
      connection.trust(); // as an edge does with an enrolled rift
      admitted.add(connection.remote);
    },
  });
  const { port } = listener.address;
  // A client is done before it knows that the server is: what counts is that the edge has it.
  const dial = async (): Promise<Connection> => {
    let local = "";
    const connection = await quicTransport({
      openUdp: async (options) => {
        const socket = await openUdp(options);
        local = `127.0.0.1:${socket.local.port}`;
        return socket;
      },
    }).connect({
      clock: systemClock,
      log: silentLogger,
      signal,
      host: "127.0.0.1",
      port,
      serverName: SERVER_NAME,
      tls: pki.client,
    });
    let isOver = false;
    void connection.closed.then(() => isOver = true);
    while (!admitted.has(local)) {
      if (isOver) throw new Error("The edge has given the handshake up");
      await turn();
    }
    return connection;
  };
  return { listener, dial };
}

/** The ClientHello of a rift, from the first datagram it sends. */
async function recordHello(tls: TlsMaterial): Promise<Hello> {
  const controller = new AbortController();
  let onFirst!: (bytes: Uint8Array) => void;
  const first = new Promise<Uint8Array>((resolve) => onFirst = resolve);
  const socket = await openUdp({
    host: "127.0.0.1",
    port: 0,
    onDatagram: (bytes) => onFirst(Buffer.from(bytes)),
    onError() {},
  });
  const dialed = quicTransport().connect({
    clock: systemClock,
    log: silentLogger,
    signal: controller.signal,
    host: "127.0.0.1",
    port: socket.local.port,
    serverName: SERVER_NAME,
    tls,
  });
  const datagram = await first;
  controller.abort();
  await dialed.catch(() => {}); // nobody answers it: that was the point
  await socket.close();
  return helloOf(datagram);
}

function countingClock(): { readonly clock: Clock; readonly timers: { set: number } } {
  const timers = { set: 0 };
  const clock: Clock = {
    ...systemClock,
    setTimer(...args) {
      timers.set += 1;
      return systemClock.setTimer(...args);
    },
  };
  return { clock, timers };
}

interface Pace {
  /** Datagrams that the edge has taken, also those of rifts. */
  readonly taken: number;
  take(): void;
  /** Waits for the next one. */
  woken(): Promise<"woken" | "silence">;
}

function makePace(): Pace {
  let waiting: (() => void) | undefined;
  let taken = 0;
  return {
    get taken() {
      return taken;
    },
    take() {
      taken += 1;
      waiting?.();
    },
    woken: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => resolve("silence"), LOST_MS);
        waiting = () => {
          clearTimeout(timer);
          resolve("woken");
        };
      }),
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** For what has no event of its own; the test's timeout bounds it. */
function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

/** What is garbage does not count. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  // Proof of the cast: the flag defines it.
  (runInNewContext("gc") as () => void)();
}
