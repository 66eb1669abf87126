/**
 * Finds bodies that make no progress, or too little. One timer for all of them.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";
import { ChurnSet, type Slotted } from "../churn_set.ts";
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

/** A body that is being watched. */
export interface Watch extends Slotted {
  readonly body: WatchedBody;
  /** Time it has had so far, without what the receiver held it back, ms. */
  hadMs: number;
}

/** Watches bodies until they are removed. Bounded by the number of client connections. */
export class BodyWatch {
  /** Longest time without progress, ms. May change; the next look goes by it. */
  timeoutMs: number;
  readonly #clock: Clock;
  readonly #watches = new ChurnSet<Watch>();
  #timer: Timer | undefined;
  #sweptAtMs = 0;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.timeoutMs = timeoutMs;
  }

  /** @returns what {@link delete} takes. */
  add(body: WatchedBody): Watch {
    const watch = { body, hadMs: 0, slot: -1 };
    this.#watches.add(watch);
    if (this.#timer === undefined) this.#arm();
    return watch;
  }

  /** Idempotent. */
  delete(watch: Watch | undefined): void {
    if (watch !== undefined) this.#watches.delete(watch);
  }

  close(): void {
    this.#watches.clear();
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
    for (const watch of this.#watches.values()) {
      if (watch.slot === -1) continue; // deleted by what came of another
      const { body, hadMs } = watch;
      const { progressAtMs, receivedBytes } = body;
      if (progressAtMs === undefined) continue;
      const stalled = now - progressAtMs >= this.timeoutMs;
      // A byte now and then is progress as well, and would hold a place for days.
      const earnedMs = ((receivedBytes ?? 0) * 1_000) / MIN_BODY_BYTES_PER_S;
      const crawls = receivedBytes !== undefined && hadMs + passedMs > this.timeoutMs + earnedMs;
      if (stalled || crawls) {
        this.#watches.delete(watch);
        body.onStalled();
      } else watch.hadMs = hadMs + passedMs;
    }
    if (this.#watches.size > 0) this.#arm();
  };
}

/** A stalled body is found after at most one timeout and a fourth. */
const SWEEPS_PER_TIMEOUT = 4;
