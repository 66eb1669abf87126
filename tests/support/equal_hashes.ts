/** Names that whoever knows the scanner's hash can make: too many of the same hash, or of the same slot. @module */

import { firstSlot } from "../../src/mcp/name_table.ts";
import { NAME_HASH_FACTOR } from "../../src/mcp/json_name.ts";
import { hashOfName } from "../../src/mcp/shape.ts";

/** Two blocks with one hash, found by trying. In a row of blocks each may stand for the other. */
const BLOCKS = ["jkgccbynlc", "nakldrzmzu"];

/** Name `index` of 2^`blocks` different ones, ASCII and as long as each other, with one hash. */
export function nameOfEqualHash(index: number, blocks: number): string {
  let name = "";
  for (let bit = 0; bit < blocks; bit++) name += BLOCKS[(index >> bit) & 1];
  return name;
}

/** Names that begin at the same slot of every table of up to 4,096 slots. */
export function namesOfOneSlot(count: number): string[] {
  const names: string[] = [];
  for (let index = 0; names.length < count; index++) {
    const name = `s${index.toString(36)}`;
    if (firstSlot(hashOfName(name), 12) === 0) names.push(name);
  }
  return names;
}

/** Different names of seven characters with the given hash: starts and ends that fit each other. */
export function namesOfHash(hash: number, count: number): string[] {
  const halves: string[] = [];
  for (const a of LETTERS) for (const b of LETTERS) for (const c of LETTERS) halves.push(a + b + c);
  const ends = new Map(halves.map((half) => [hashOfName(half), half]));
  // The hash of both is that of the first half times the factor to the third, plus that of the second.
  const square = Math.imul(NAME_HASH_FACTOR, NAME_HASH_FACTOR);
  const shift = Math.imul(square, NAME_HASH_FACTOR);
  const names: string[] = [];
  for (const first of halves) {
    for (const second of LETTERS) {
      const start = first + second;
      const end = ends.get((hash - Math.imul(hashOfName(start), shift)) | 0);
      if (end !== undefined && names.push(start + end) === count) return names;
    }
  }
  return names;
}

const LETTERS = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"];
