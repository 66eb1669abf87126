/**
 * Handshakes that are not done: how many there are, from whom, and which one gives way.
 *
 * @module
 */

import { MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS } from "../../limits.ts";
import { addressGroup } from "../../runtime/address_group.ts";

/** The unfinished handshakes of an endpoint, by sender. `T` stands for one of them. */
export class Handshakes<T> {
  /** Oldest first, in each sender's set. */
  readonly #bySender = new Map<string, Set<T>>();
  readonly #senderOf = new Map<T, string>();

  get size(): number {
    return this.#senderOf.size;
  }

  /**
   * The one that must go before another from `host` may begin; none when there is room.
   *
   * A full share makes its own oldest go, so that whoever fills it cannot keep out a rift at the
   * same address. When all together are too many, the sender with the most loses its oldest: a
   * sender with a single one is not who fills the table.
   */
  givesWay(host: string): { readonly handshake: T; readonly why: "address" | "table" } | undefined {
    const own = this.#bySender.get(addressGroup(host));
    if (own !== undefined && own.size >= MAX_HANDSHAKES_PER_ADDRESS) {
      return { handshake: oldest(own), why: "address" };
    }
    if (this.size < MAX_HANDSHAKES) return undefined;
    let most: Set<T> | undefined;
    for (const set of this.#bySender.values()) {
      if (most === undefined || set.size > most.size) most = set;
    }
    return most === undefined ? undefined : { handshake: oldest(most), why: "table" };
  }

  add(handshake: T, host: string): void {
    const sender = addressGroup(host);
    const set = this.#bySender.get(sender) ?? new Set();
    set.add(handshake);
    this.#bySender.set(sender, set);
    this.#senderOf.set(handshake, sender);
  }

  /** Over, one way or another. */
  delete(handshake: T): void {
    const sender = this.#senderOf.get(handshake);
    if (sender === undefined) return;
    this.#senderOf.delete(handshake);
    const set = this.#bySender.get(sender);
    set?.delete(handshake);
    if (set?.size === 0) this.#bySender.delete(sender);
  }
}

/** The first of a set that is not empty. */
function oldest<T>(set: ReadonlySet<T>): T {
  return set.values().next().value!;
}
