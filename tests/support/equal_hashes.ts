/** Names that whoever knows the scanner's hash can make: too many of the same hash, or of the same slot. @module */

import { firstSlot } from "../../src/mcp/name_table.ts";
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
