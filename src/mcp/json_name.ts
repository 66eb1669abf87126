/**
 * Member names between their quotes, as bytes of a text: compared after unescaping.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { MAX_FOLDED_NAME_BYTES } from "../limits.ts";
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

/** For one name of common length; a call that writes to it has read it before it ends. */
const SCRATCH = Buffer.alloc(MAX_FOLDED_NAME_BYTES);

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
  const target = scratch(end - start);
  return target.toString("latin1", 0, unescapeName(bytes, start, end, target));
}

/** The hash that the unescaped form has in the loop. */
export function hashOfEscaped(bytes: Buffer, start: number, end: number): number {
  const target = scratch(end - start);
  const length = unescapeName(bytes, start, end, target);
  const factor = NAME_HASH_FACTOR;
  let hash = 0;
  for (let index = 0; index < length; index++) {
    hash = (Math.imul(hash, factor) + target[index]!) | 0;
  }
  return hash;
}

/**
 * Writes the UTF-8 form of a name, which is never longer than the escaped one, and says how long it
 * is. `JSON.parse` takes ten times as long. The scanner has seen that every escape is whole.
 */
function unescapeName(bytes: Buffer, start: number, end: number, target: Buffer): number {
  let length = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at++]!;
    if (byte !== BACKSLASH) {
      target[length++] = byte;
      continue;
    }
    const letter = bytes[at++]!;
    if (letter !== LETTER_U) {
      target[length++] = UNESCAPED[letter]!;
      continue;
    }
    let code = hex4(bytes, at);
    at += 4;
    if (code >= 0xd800 && code <= 0xdfff) {
      // The first of two (RFC 8259, section 7); before the other is `\u`.
      code = 0x10000 + ((code & 0x3ff) << 10) + (hex4(bytes, at + 2) & 0x3ff);
      at += 6;
    }
    // RFC 3629, section 3.
    if (code < 0x80) {
      target[length++] = code;
      continue;
    }
    if (code < 0x800) target[length++] = 0xc0 | (code >> 6);
    else {
      if (code < 0x10000) target[length++] = 0xe0 | (code >> 12);
      else {
        target[length++] = 0xf0 | (code >> 18);
        target[length++] = 0x80 | ((code >> 12) & 0x3f);
      }
      target[length++] = 0x80 | ((code >> 6) & 0x3f);
    }
    target[length++] = 0x80 | (code & 0x3f);
  }
  return length;
}

function scratch(bytes: number): Buffer {
  return bytes <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafe(bytes);
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
