/**
 * A set for what comes and goes with every request.
 *
 * Not a `Set` or `Map`: when V8 grows one, or makes room in it, the old table keeps pointing to the
 * new one. A table that has reached the old generation then keeps every later one alive, with all
 * that was in it, until the next full collection: 6.5 KB of each request of a tunnel were promoted
 * that way, and scavenges took three times as long.
 *
 * @module
 */

/** What can be in one such set at a time. */
export interface Slotted {
  /** Place in the set; -1 outside of it. Only the set writes it. */
  slot: number;
}

/** No order, no duplicates; adding and deleting take constant time. */
export class ChurnSet<T extends Slotted> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The item must be in no other set. */
  add(item: T): void {
    if (item.slot !== -1) return;
    item.slot = this.#items.length;
    this.#items.push(item);
  }

  delete(item: T): void {
    const { slot } = item;
    if (slot === -1 || this.#items[slot] !== item) return;
    item.slot = -1;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#items[slot] = last;
    last.slot = slot;
  }

  clear(): void {
    for (const item of this.#items) item.slot = -1;
    this.#items.length = 0;
  }

  /** A copy: the set may change while it is gone through. */
  values(): readonly T[] {
    return this.#items.slice();
  }
}
