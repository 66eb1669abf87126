/** Bytes that came from outside, as `Buffer`. @module */

import { Buffer, isUtf8 } from "node:buffer";

/** The same memory as a `Buffer`. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Where the first sequence starts that is not UTF-8; only for the message, so slow is fine. */
export function firstInvalidUtf8(bytes: Buffer): number {
  let low = 0;
  let high = bytes.length;
  // The longest prefix that is valid, up to three bytes of a sequence that was cut.
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (isValidPrefix(bytes, middle)) low = middle;
    else high = middle - 1;
  }
  while (low > 0 && !isUtf8(bytes.subarray(0, low))) low--;
  return low;
}

function isValidPrefix(bytes: Buffer, end: number): boolean {
  for (let cut = 0; cut < 4 && cut <= end; cut++) {
    if (isUtf8(bytes.subarray(0, end - cut))) return true;
  }
  return false;
}
