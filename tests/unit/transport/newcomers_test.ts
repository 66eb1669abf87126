// Who may begin a handshake: senders, rates, and which handshake gives way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS } from "../../../src/limits.ts";
import { addressGroup } from "../../../src/transport/quic/address_group.ts";
import { Handshakes } from "../../../src/transport/quic/handshakes.ts";
import { RateLimit } from "../../../src/transport/quic/rate_limit.ts";

const SMALL = {
  total: { perSecond: 10, burst: 10 },
  each: { perSecond: 2, burst: 4 },
  maxSenders: 3,
};

test("an IPv4 address is one sender, also when it is written as IPv6", () => {
  assert.equal(addressGroup("192.0.2.7"), "192.0.2.7");
  assert.equal(addressGroup("::ffff:192.0.2.7"), "192.0.2.7");
});

test("a /64 of IPv6 is one sender, however it is written", () => {
  const same = [
    "2001:db8:1:2::1",
    "2001:0DB8:0001:0002:ffff:ffff:ffff:ffff",
    "2001:db8:1:2:3:4:192.0.2.1",
    "2001:db8:1:2::%eth0",
  ];
  let count = 0;
  for (const text of same) {
    assert.equal(addressGroup(text), "2001:db8:1:2::");
    count += 1;
  }

  assert.equal(count, 4);
  assert.notEqual(addressGroup("2001:db8:1:3::1"), addressGroup("2001:db8:1:2::1"));
  assert.equal(addressGroup("::1"), "0:0:0:0::");
  assert.equal(addressGroup("fe80::1"), "fe80:0:0:0::");
});

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
