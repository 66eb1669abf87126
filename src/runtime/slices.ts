/** Long work in slices, with the turns of everything else that the process does in between. @module */

import { setImmediate as nextImmediate, setTimeout as after } from "node:timers/promises";

import type { Clock } from "../clock.ts";
import { DENO_SLICE_MS, SLICE_MS } from "../limits.ts";
import type { Steps } from "../steps.ts";

/** How {@link inSlices} shares the thread. */
export interface SliceOptions {
  readonly clock: Pick<Clock, "now">;
  /** Ends the work between two steps. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs the work for `SLICE_MS`, or `DENO_SLICE_MS`, at a time; whatever else is ready has its turn between two slices.
 *
 * @throws The reason of `signal`, when it aborts before the work is done.
 */
export async function inSlices<T>(steps: Steps<T>, { clock, signal }: SliceOptions): Promise<T> {
  const sliceMs = isDeno() ? DENO_SLICE_MS : SLICE_MS;
  for (;;) {
    signal?.throwIfAborted();
    const startedAtMs = clock.now();
    do {
      const step = steps.next();
      if (step.done === true) return step.value;
    } while (clock.now() - startedAtMs < sliceMs);
    await othersHadTheirTurn();
  }
}

async function othersHadTheirTurn(): Promise<void> {
  // Deno goes through many immediates before it looks for input: requests waited for all of the
  // work. A timer of 0 is 1 ms there, in which it does.
  if (isDeno()) return after(0);
  // What came in, and what that led to: QUIC packets, for example, leave in an immediate.
  await nextImmediate();
  await nextImmediate();
}

function isDeno(): boolean {
  return "Deno" in globalThis;
}
