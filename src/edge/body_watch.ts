/**
 * Finds request bodies that make no progress. One timer for all of them.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";

/** A body that is being received. */
export interface WatchedBody {
  /** Monotonic time of the last progress, ms; `undefined` while the receiver itself holds it back. */
  readonly progressAtMs: number | undefined;
  /** Called once, when nothing has come for the whole time. */
  onStalled(): void;
}

/** Watches bodies until they are removed. Bounded by the number of client connections. */
export class BodyWatch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #bodies = new Set<WatchedBody>();
  #timer: Timer | undefined;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  add(body: WatchedBody): void {
    this.#bodies.add(body);
    this.#timer ??= this.#clock.setTimer(this.#timeoutMs / SWEEPS_PER_TIMEOUT, this.#sweep, "no");
  }

  delete(body: WatchedBody): void {
    this.#bodies.delete(body);
  }

  close(): void {
    this.#bodies.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  readonly #sweep = (): void => {
    this.#timer = undefined;
    const now = this.#clock.now();
    for (const body of this.#bodies) {
      const { progressAtMs } = body;
      if (progressAtMs === undefined || now - progressAtMs < this.#timeoutMs) continue;
      this.#bodies.delete(body);
      body.onStalled();
    }
    if (this.#bodies.size === 0) return;
    this.#timer = this.#clock.setTimer(this.#timeoutMs / SWEEPS_PER_TIMEOUT, this.#sweep, "no");
  };
}

/** A stalled body is found after at most one timeout and a fourth. */
const SWEEPS_PER_TIMEOUT = 4;
