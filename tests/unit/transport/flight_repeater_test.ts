import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { FLIGHT_REPEAT_MS, MAX_FLIGHT_DATAGRAMS, MAX_FLIGHT_REPEATS } from "../../../src/limits.ts";
import { FlightRepeater } from "../../../src/transport/quic/flight_repeater.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const EDGE = { host: "192.0.2.1", port: 4443 };

function setUp() {
  const clock = fakeClock();
  const again: string[] = [];
  const repeater = new FlightRepeater(clock, (bytes) => void again.push(String(bytes)));
  return { clock, again, repeater };
}

test("a flight is sent again until the next one is sent", () => {
  const { clock, again, repeater } = setUp();
  const shared = Buffer.from("one");
  repeater.sent(shared, EDGE);
  shared.fill("x"); // the sender uses its buffer again
  repeater.sent(Buffer.from("two"), EDGE);

  clock.advance(FLIGHT_REPEAT_MS - 1);
  const early = again.length;
  clock.advance(1);
  const first = again.splice(0);
  repeater.heard();
  clock.advance(FLIGHT_REPEAT_MS);
  const unanswered = again.splice(0);
  repeater.sent(Buffer.from("three"), EDGE);
  clock.advance(2 * FLIGHT_REPEAT_MS);

  assert.equal(early, 0);
  assert.deepEqual(first, ["one", "two"]);
  assert.deepEqual(unanswered, ["one", "two"]);
  assert.deepEqual(again, ["three", "three"]);
});

test("what is sent again is bounded in number and in datagrams, and ends with the handshake", () => {
  const { clock, again, repeater } = setUp();
  for (let count = 0; count < 10; count++) repeater.sent(Buffer.from(String(count)), EDGE);
  clock.advance(1_000 * FLIGHT_REPEAT_MS);
  const all = again.splice(0);
  const idle = clock.pending;
  const other = setUp();
  other.repeater.sent(Buffer.from("one"), EDGE);
  other.repeater.close();
  other.repeater.sent(Buffer.from("two"), EDGE);
  other.clock.advance(10 * FLIGHT_REPEAT_MS);

  assert.equal(all.length, MAX_FLIGHT_REPEATS * MAX_FLIGHT_DATAGRAMS);
  assert.deepEqual(all.slice(0, MAX_FLIGHT_DATAGRAMS), ["6", "7", "8", "9"]);
  assert.equal(idle, 0);
  assert.deepEqual(other.again, []);
  assert.equal(other.clock.pending, 0);
});
