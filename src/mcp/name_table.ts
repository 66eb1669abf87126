/**
 * The names of an object that has many: tables of hashes over the scanner's stack of names, because
 * a text in a `Set` for each name takes three times as long as all the rest.
 *
 * Whoever sends a text can choose names whose hashes are equal or lead to the same slots. So a name
 * takes few steps: where they are not enough the answer is `CROWDED`, and it goes into a `Set`, with
 * hashes that nobody outside can know. A slot that is taken stays taken, so the same name again takes
 * the same steps, and is looked for in the same place.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

import { MAX_COMPARED_NAMES, MAX_EQUAL_HASHES, MAX_NAME_STEPS } from "../limits.ts";
import { nameKey, sameBytes } from "./json_name.ts";

/** Integers of one name on the stack: its hash, its start (inverted if it has escapes), its end. */
export const NAME_STRIDE = 3;

/** What became of a name. */
export const ADDED = 0;
/** The object has it already. */
export const DUPLICATE = 1;
/** It takes too many steps: only the set of the object's crowded names can tell. */
export const CROWDED = 2;

// Here, because a binding of another module is looked up each time.
const COMPARED = MAX_COMPARED_NAMES;
const EQUAL = MAX_EQUAL_HASHES;
const STEPS = MAX_NAME_STEPS;
/** The number of slots is two to the power of this: at first more than two for each name. */
const FIRST_BITS = 33 - Math.clz32(MAX_COMPARED_NAMES * 2);
/** Four times as many whenever half are taken: to write all names again costs more than the memory. */
const GROWTH_BITS = 2;
/** 2^32 by the golden ratio: spreads hashes that are close to each other (Knuth, volume 3, 6.4). */
const SPREAD = 0x9e3779b1;

/** The tables of one text. Objects of one depth, of which only one is open, take turns at one. */
export class NameTables {
  readonly #bytes: Buffer;
  /** By depth: the crowded names of the open objects. */
  readonly #sets: (Set<string> | undefined)[];
  /** By depth. A slot is 0, or one more than where its name is on the stack. */
  readonly #slots: Int32Array[] = [];
  /** By depth: the bits of the number of slots in use. */
  readonly #bits: number[] = [];

  constructor(bytes: Buffer, sets: (Set<string> | undefined)[]) {
    this.#bytes = bytes;
    this.#sets = sets;
  }

  /**
   * Adds the name at `entry` of the stack `names`. The object's other names lie before it, from `base`
   * on; all but the first `MAX_COMPARED_NAMES` came through here. A crowded name is not added: that
   * is left to the caller.
   */
  add(names: Int32Array, base: number, entry: number, depth: number): number {
    const count = (entry - base) / NAME_STRIDE;
    let bits = this.#bits[depth]!;
    if (count === COMPARED || count >= 1 << (bits - 1)) {
      bits = count === COMPARED ? FIRST_BITS : bits + GROWTH_BITS;
      this.#bits[depth] = bits;
      this.#refill(names, base, entry, depth);
    }
    const slots = this.#slots[depth]!;
    const hash = names[entry]!;
    let slot = firstSlot(hash, bits);
    let equal = 0;
    for (let step = 1; step <= STEPS; step++) {
      const other = slots[slot]! - 1;
      if (other < 0) {
        slots[slot] = entry + 1;
        return ADDED;
      }
      if (names[other] === hash) {
        if (sameName(this.#bytes, names, other, entry)) return DUPLICATE;
        if (++equal > EQUAL) return CROWDED;
      }
      slot = nextSlot(slot, step, bits);
    }
    return CROWDED;
  }

  /** Empties the table and adds the names, which are different, from `base` to `end`. */
  #refill(names: Int32Array, base: number, end: number, depth: number): void {
    const bits = this.#bits[depth]!;
    const size = 1 << bits;
    let slots = this.#slots[depth];
    if (slots !== undefined && slots.length >= size) slots.fill(0, 0, size);
    else this.#slots[depth] = slots = new Int32Array(size);
    for (let entry = base; entry < end; entry += NAME_STRIDE) {
      let slot = firstSlot(names[entry]!, bits);
      let step = 1;
      while (step <= STEPS && slots[slot] !== 0) slot = nextSlot(slot, step++, bits);
      if (step <= STEPS) slots[slot] = entry + 1;
      else (this.#sets[depth] ??= new Set()).add(keyAt(this.#bytes, names, entry));
    }
  }
}

/**
 * What becomes of the name at `top` of the stack, without a table: `entry` is the first name of its
 * object that has the same hash.
 */
export function compareNames(
  bytes: Buffer,
  names: Int32Array,
  entry: number,
  top: number,
): number {
  let equal = 0;
  for (let other = entry; other < top; other += NAME_STRIDE) {
    if (names[other] !== names[top]) continue;
    if (sameName(bytes, names, other, top)) return DUPLICATE;
    if (++equal > MAX_EQUAL_HASHES) return CROWDED;
  }
  return ADDED;
}

/** Where the way of a hash through 2^`bits` slots begins. For the test that makes a crowd. */
export function firstSlot(hash: number, bits: number): number {
  return Math.imul(hash ^ (hash >>> 15), SPREAD) >>> (32 - bits);
}

/** Steps that grow by one come to every slot of a power of two, and leave a crowd soon. */
function nextSlot(slot: number, step: number, bits: number): number {
  return (slot + step) & ((1 << bits) - 1);
}

function sameName(bytes: Buffer, names: Int32Array, one: number, other: number): boolean {
  const start = names[one + 1]!;
  const otherStart = names[other + 1]!;
  if (start < 0 || otherStart < 0) {
    // No byte of a name takes more than six as an escape. Without this, one long name would be
    // unescaped for each short one of its hash.
    const length = names[one + 2]! - (start < 0 ? ~start : start);
    const otherLength = names[other + 2]! - (otherStart < 0 ? ~otherStart : otherStart);
    if (length > ESCAPE_BYTES * otherLength || otherLength > ESCAPE_BYTES * length) return false;
    return keyAt(bytes, names, one) === keyAt(bytes, names, other);
  }
  return sameBytes(bytes, start, names[one + 2]!, otherStart, names[other + 2]!);
}

function keyAt(bytes: Buffer, names: Int32Array, entry: number): string {
  const start = names[entry + 1]!;
  return start < 0
    ? nameKey(bytes, ~start, names[entry + 2]!, 1)
    : nameKey(bytes, start, names[entry + 2]!, 0);
}

/** Of `\u0041`, for one byte; other escapes are shorter for what they stand for. */
const ESCAPE_BYTES = 6;
