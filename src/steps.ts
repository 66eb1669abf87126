/**
 * Long work on the one thread, cut into steps, so that exchanges go on between them.
 *
 * The work is a generator that yields wherever it may be left for a while; it takes no time and
 * waits for nothing. Who runs it decides: at one go, or in slices of time
 * (`runtime/slices.ts`).
 *
 * @module
 */

/** Work that may be left at each `yield`. A step takes well below a millisecond, or says why not. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Runs the work at one go: for commands, which nobody else waits for. */
export function finish<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  return step.value;
}
