/** A map that never holds more than it may, and nothing for longer than it was told. @module */

/** The oldest entry goes when it is full. */
export class BoundedCache<V> {
  readonly #max: number;
  readonly #entries = new Map<string, { readonly value: V; readonly untilMs: number }>();

  /** @param max Entries, at least 1. */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @param nowMs Of the same clock as `untilMs` of {@link set}. */
  get(key: string, nowMs: number): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (nowMs < entry.untilMs) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, value: V, untilMs: number): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#max) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, { value, untilMs });
  }

  clear(): void {
    this.#entries.clear();
  }
}
