/** How long to wait before trying again. Pure. @module */

/** First and longest wait, ms. */
export interface BackoffRange {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Exponential backoff with full jitter: anywhere between 0 and the bound, so that a thousand rifts
 * that lost the same edge do not come back at once.
 *
 * @param attempt Failures in a row before this wait, from 1.
 * @param random Between 0 and 1.
 */
export function backoffMs(range: BackoffRange, attempt: number, random: number): number {
  const doublings = Math.min(Math.max(attempt - 1, 0), 30);
  return Math.round(random * Math.min(range.firstMs * 2 ** doublings, range.maxMs));
}
