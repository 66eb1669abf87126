/** Quantiles of durations in a fixed space: counts in steps that grow by a tenth. @module */

/** What a quantile may be off by, as a share of it: half a step. */
export const QUANTILE_ERROR = 0.05;

/** Counts durations of 0.1 ms to 12 days; shorter and longer ones count as these. */
export class DurationHistogram {
  /** Made when it is needed: most of thousands of tools have a few calls. */
  readonly #counts = new Map<number, number>();
  #all = 0;

  add(ms: number): void {
    const step = ms <= LEAST_MS
      ? 0
      : Math.min(LAST_STEP, Math.round(Math.log(ms / LEAST_MS) / LOG));
    this.#counts.set(step, (this.#counts.get(step) ?? 0) + 1);
    this.#all++;
  }

  get count(): number {
    return this.#all;
  }

  /** The duration that this share of all stays below or at; `undefined` without any. */
  quantile(share: number): number | undefined {
    if (this.#all === 0) return undefined;
    // The nearest rank, from 1.
    let left = Math.max(1, Math.ceil(share * this.#all));
    const steps = [...this.#counts].sort(([a], [b]) => a - b);
    for (const [step, count] of steps) {
      left -= count;
      if (left <= 0) return LEAST_MS * GROWTH ** step;
    }
    return undefined;
  }
}

const LEAST_MS = 0.1;
const GROWTH = 1.1;
const LOG = Math.log(GROWTH);
/** 12 days: 241 steps, so a histogram has at most as many counts. */
const LAST_STEP = Math.round(Math.log(12 * 86_400_000 / LEAST_MS) / LOG);
