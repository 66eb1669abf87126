/** Names that whoever knows the scanner's hash can make: as many as wanted have the same one. @module */

/** Two blocks with one hash, found by trying. In a row of blocks each may stand for the other. */
const BLOCKS = ["jkgccbynlc", "nakldrzmzu"];

/** Name `index` of 2^`blocks` different ones, ASCII and as long as each other, with one hash. */
export function nameOfEqualHash(index: number, blocks: number): string {
  let name = "";
  for (let bit = 0; bit < blocks; bit++) name += BLOCKS[(index >> bit) & 1];
  return name;
}
