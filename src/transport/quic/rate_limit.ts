/**
 * How often something may happen, in total and for each sender: token buckets without timers.
 *
 * @module
 */

/** The numbers of one limit. */
export interface RateLimitOptions {
  /** Per second, in total and for one sender; each may save up `burst` of them. */
  readonly total: { readonly perSecond: number; readonly burst: number };
  readonly each: { readonly perSecond: number; readonly burst: number };
  /** Senders remembered; beyond it the one that was silent for longest is forgotten. */
  readonly maxSenders: number;
}

interface Bucket {
  level: number;
  atMs: number;
}

/** Counts in constant memory. Senders that are forgotten start with a full bucket again. */
export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #total: Bucket;
  /** Least recently seen first. */
  readonly #senders = new Map<string, Bucket>();

  constructor(options: RateLimitOptions) {
    this.#options = options;
    this.#total = { level: options.total.burst, atMs: -Infinity };
  }

  /** What was taken last has not happened. */
  giveBack(sender: string, shares: "both_shares" | "own_share"): void {
    const bucket = this.#senders.get(sender);
    if (bucket !== undefined) bucket.level += 1;
    if (shares === "both_shares") this.#total.level += 1;
  }

  /** Senders remembered now. */
  get size(): number {
    return this.#senders.size;
  }

  /**
   * May it happen now? If so, it is counted; one sender over its share costs the others nothing.
   *
   * @param shares `"own_share"` for a sender that is not held back by what the others do.
   */
  take(sender: string, nowMs: number, shares: "both_shares" | "own_share"): boolean {
    const { total, each, maxSenders } = this.#options;
    const bucket = this.#senders.get(sender) ?? { level: each.burst, atMs: nowMs };
    this.#senders.delete(sender);
    this.#senders.set(sender, bucket);
    if (this.#senders.size > maxSenders) {
      this.#senders.delete(this.#senders.keys().next().value!); // it has at least this sender
    }
    fill(bucket, each, nowMs);
    if (bucket.level < 1) return false;
    bucket.level -= 1;
    if (shares === "own_share") return true;
    fill(this.#total, total, nowMs);
    if (this.#total.level < 1) return false;
    this.#total.level -= 1;
    return true;
  }
}

function fill(bucket: Bucket, { perSecond, burst }: RateLimitOptions["each"], nowMs: number): void {
  const gained = (nowMs - bucket.atMs) / 1_000 * perSecond;
  bucket.level = Math.min(burst, bucket.level + Math.max(0, gained));
  bucket.atMs = nowMs;
}
