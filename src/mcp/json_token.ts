/**
 * The tokens of JSON as bytes (RFC 8259): where each ends, if it is one.
 *
 * @module
 */

import { Buffer } from "node:buffer";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LETTER_U = 0x75;

/** Bytes at which a string's plain run ends: quote, backslash, controls. */
export const STOPS = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte < 0x20 || byte === QUOTE || byte === BACKSLASH ? 1 : 0,
);
/** Value of a hexadecimal digit, or 255. */
const HEX = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = "0123456789abcdef".indexOf(String.fromCharCode(byte).toLowerCase());
  return byte < 0x80 && digit >= 0 ? digit : 255;
});
/** What may follow a backslash, besides `u`. */
const ESCAPES = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte < 0x80 && '"\\/bfnrt'.includes(String.fromCharCode(byte)) ? 1 : 0,
);
const LITERALS: readonly (readonly number[])[] = ["null", "true", "false"].map((word) => [
  ...Buffer.from(word),
]);

/** `at` is at a backslash. The place after the escape; -1 malformed, -2 a lone surrogate. */
export function afterEscape(bytes: Buffer, at: number, keepSurrogates: boolean): number {
  const letter = bytes[at + 1]!;
  if (ESCAPES[letter] === 1) return at + 2;
  if (letter !== LETTER_U) return -1;
  const unit = hex4(bytes, at + 2);
  if (unit < 0) return -1;
  if (unit < 0xd800 || unit > 0xdfff) return at + 6;
  if (unit < 0xdc00 && bytes[at + 6] === BACKSLASH && bytes[at + 7] === LETTER_U) {
    const low = hex4(bytes, at + 8);
    if (low < 0) return -1;
    if (low >= 0xdc00 && low <= 0xdfff) return at + 12;
  }
  return keepSurrogates ? at + 6 : -2;
}

/** The number that four hexadecimal digits are, or -1. */
export function hex4(bytes: Buffer, at: number): number {
  if (at + 4 > bytes.length) return -1;
  const a = HEX[bytes[at]!]!;
  const b = HEX[bytes[at + 1]!]!;
  const c = HEX[bytes[at + 2]!]!;
  const d = HEX[bytes[at + 3]!]!;
  return (a | b | c | d) > 15 ? -1 : (a << 12) | (b << 8) | (c << 4) | d;
}

/** The place after the number at `at`, or -1 (RFC 8259, section 6). */
export function afterNumber(bytes: Buffer, start: number, length: number): number {
  let at = start;
  if (bytes[at] === MINUS) at++;
  if (at >= length) return -1;
  if (bytes[at] === ZERO) at++;
  else if (at === (at = afterDigits(bytes, at, length))) return -1;
  if (at < length && bytes[at] === DOT) {
    at++;
    if (at === (at = afterDigits(bytes, at, length))) return -1;
  }
  if (at < length && (bytes[at]! | 0x20) === 0x65) {
    at++;
    if (at < length && (bytes[at] === PLUS || bytes[at] === MINUS)) at++;
    if (at === (at = afterDigits(bytes, at, length))) return -1;
  }
  return at;
}

function afterDigits(bytes: Buffer, start: number, length: number): number {
  let at = start;
  while (at < length && bytes[at]! >= ZERO && bytes[at]! <= NINE) at++;
  return at;
}

export function afterLiteral(bytes: Buffer, at: number, length: number): number {
  for (const word of LITERALS) {
    if (bytes[at] !== word[0]) continue;
    if (at + word.length > length) return -1;
    for (let index = 1; index < word.length; index++) {
      if (bytes[at + index] !== word[index]) return -1;
    }
    return at + word.length;
  }
  return -1;
}

/** RFC 8259, section 2. */
export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
