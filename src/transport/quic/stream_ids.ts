/** Which streams the peer has opened. QUIC numbers them in steps of four, but they arrive in any order. @module */

/** Remembers seen ids in constant space as long as no id is missing for long. */
export class StreamIds {
  #next: number;
  /** Seen ids above `next`: bounded by the stream limit, since a missing id uses up one place of it. */
  readonly #ahead = new Set<number>();

  /** @param first The peer's first bidirectional stream id, 0 or 1 (RFC 9000, 2.1). */
  constructor(first: number) {
    this.#next = first;
  }

  /** The lowest id that was not seen yet. */
  get next(): number {
    return this.#next;
  }

  /** Is this an id of the peer that was not seen yet? */
  isNew(id: number): boolean {
    return id % 4 === this.#next % 4 && id >= this.#next && !this.#ahead.has(id);
  }

  /** Notes that `id` was seen. */
  seen(id: number): void {
    if (id !== this.#next) {
      this.#ahead.add(id);
      return;
    }
    do this.#next += 4; while (this.#ahead.delete(this.#next));
  }
}
