/**
 * Member names between their quotes, as bytes of a text: compared after unescaping.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { hex4 } from "./json_token.ts";

/** The hash of a name is taken times this, plus a byte, for each byte of its UTF-8 form. */
export const NAME_HASH_FACTOR = 0x01000193;

const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
/** What the letter after a backslash stands for, besides `u`. */
const UNESCAPED = Uint8Array.from(
  { length: 256 },
  (_, letter) => "\b\f\n\r\t".charCodeAt("bfnrt".indexOf(String.fromCharCode(letter))) || letter,
);

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

/** The hash that the unescaped form has in the loop. The escapes are whole, as the scanner saw. */
export function hashOfEscaped(bytes: Buffer, start: number, end: number): number {
  let hash = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at]!;
    if (byte !== BACKSLASH) {
      hash = withByte(hash, byte);
      at++;
      continue;
    }
    const letter = bytes[at + 1]!;
    at += 2;
    if (letter !== LETTER_U) {
      hash = withByte(hash, UNESCAPED[letter]!);
      continue;
    }
    let code = hex4(bytes, at);
    at += 4;
    if (code >= 0xd800 && code <= 0xdfff) {
      // The first of two (RFC 8259, section 7); between them is `\u`.
      code = 0x10000 + ((code & 0x3ff) << 10) + (hex4(bytes, at + 2) & 0x3ff);
      at += 6;
    }
    hash = withCharacter(hash, code);
  }
  return hash;
}

/** Adds the UTF-8 form of a character (RFC 3629, section 3). */
function withCharacter(hash: number, code: number): number {
  if (code < 0x80) return withByte(hash, code);
  let next: number;
  if (code < 0x800) next = withByte(hash, 0xc0 | (code >> 6));
  else {
    if (code < 0x10000) next = withByte(hash, 0xe0 | (code >> 12));
    else {
      next = withByte(hash, 0xf0 | (code >> 18));
      next = withByte(next, 0x80 | ((code >> 12) & 0x3f));
    }
    next = withByte(next, 0x80 | ((code >> 6) & 0x3f));
  }
  return withByte(next, 0x80 | (code & 0x3f));
}

function withByte(hash: number, byte: number): number {
  return (Math.imul(hash, NAME_HASH_FACTOR) + byte) | 0;
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
