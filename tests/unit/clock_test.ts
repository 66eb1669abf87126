import assert from "node:assert/strict";
import { test } from "node:test";

import { type Clock, delay, systemClock, type Timer } from "../../src/clock.ts";

/** A clock whose one timer fires when the test says so. */
function handClock(): { clock: Clock; fire: () => void; pending: () => number } {
  const timers = new Set<() => void>();
  const clock: Clock = {
    now: () => 0,
    wallNow: () => 0,
    setTimer(_delayMs, fire): Timer {
      timers.add(fire);
      return { cancel: () => void timers.delete(fire) };
    },
  };
  const fire = () => {
    for (const timer of [...timers]) {
      timers.delete(timer);
      timer();
    }
  };
  return { clock, fire, pending: () => timers.size };
}

test("delay() resolves with elapsed when its timer fires", async () => {
  const { clock, fire } = handClock();

  const waiting = delay(clock, 10, new AbortController().signal);
  fire();

  assert.equal(await waiting, "elapsed");
});

test("delay() resolves with aborted at once when the signal aborts, and drops its timer", async () => {
  const { clock, pending } = handClock();
  const controller = new AbortController();

  const waiting = delay(clock, 10, controller.signal);
  controller.abort();

  assert.equal(await waiting, "aborted");
  assert.equal(pending(), 0);
});

test("delay() sets no timer when the signal was aborted before", async () => {
  const { clock, pending } = handClock();

  assert.equal(await delay(clock, 10, AbortSignal.abort()), "aborted");
  assert.equal(pending(), 0);
});

test("systemClock fires a timer once and reads both times", async () => {
  const before = systemClock.now();

  await new Promise<void>((resolve) => void systemClock.setTimer(1, resolve));

  assert.ok(systemClock.now() > before);
  assert.ok(systemClock.wallNow() > Date.UTC(2020, 0, 1));
});

test("systemClock does not fire a canceled timer, and cancel is idempotent", async () => {
  let fired = 0;
  const timer = systemClock.setTimer(0, () => fired += 1, "no");

  timer.cancel();
  timer.cancel();
  await new Promise<void>((resolve) => void systemClock.setTimer(2, resolve));

  assert.equal(fired, 0);
});
