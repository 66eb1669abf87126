import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import { systemClock } from "../../src/clock.ts";
import { RETRIES_PER_SECOND } from "../../src/limits.ts";
import { silentLogger } from "../../src/log.ts";
import type { OpenUdp } from "../../src/runtime/udp_socket.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import type { Connection, TlsMaterial } from "../../src/transport/transport.ts";
import { connectPair, echo, exchange, sha256, testPki } from "../support/connection_pair.ts";
import type { NetworkFaults, SimulatedNetwork } from "../support/simulated_network.ts";
import { simulatedNetwork } from "../support/simulated_network.ts";

const NETWORKS: readonly (NetworkFaults & { readonly name: string })[] = [
  { name: "nothing wrong", seed: 1 },
  { name: "3 % loss", seed: 2, loss: 0.03 },
  { name: "10 % loss", seed: 3, loss: 0.1 },
  { name: "20 % reordering", seed: 4, reorder: 0.2 },
  { name: "30 % duplication", seed: 5, duplicate: 0.3 },
  { name: "10 % forged copies", seed: 6, forge: 0.1 },
  {
    name: "5 ms latency with loss and reordering",
    seed: 7,
    latencyMs: 5,
    loss: 0.02,
    reorder: 0.1,
  },
  { name: "everything at once", seed: 8, loss: 0.03, reorder: 0.1, duplicate: 0.1, forge: 0.03 },
];

for (const faults of NETWORKS) {
  test(`bytes arrive whole and in order over a network with ${faults.name}`, async () => {
    const network = simulatedNetwork(faults);
    const pair = await connectPair(quicTransport({ openUdp: network.openUdp }));
    pair.rift.accept(echo);
    const bodies = Array.from({ length: 20 }, (_, n) => randomBytes(n * 2_000));

    const answers = await Promise.all(bodies.map((body) => exchange(pair.edge, body)));

    assert.deepEqual(answers.map((answer) => answer.sha256), bodies.map(sha256));
    const { counts } = network;
    assert.equal(counts.lost > 0, faults.loss !== undefined);
    assert.equal(counts.reordered > 0, faults.reorder !== undefined);
    assert.equal(counts.duplicated > 0, faults.duplicate !== undefined);
    assert.equal(counts.forged > 0, faults.forge !== undefined);
    pair.stop();
  });
}

test("no datagram is larger than the smallest path that is promised to work", async () => {
  const network = simulatedNetwork({ seed: 9, mtu: 1_350 });
  const pair = await connectPair(quicTransport({ openUdp: network.openUdp }));
  pair.rift.accept(echo);

  const answer = await exchange(pair.edge, randomBytes(200_000));

  assert.equal(answer.bytes, 200_000);
  assert.equal(network.counts.lost, 0);
  pair.stop();
});

test("a stream survives that the rift's address changes under it", async () => {
  const network = simulatedNetwork({ seed: 10 });
  let riftAddress: { host: string; port: number } | undefined;
  network.onSend = (_bytes, from) => riftAddress ??= from;
  const pair = await connectPair(quicTransport({ openUdp: network.openUdp }));
  pair.edge.accept(echo);
  assert.equal((await exchange(pair.rift, randomBytes(1_000))).bytes, 1_000);

  network.rebind(riftAddress!);

  assert.equal((await exchange(pair.rift, randomBytes(50_000))).bytes, 50_000);
  pair.stop();
});

test("a newcomer gets a Retry, and costs the edge nothing before it has answered", async () => {
  const network = simulatedNetwork({ seed: 11 });
  const answers: { bytes: Uint8Array; to: number }[] = [];
  const initials: Uint8Array[] = [];
  network.onSend = (bytes, from, to) => {
    if (from.port !== EDGE_PORT) initials.push(new Uint8Array(bytes));
    else answers.push({ bytes: new Uint8Array(bytes), to: to.port });
  };
  const pair = await connectPair(quicTransport({ openUdp: network.openUdp }));
  const edge = pair.listener.address;
  answers.length = 0;

  // The first Initial of a real client again, from 1,000 addresses that never answer.
  const first = initials[0]!;
  const second = initials[1]!;
  for (let port = 1; port <= 1_000; port++) {
    network.inject(first, { host: "127.0.0.9", port }, edge);
  }
  // And the Initial with the token, which was given to another address.
  network.inject(second, { host: "127.0.0.9", port: 2_000 }, edge);
  await settled(1_001);

  const retries = answers.filter(({ bytes, to }) => to <= 1_000 && isRetry(bytes));
  assert.equal(retries.length, 1_000);
  assert.ok(retries.every(({ bytes }) => bytes.length < first.length), "a Retry is no amplifier");
  assert.equal(answers.filter(({ to }) => to === 2_000).length, 0);
  pair.stop();
});

test("an unknown version gets version negotiation, and garbage gets silence", async () => {
  const network = simulatedNetwork({ seed: 12 });
  const pair = await connectPair(quicTransport({ openUdp: network.openUdp }));
  pair.rift.accept(echo);
  const edge = pair.listener.address;
  const answers: Uint8Array[] = [];
  network.onSend = (bytes, _from, to) => {
    if (to.host === "127.0.0.9") answers.push(new Uint8Array(bytes));
  };
  const from = { host: "127.0.0.9", port: 1 };
  const header = (version: number, size: number) => {
    const bytes = new Uint8Array(size);
    bytes.set([0xc0, ...[24, 16, 8, 0].map((shift) => (version >>> shift) & 0xff), 8]);
    bytes[14] = 8;
    return bytes;
  };

  for (let n = 0; n < 500; n++) network.inject(randomBytes(n * 3), from, edge);
  network.inject(new Uint8Array(0), from, edge);
  network.inject(header(0x1a2a3a4a, 100), from, edge); // too small to be answered
  network.inject(header(0, 1_200), from, edge); // version negotiation itself
  await settled(503);
  const answersToGarbage = answers.filter((bytes) => !isVersionNegotiation(bytes)).length;
  answers.length = 0;
  network.inject(header(0x1a2a3a4a, 1_200), from, edge);
  await settled(1);

  assert.equal(answersToGarbage, 0);
  assert.equal(answers.length, 1);
  assert.ok(isVersionNegotiation(answers[0]!));
  assert.equal((await exchange(pair.edge, randomBytes(100))).bytes, 100);
  pair.stop();
});

test("a close right after the handshake arrives, and costs a handful of datagrams", async () => {
  // The client is done one flight before it knows that the server is: the close must wait for it.
  const network = simulatedNetwork({ seed: 14 });
  const { openUdp } = network;
  let closed = 0;
  for (let round = 0; round < 50; round++) {
    const pair = await connectPair(quicTransport({ openUdp }));
    const before = network.counts.sent;
    pair.rift.close(0x03, "refused");
    const end = await pair.edge.closed;
    if (end.kind === "peer" && end.code === 0x03 && network.counts.sent - before < 20) closed += 1;
    pair.stop();
  }

  assert.equal(closed, 50);
});

test("an edge that does not answer is reported with what to look at", async () => {
  const pki = await testPki();
  const network = simulatedNetwork({ seed: 13 });
  network.blackhole(true);
  // Only the handshake deadline runs faster than the clock on the wall.
  const clock = {
    ...systemClock,
    now: () => systemClock.now() * 100,
    setTimer: (delayMs: number, fire: () => void) => systemClock.setTimer(delayMs / 100, fire),
  };

  const dial = quicTransport({ openUdp: network.openUdp }).connect({
    host: "127.0.0.1",
    port: 4_443,
    serverName: "mcptun-edge",
    tls: pki.client,
    clock,
    log: silentLogger,
    signal: new AbortController().signal,
  });

  await assert.rejects(dial, { code: "HANDSHAKE_TIMEOUT", message: /Is the edge running/ });
});

test("handshakes that never finish, from one address or from many, keep no rift out", async () => {
  const network = simulatedNetwork({ seed: 15 });
  const { listener, stop } = await connectPair(quicTransport({ openUdp: network.openUdp }));
  const pki = await testPki();
  const controller = new AbortController();
  const dial = (from: string, hears: "all" | "only_retry") =>
    dialEdge(movedTo(from, hears, network), pki.client, listener.address.port, controller.signal);
  const silent: Promise<unknown>[] = [];
  for (let n = 0; n < 60; n++) silent.push(dial("192.0.2.1", "only_retry").catch(() => {}));
  for (let n = 0; n < 300; n++) silent.push(dial(`198.51.${n}.1`, "only_retry").catch(() => {}));
  await settled(2_000);

  const rift = await dial("203.0.113.1", "all");

  assert.equal(rift.peerCertificates.length, 1);
  controller.abort();
  await Promise.all(silent);
  assert.equal(silent.length, 360);
  stop();
});

test("a flood does not keep out the address of a peer that was let in; a good certificate is not enough", async () => {
  const network = simulatedNetwork({ seed: 17 });
  const pki = await testPki();
  const controller = new AbortController();
  const connections: Connection[] = [];
  const frozen: { atMs?: number } = {}; // rates do not refill while it is set
  const listener = await quicTransport({ openUdp: network.openUdp }).listen({
    host: "127.0.0.1",
    port: 0,
    tls: pki.server,
    clock: { ...systemClock, now: () => frozen.atMs ?? systemClock.now() },
    log: silentLogger,
    signal: controller.signal,
    onConnection: (connection) => connections.push(connection),
  });
  const initials: Uint8Array[] = [];
  network.onSend = (bytes, from) => {
    if (from.port !== EDGE_PORT) initials.push(new Uint8Array(bytes));
  };
  for (const host of ["203.0.113.1", "203.0.113.2"]) {
    const openUdp = movedTo(host, "all", network);
    await dialEdge(openUdp, pki.client, listener.address.port, controller.signal);
  }
  for (const connection of connections) {
    if (connection.remote.startsWith("203.0.113.1:")) connection.trust();
  }
  const retries: string[] = [];
  network.onSend = (bytes, _from, to) => {
    if (isRetry(bytes)) retries.push(to.host);
  };

  frozen.atMs = systemClock.now();
  const flood = RETRIES_PER_SECOND + 500; // the first few pass for a member's
  for (let n = 0; n < flood; n++) {
    network.inject(initials[0]!, { host: `198.51.${n % 250}.9`, port: n + 1 }, listener.address);
  }
  for (const host of ["203.0.113.1", "203.0.113.2"]) {
    network.inject(initials[0]!, { host, port: 9 }, listener.address);
  }
  await settled(flood);

  assert.equal(connections.length, 2);
  assert.equal(retries.filter((host) => host === "203.0.113.1").length, 1);
  assert.equal(retries.filter((host) => host === "203.0.113.2").length, 0);
  assert.ok((listener.stats?.dropped.retry_rate ?? 0) > 0);
  controller.abort();
});

test("a sender whose address cannot be used is dropped, and the edge lives on", async () => {
  const network = simulatedNetwork({ seed: 16 });
  const { edge, rift, listener, stop } = await connectPair(
    quicTransport({ openUdp: network.openUdp }),
  );
  rift.accept(echo);
  const pki = await testPki();
  const controller = new AbortController();
  const openUdp = movedTo("fe80::1%eth0", "all", network);
  const dial = dialEdge(openUdp, pki.client, listener.address.port, controller.signal)
    .catch((error: Error) => error);
  await settled(500);

  assert.equal((await exchange(edge, randomBytes(100))).bytes, 100);
  controller.abort();
  assert.ok(await dial instanceof Error);
  stop();
});

function dialEdge(
  openUdp: OpenUdp,
  tls: TlsMaterial,
  port: number,
  signal: AbortSignal,
): Promise<Connection> {
  return quicTransport({ openUdp }).connect({
    host: "127.0.0.1",
    port,
    serverName: "mcptun-edge",
    tls,
    clock: systemClock,
    log: silentLogger,
    signal,
  });
}

/** The network as one host sees it that sends from another address. */
function movedTo(host: string, hears: "all" | "only_retry", network: SimulatedNetwork): OpenUdp {
  return async (options) => {
    const socket = await network.openUdp({
      ...options,
      onDatagram(bytes, from) {
        if (hears === "all" || isRetry(bytes)) options.onDatagram(bytes, from);
      },
    });
    network.move(socket.local.port, host);
    return socket;
  };
}

/** The first port the simulated network gives out. */
const EDGE_PORT = 50_000;

/** Waits until datagrams injected in this turn have been delivered and answered. */
async function settled(datagrams: number): Promise<void> {
  for (let turn = 0; turn < 20 + datagrams / 100; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** RFC 9000, 17.2.5: long header, type 3. */
function isRetry(bytes: Uint8Array): boolean {
  return (bytes[0]! & 0xf0) === 0xf0;
}

/** RFC 9000, 17.2.1: long header, version 0. */
function isVersionNegotiation(bytes: Uint8Array): boolean {
  return (bytes[0]! & 0x80) !== 0 && bytes.subarray(1, 5).every((byte) => byte === 0);
}
