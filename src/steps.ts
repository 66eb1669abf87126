/**
 * Long work on the one thread, cut into steps, so that exchanges go on between them.
 *
 * The work is a generator that yields wherever it may be left for a while; it takes no time and
 * waits for nothing. Who runs it decides: at one go, or in turns with everything else.
 *
 * @module
 */

import type { Clock } from "./clock.ts";
import { TURN_MS } from "./limits.ts";

/** Work that may be left at each `yield`. A step takes well below a millisecond, or says why not. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** How {@link inTurns} shares the thread. */
export interface TurnOptions {
  readonly clock: Pick<Clock, "now">;
  /** Ends the work between two steps. */
  readonly signal?: AbortSignal | undefined;
}

/** Runs the work at one go: for commands, which nobody else waits for. */
export function finish<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}

/**
 * Runs the work for `TURN_MS` at a time; whatever else is ready has its turn in between.
 *
 * @throws The reason of `signal`, when it aborts before the work is done.
 */
export async function inTurns<T>(steps: Steps<T>, { clock, signal }: TurnOptions): Promise<T> {
  for (;;) {
    signal?.throwIfAborted();
    const startedAtMs = clock.now();
    do {
      const step = steps.next();
      if (step.done === true) return step.value;
    } while (clock.now() - startedAtMs < TURN_MS);
    // Not a timer, which waits, and not a promise, which lets nothing in: this comes after I/O.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
