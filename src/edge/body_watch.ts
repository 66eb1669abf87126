/**
 * Finds bodies that make no progress, or too little. One timer for all of them.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";
import { MIN_BODY_BYTES_PER_S } from "../limits.ts";

/** A body that is on its way. */
export interface WatchedBody {
  /** Monotonic time of the last progress, ms; `undefined` while the receiver itself holds it back. */
  readonly progressAtMs: number | undefined;
  /** Bytes so far, where there is a least rate; absent where any progress will do. */
  readonly receivedBytes?: number;
  /** Called once, when it is given up. */
  onStalled(): void;
}

/** Watches bodies until they are removed. Bounded by the number of client connections. */
export class BodyWatch {
  /** Longest time without progress, ms. May change; the next look goes by it. */
  timeoutMs: number;
  readonly #clock: Clock;
  /** Each with the time it has had so far, without what the receiver held it back, ms. */
  readonly #bodies = new Map<WatchedBody, number>();
  #timer: Timer | undefined;
  #sweptAtMs = 0;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.timeoutMs = timeoutMs;
  }

  add(body: WatchedBody): void {
    this.#bodies.set(body, 0);
    if (this.#timer === undefined) this.#arm();
  }

  delete(body: WatchedBody): void {
    this.#bodies.delete(body);
  }

  close(): void {
    this.#bodies.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#sweptAtMs = this.#clock.now();
    this.#timer = this.#clock.setTimer(this.timeoutMs / SWEEPS_PER_TIMEOUT, this.#sweep, "no");
  }

  readonly #sweep = (): void => {
    this.#timer = undefined;
    const now = this.#clock.now();
    const passedMs = now - this.#sweptAtMs;
    for (const [body, hadMs] of this.#bodies) {
      const { progressAtMs, receivedBytes } = body;
      if (progressAtMs === undefined) continue;
      const stalled = now - progressAtMs >= this.timeoutMs;
      // A byte now and then is progress as well, and would hold a place for days.
      const earnedMs = ((receivedBytes ?? 0) * 1_000) / MIN_BODY_BYTES_PER_S;
      const crawls = receivedBytes !== undefined && hadMs + passedMs > this.timeoutMs + earnedMs;
      if (stalled || crawls) {
        this.#bodies.delete(body);
        body.onStalled();
      } else this.#bodies.set(body, hadMs + passedMs);
    }
    if (this.#bodies.size > 0) this.#arm();
  };
}

/** A stalled body is found after at most one timeout and a fourth. */
const SWEEPS_PER_TIMEOUT = 4;
