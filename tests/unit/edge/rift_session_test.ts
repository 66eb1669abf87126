import assert from "node:assert/strict";
import { test } from "node:test";

import { memoryRegistry } from "../../../src/edge/registry.ts";
import { RiftSession, type SessionContext } from "../../../src/edge/rift_session.ts";
import { silentLogger } from "../../../src/log.ts";
import { memoryTransport } from "../../../src/transport/memory/memory_transport.ts";
import type { Connection, ConnectionEnd, Stream } from "../../../src/transport/transport.ts";
import { type ControlMessage, encodeControl } from "../../../src/wire/control.ts";
import { ControlReader } from "../../../src/wire/control_reader.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";
import { authorityOf, MCP_TUNNEL } from "../../support/tunnel_bench.ts";

const TLS = { caPem: "", certPem: "", keyPem: "" };
/** One minute after the fake clock's start. */
const ENDS_AT_MS = 1_800_000_000_000 + 60_000;
const HELLO = {
  type: "hello",
  versions: [1],
  features: [],
  instance: "i1",
  epoch: 10,
  software: "test",
  attempt: 0,
  tunnels: [{ name: "code", protocol: "mcp" }],
} as const;

/** A rift made by hand: it says what the test says. */
class HandRift {
  readonly connection: Connection;
  readonly #stream: Stream;
  readonly #received: ControlMessage[] = [];
  #wake: (() => void) | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    const reader = new ControlReader();
    this.#stream = connection.openStream({
      onData: (chunk) => {
        this.#received.push(...reader.push(chunk));
        this.#wake?.();
      },
      onDrain() {},
      onStopped() {},
      onAbort() {},
    });
  }

  say(message: ControlMessage): void {
    this.#stream.write(encodeControl(message));
  }

  pause(): void {
    this.#stream.pause();
  }

  async hear(): Promise<ControlMessage> {
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) return message;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

async function setUp(): Promise<
  { clock: FakeClock; context: SessionContext; dial: () => Promise<HandRift> }
> {
  const clock = fakeClock();
  const context: SessionContext = {
    edgeId: "e",
    tunnels: new Map([["code", MCP_TUNNEL]]),
    registry: memoryRegistry(),
    rifts: authorityOf({
      name: "r",
      serial: "1",
      expiresAtMs: ENDS_AT_MS,
      mayClaim: () => true,
    }),
    sessions: new Set(),
    refused: new Map(),
    clock,
    log: silentLogger,
  };
  const transport = memoryTransport();
  const { signal } = new AbortController();
  const endpoint = { tls: TLS, clock, log: silentLogger, signal, host: "127.0.0.1" };
  const { address } = await transport.listen({
    ...endpoint,
    port: 0,
    onConnection: (connection) => void new RiftSession(context, connection),
  });
  const dial = async () =>
    new HandRift(
      await transport.connect({ ...endpoint, port: address.port, serverName: "mcptun-edge" }),
    );
  return { clock, context, dial };
}

test("A rift that is silent for two heartbeats is out of rotation until it speaks again", async () => {
  const { clock, context, dial } = await setUp();
  const rift = await dial();
  rift.say(HELLO);
  assert.equal((await rift.hear()).type, "welcome");
  assert.ok(context.registry.pick("code"));

  clock.advance(4_900);
  clock.advance(4_900);
  assert.equal(context.registry.pick("code"), undefined);
  rift.say({ type: "heartbeat", sequence: 1 });

  assert.deepEqual(await rift.hear(), { type: "heartbeat_ack", sequence: 1 });
  assert.ok(context.registry.pick("code"));
});

test("A rift that stays silent is disconnected", async () => {
  const { clock, context, dial } = await setUp();
  const rift = await dial();
  rift.say(HELLO);
  await rift.hear();

  for (let second = 0; second < 30; second++) clock.advance(1_000);
  const end: ConnectionEnd = await rift.connection.closed;

  assert.equal(end.reason, "No heartbeat");
  assert.equal(context.registry.pick("code"), undefined);
});

test("A rift is disconnected when its credential ends, and told so", async () => {
  const { clock, context, dial } = await setUp();
  const rift = await dial();
  rift.say(HELLO);
  await rift.hear();
  const left = ENDS_AT_MS - clock.wallNow();

  for (let sequence = 1; sequence * 4_000 < left + 8_000; sequence++) {
    clock.advance(4_000);
    if (context.registry.pick("code") === undefined) break;
    rift.say({ type: "heartbeat", sequence });
    assert.equal((await rift.hear()).type, "heartbeat_ack");
  }
  const message = await rift.hear();

  assert.equal(message.type === "refusal" && message.reason, "The credential has ended");
  assert.equal(message.type === "refusal" && message.retryAfterMs, undefined);
  assert.equal(context.registry.pick("code"), undefined);
  assert.ok(clock.wallNow() >= ENDS_AT_MS);
});

test("A rift that asks and does not read the answers is disconnected before they pile up", async () => {
  const { dial } = await setUp();
  const rift = await dial();
  rift.say(HELLO);
  await rift.hear();
  const tunnels = Array.from(
    { length: 64 },
    (_, n) => ({ name: `t${n}`, protocol: "mcp" }) as const,
  );
  let ended = false;
  void rift.connection.closed.then(() => ended = true);

  rift.pause();
  let asked = 0;
  for (; asked < 1_000 && !ended; asked++) {
    rift.say({ type: "claim", tunnels });
    await new Promise((resolve) => setImmediate(resolve));
  }

  assert.ok(ended);
  assert.ok(asked < 1_000);
});

test("A connection without a hello is refused in time", async () => {
  const { clock, dial } = await setUp();
  const rift = await dial();
  // The control stream exists only once something was said on it.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

  clock.advance(10_000);
  clock.advance(1_000);
  const end = await rift.connection.closed;

  assert.equal(end.kind, "peer");
});

test("An older start of the same credential gives way to a healthy newer one", async () => {
  const { context, dial } = await setUp();
  const newer = await dial();
  newer.say(HELLO);
  await newer.hear();
  const older = await dial();
  older.say({ ...HELLO, instance: "i0", epoch: 9 });

  const answer = await older.hear();

  assert.equal(answer.type, "refusal");
  assert.equal(answer.type === "refusal" && answer.code, "limit");
  assert.equal(context.sessions.size, 1);
});

test("A rift that speaks no version of ours is refused for good, with ours named", async () => {
  const { dial } = await setUp();
  const rift = await dial();
  rift.say({ ...HELLO, versions: [7] });

  const answer = await rift.hear();

  assert.ok(answer.type === "refusal");
  assert.equal(answer.code, "version");
  assert.equal(answer.retryAfterMs, undefined);
  assert.match(answer.reason, /version 1/);
});
