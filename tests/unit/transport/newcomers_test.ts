// Who may begin a handshake: rates, and which handshake gives way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS } from "../../../src/limits.ts";
import { Handshakes } from "../../../src/transport/quic/handshakes.ts";
import { RateLimit } from "../../../src/transport/quic/rate_limit.ts";

const SMALL = {
  total: { perSecond: 10, burst: 10 },
  each: { perSecond: 2, burst: 4 },
  maxSenders: 3,
};

test("a sender uses up its burst and earns more with time", () => {
  const limit = new RateLimit(SMALL);
  const taken = (nowMs: number) => limit.take("a", nowMs, "both_shares");

  assert.deepEqual([0, 0, 0, 0, 0].map(taken), [true, true, true, true, false]);
  assert.equal(taken(400), false);
  assert.equal(taken(1_000), true);
});

test("a sender above its share takes nothing from the others", () => {
  const limit = new RateLimit(SMALL);
  for (let count = 0; count < 100; count++) limit.take("flood", 0, "both_shares");

  assert.equal(limit.take("b", 0, "both_shares"), true);
});

test("all senders together stay within the total, and one that is known is not held back by it", () => {
  const limit = new RateLimit({ ...SMALL, maxSenders: 100 });
  let taken = 0;
  for (let count = 0; count < 50; count++) {
    if (limit.take(`sender ${count}`, 0, "both_shares")) taken += 1;
  }

  assert.equal(taken, 10);
  assert.equal(limit.take("known", 0, "own_share"), true);
});

test("a rate limit forgets the sender that was silent for longest", () => {
  const limit = new RateLimit(SMALL);
  for (let count = 0; count < 1_000; count++) limit.take(`sender ${count}`, 0, "both_shares");

  assert.equal(limit.size, 3);
});

test("the oldest handshake of a full address gives way, and no one else's", () => {
  const handshakes = new Handshakes<number>();
  handshakes.add(-1, "192.0.2.1");
  for (let count = 0; count < MAX_HANDSHAKES_PER_ADDRESS; count++) {
    assert.equal(handshakes.givesWay("192.0.2.2"), undefined);
    handshakes.add(count, "192.0.2.2");
  }

  assert.deepEqual(handshakes.givesWay("192.0.2.2"), { handshake: 0, why: "address" });
  assert.equal(handshakes.givesWay("192.0.2.3"), undefined);
});

test("when the table is full, the address with the most handshakes gives way", () => {
  const handshakes = new Handshakes<number>();
  handshakes.add(-1, "192.0.2.1");
  for (let count = 0; handshakes.size < MAX_HANDSHAKES; count++) {
    handshakes.add(count, count % 2 === 0 ? "192.0.2.200" : `198.51.100.${count % 200}`);
  }

  assert.deepEqual(handshakes.givesWay("192.0.2.99"), { handshake: 0, why: "table" });
});

test("a finished handshake makes room", () => {
  const handshakes = new Handshakes<number>();
  for (let count = 0; count < MAX_HANDSHAKES_PER_ADDRESS; count++) {
    handshakes.add(count, "2001:db8::1");
  }

  handshakes.delete(1);
  handshakes.delete(1);

  assert.equal(handshakes.size, MAX_HANDSHAKES_PER_ADDRESS - 1);
  assert.equal(handshakes.givesWay("2001:db8::1"), undefined);
});
