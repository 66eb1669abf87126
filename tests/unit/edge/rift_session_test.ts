import assert from "node:assert/strict";
import { test } from "node:test";

import type { ConnectionEnd } from "../../../src/transport/transport.ts";
import { ENDS_AT_MS, HELLO, startHandBench } from "../../support/hand_rift.ts";

test("A rift that is silent for two heartbeats is out of rotation until it speaks again", async () => {
  const { clock, context, dial } = await startHandBench();
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
  const { clock, context, dial } = await startHandBench();
  const rift = await dial();
  rift.say(HELLO);
  await rift.hear();

  for (let second = 0; second < 30; second++) clock.advance(1_000);
  const end: ConnectionEnd = await rift.connection.closed;

  assert.equal(end.reason, "No heartbeat");
  assert.equal(context.registry.pick("code"), undefined);
});

test("A rift is disconnected when its credential ends, and told so", async () => {
  const { clock, context, dial } = await startHandBench();
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
  const { dial } = await startHandBench();
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
  const { clock, dial } = await startHandBench();
  const rift = await dial();
  // The control stream exists only once something was said on it.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

  clock.advance(10_000);
  clock.advance(1_000);
  const end = await rift.connection.closed;

  assert.equal(end.kind, "peer");
});

test("An older start of the same credential gives way to a healthy newer one", async () => {
  const { context, dial } = await startHandBench();
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
  const { dial } = await startHandBench();
  const rift = await dial();
  rift.say({ ...HELLO, versions: [7] });

  const answer = await rift.hear();

  assert.ok(answer.type === "refusal");
  assert.equal(answer.code, "version");
  assert.equal(answer.retryAfterMs, undefined);
  assert.match(answer.reason, /version 1/);
});
