/** A clock that stands still until a test moves it. @module */

import type { Clock, Timer } from "../../src/clock.ts";

/** See {@link fakeClock}. */
export interface FakeClock extends Clock {
  /** Moves time on and fires what is due, in order; timers set meanwhile count too. */
  advance(ms: number): void;
  /** Timers that are set. */
  readonly pending: number;
}

/** @param wallMs Milliseconds since the Unix epoch at the start. */
export function fakeClock(wallMs = 1_800_000_000_000): FakeClock {
  const timers = new Set<{ readonly atMs: number; readonly fire: () => void }>();
  let nowMs = 0;
  return {
    now: () => nowMs,
    wallNow: () => wallMs + nowMs,
    setTimer(delayMs, fire): Timer {
      const timer = { atMs: nowMs + Math.max(0, delayMs), fire };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    advance(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        const due = [...timers].filter((timer) => timer.atMs <= endMs)
          .sort((a, b) => a.atMs - b.atMs)[0];
        if (due === undefined) break;
        timers.delete(due);
        nowMs = Math.max(nowMs, due.atMs);
        due.fire();
      }
      nowMs = endMs;
    },
    get pending() {
      return timers.size;
    },
  };
}
