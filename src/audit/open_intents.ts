/**
 * Intents whose exchange has not followed.
 *
 * Where an edge starts anew, what was still open had its outcome lost: the edge ended in between. At
 * the end of a trail it may as well be in flight.
 *
 * @module
 */

import { MAX_OPEN_INTENTS } from "../limits.ts";
import type { SeenRecord } from "./read_record.ts";

/** Sees every line of a trail in order, and remembers what is open. */
export class OpenIntents {
  /** By edge and exchange, oldest first. */
  readonly #open = new Map<string, SeenRecord>();
  #afterRotation = false;

  /**
   * Takes the next line.
   *
   * @returns The intents that will have no outcome any more: an edge has started anew.
   */
  see(record: SeenRecord): readonly SeenRecord[] {
    const isRotated = this.#afterRotation;
    this.#afterRotation = record.type === "checkpoint" && record.rotated === true;
    // The first line of a file is an "open" too; one that goes on from another says so before it.
    if (record.type === "open" && !isRotated) return this.takeAll();
    if (record.exchange === undefined) return [];
    const key = `${record.edge ?? ""}\n${record.exchange}`;
    if (record.type === "exchange") this.#open.delete(key);
    else if (record.type === "intent") {
      this.#open.set(key, record);
      // The oldest is forgotten: rather no word about it than no end of memory.
      if (this.#open.size > MAX_OPEN_INTENTS) this.#open.delete(this.#open.keys().next().value!);
    }
    return [];
  }

  /** What is open, oldest first; it is forgotten. */
  takeAll(): readonly SeenRecord[] {
    const open = [...this.#open.values()];
    this.#open.clear();
    return open;
  }
}
