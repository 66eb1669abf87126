/**
 * Member names between their quotes, as bytes of a text: compared after unescaping.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** The hash of a name is taken times this, plus a byte, for each byte of its UTF-8 form. */
export const NAME_HASH_FACTOR = 0x01000193;

/** The name as text. `escaped` is 0 when there is no backslash in it. */
export function decodeName(bytes: Buffer, start: number, end: number, escaped: number): string {
  if (escaped === 0) return bytes.toString("utf8", start, end);
  return JSON.parse(`"${bytes.toString("utf8", start, end)}"`) as string;
}

/** Is this the name `name`, which is ASCII? */
export function isName(
  bytes: Buffer,
  start: number,
  end: number,
  escaped: number,
  name: string,
): boolean {
  if (escaped !== 0) return decodeName(bytes, start, end, escaped) === name;
  if (end - start !== name.length) return false;
  for (let index = 0; index < name.length; index++) {
    if (bytes[start + index] !== name.charCodeAt(index)) return false;
  }
  return true;
}

/** One text per name, escaped or not; its characters are the bytes of the name's UTF-8 form. */
export function nameKey(bytes: Buffer, start: number, end: number, escaped: number): string {
  if (escaped === 0) return bytes.toString("latin1", start, end);
  return Buffer.from(decodeName(bytes, start, end, escaped)).toString("latin1");
}

/** The hash that the unescaped form has in the loop. */
export function hashOfEscaped(bytes: Buffer, start: number, end: number): number {
  let hash = 0;
  for (const byte of Buffer.from(decodeName(bytes, start, end, 1))) {
    hash = (Math.imul(hash, NAME_HASH_FACTOR) + byte) | 0;
  }
  return hash;
}

/** Are two names without escapes the same? */
export function sameBytes(
  bytes: Buffer,
  start: number,
  end: number,
  otherStart: number,
  otherEnd: number,
): boolean {
  const length = end - start;
  if (length !== otherEnd - otherStart) return false;
  for (let index = 0; index < length; index++) {
    if (bytes[start + index] !== bytes[otherStart + index]) return false;
  }
  return true;
}
