/**
 * Counts failed attempts to prove who one is, per address, so that guessing and floods of bad
 * tokens end in cheap answers.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { FAILURE_ADDRESSES, FAILURES_AT_ONCE, MS_PER_FAILURE } from "../limits.ts";

interface Bucket {
  /** Failures that are not forgiven yet. */
  failures: number;
  atMs: number;
  /** The proof that failed last: a client that goes on with a token that ended is not guessing. */
  last: string;
}

/** One for all tunnels of an edge. */
export class FailureLimit {
  readonly #clock: Clock;
  /** The one that failed least recently is first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Have too many different proofs failed from here? */
  isBlocked(address: string): boolean {
    const bucket = this.#buckets.get(address);
    return bucket !== undefined && this.#left(bucket) >= FAILURES_AT_ONCE;
  }

  /**
   * @param digest Stands for what was shown, without saying it.
   * @returns Is it news, rather than what failed last from there?
   */
  failed(address: string, digest: string): boolean {
    const bucket = this.#buckets.get(address);
    this.#buckets.delete(address);
    const failures = bucket === undefined ? 0 : this.#left(bucket);
    const isNew = bucket?.last !== digest;
    this.#buckets.set(address, {
      failures: isNew ? Math.min(failures + 1, FAILURES_AT_ONCE + 1) : failures,
      atMs: this.#clock.now(),
      last: digest,
    });
    if (this.#buckets.size > FAILURE_ADDRESSES) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return isNew;
  }

  /** Seconds until the next attempt is looked at. */
  retryAfterS(address: string): number {
    const bucket = this.#buckets.get(address);
    if (bucket === undefined) return 0;
    const over = this.#left(bucket) - FAILURES_AT_ONCE;
    return Math.max(1, Math.ceil(((over + 1) * MS_PER_FAILURE) / 1_000));
  }

  #left(bucket: Bucket): number {
    const forgiven = (this.#clock.now() - bucket.atMs) / MS_PER_FAILURE;
    return Math.max(0, bucket.failures - forgiven);
  }
}
