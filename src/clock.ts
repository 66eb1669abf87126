/** Time, passed in so that tests can hold it. @module */

/** A timer that has been set; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/** The two readings of time and the one way to wait. */
export interface Clock {
  /** Monotonic milliseconds; only differences mean anything. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wallNow(): number;
  /** Calls `fire` once, after at least `delayMs` milliseconds. A set timer does not keep the process alive by itself when `hold` is `"no"`. */
  setTimer(delayMs: number, fire: () => void, hold?: "yes" | "no"): Timer;
}

/** The system clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimer(delayMs, fire, hold = "yes") {
    const timer = setTimeout(fire, delayMs);
    if (hold === "no") timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts (then with `"aborted"`). */
export function delay(
  clock: Clock,
  delayMs: number,
  signal: AbortSignal,
): Promise<"elapsed" | "aborted"> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve("aborted");
    const onAbort = () => {
      timer.cancel();
      resolve("aborted");
    };
    const timer = clock.setTimer(delayMs, () => {
      signal.removeEventListener("abort", onAbort);
      resolve("elapsed");
    });
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
