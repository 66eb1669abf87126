/**
 * The strict reader of JSON: one pass over the bytes that says yes, or what is wrong and where.
 *
 * Stricter than RFC 8259 in what the RFC leaves open, so that every other parser reads the same:
 * UTF-8 without a byte order mark, no lone surrogates, no member name twice in an object (compared
 * after unescaping), bounds on size, depth and members, no look-alikes of the protocol's names.
 * Builds no values: it keeps the byte ranges that a `Shape` asks for, in one array of integers.
 *
 * @module
 */

import { Buffer, isUtf8 } from "node:buffer";

import { MAX_COMPARED_NAMES, MAX_JSON_DEPTH } from "../limits.ts";
import { JsonDocument, KIND, NODE } from "./document.ts";
import { LEAF } from "./shape.ts";
import type { Shape } from "./shape.ts";

/** Why a text was refused. */
export type ScanCode =
  | "too_large"
  | "empty"
  | "bom"
  | "utf8"
  | "syntax"
  | "control_character"
  | "escape"
  | "surrogate"
  | "number"
  | "depth"
  | "members"
  | "duplicate"
  | "look_alike"
  | "unterminated"
  | "trailing";

/** How to read. */
export interface ScanOptions {
  readonly shape: Shape;
  /** Largest text, bytes. */
  readonly maxBytes: number;
  /** Most member names and kept elements. */
  readonly maxMembers: number;
  /**
   * What to do with a lone surrogate escape in a string value: servers that cut a text in the
   * middle of a character send them. In a member name it is always refused.
   */
  readonly loneSurrogates: "refuse" | "keep";
}

/** A document, or why there is none; `offset` is that of the first byte that cannot stand. */
export type ScanResult =
  | { readonly ok: true; readonly document: JsonDocument }
  | { readonly ok: false; readonly code: ScanCode; readonly offset: number };

/** Reads `input` as one JSON text. Never throws. */
export function scanJson(input: Uint8Array, options: ScanOptions): ScanResult {
  if (input.length > options.maxBytes) return refuse("too_large", options.maxBytes);
  const bytes = input instanceof Buffer
    ? input
    : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  if (bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return refuse("bom", 0);
  }
  // The native check is faster than a branch per byte would be; so below, bytes from 0x80 up are fine.
  if (!isUtf8(bytes)) return refuse("utf8", firstInvalidUtf8(bytes));
  return read(bytes, options);
}

/** The one pass. Long, because a call per token costs more than the token. */
function read(bytes: Buffer, options: ScanOptions): ScanResult {
  const length = bytes.length;
  const { maxMembers } = options;
  const keepSurrogates = options.loneSurrogates === "keep";

  // Of each open container: is it an object, its shape, its node, its last kept child.
  const { isObject, nodeOf, lastChild, namesBase } = STACKS;
  const shapes: (Shape | undefined)[] = [];
  // Names of the open objects: hash, start, end (negative when escaped); where each object's begin.
  let names = STACKS.names;
  let namesTop = 0;
  const sets: (Set<string> | undefined)[] = [];

  let nodes = new Int32Array(NODE.stride * 24);
  let nodesTop = 0;
  let members = 0;
  let depth = 0;
  let inObject = false;
  /** Shape of the value to come; `undefined`: do not keep it. */
  let shape: Shape | undefined = options.shape;
  let nameStart = -1;
  let nameEnd = -1;
  let nameEscaped = 0;
  let at = 0;
  let byte = 0;

  for (;;) {
    if (inObject) {
      // --- A member name and its colon ---
      while (at < length && isSpace(byte = bytes[at]!)) at++;
      if (at >= length) return refuse("unterminated", length);
      if (byte !== QUOTE) return refuse("syntax", at);
      at++;
      nameStart = at;
      nameEscaped = 0;
      let hash = 0;
      for (;;) {
        if (at >= length) return refuse("unterminated", length);
        byte = bytes[at]!;
        if (STOPS[byte] !== 0) {
          if (byte === QUOTE) break;
          if (byte !== BACKSLASH) return refuse("control_character", at);
          nameEscaped = 1;
          const next = afterEscape(bytes, at, false);
          if (next < 0) return refuseEscape(bytes, at, next);
          at = next;
          continue;
        }
        hash = (Math.imul(hash, 31) + byte) | 0;
        at++;
      }
      nameEnd = at;
      at++;
      if (++members > maxMembers) return refuse("members", nameStart - 1);
      if (nameEscaped !== 0) hash = hashOfEscaped(bytes, nameStart, nameEnd);

      // Is it there already?
      const set = sets[depth];
      if (set !== undefined) {
        const key = nameKey(bytes, nameStart, nameEnd, nameEscaped);
        if (set.has(key)) return refuse("duplicate", nameStart - 1);
        set.add(key);
      } else {
        const base = namesBase[depth]!;
        for (let entry = base; entry < namesTop; entry += NAME_STRIDE) {
          if (
            names[entry] === hash &&
            sameName(bytes, names[entry + 1]!, names[entry + 2]!, nameStart, nameEnd, nameEscaped)
          ) return refuse("duplicate", nameStart - 1);
        }
        if (namesTop + NAME_STRIDE > names.length) names = grow(names);
        names[namesTop] = hash;
        names[namesTop + 1] = nameStart;
        names[namesTop + 2] = nameEscaped !== 0 ? -nameEnd : nameEnd;
        namesTop += NAME_STRIDE;
        if (namesTop - base > NAME_STRIDE * MAX_COMPARED_NAMES) {
          sets[depth] = setOf(bytes, names, base, namesTop);
          namesTop = base;
        }
      }

      const parent = shapes[depth];
      shape = undefined;
      if (parent?.members !== undefined) {
        const known = parent.members.get(hash);
        if (known !== undefined && isName(bytes, nameStart, nameEnd, nameEscaped, known.name)) {
          shape = known.shape;
        } else {
          shape = parent.others ?? LEAF;
          if (
            parent.reserved !== undefined &&
            parent.reserved.isLookAlike(decodeName(bytes, nameStart, nameEnd, nameEscaped))
          ) return refuse("look_alike", nameStart - 1);
        }
      }

      while (at < length && isSpace(byte = bytes[at]!)) at++;
      if (at >= length) return refuse("unterminated", length);
      if (byte !== COLON) return refuse("syntax", at);
      at++;
    } else if (depth > 0) {
      shape = shapes[depth]?.element;
      if (shape !== undefined && ++members > maxMembers) return refuse("members", at);
    }

    // --- A value ---
    while (at < length && isSpace(byte = bytes[at]!)) at++;
    if (at >= length) {
      return depth === 0 ? refuse("empty", length) : refuse("unterminated", length);
    }
    let node = -1;
    if (shape !== undefined) {
      node = nodesTop;
      if (nodesTop + NODE.stride > nodes.length) nodes = grow(nodes);
      nodesTop += NODE.stride;
      nodes[node + NODE.start] = at;
      nodes[node + NODE.nameStart] = inObject ? nameStart : -1;
      nodes[node + NODE.nameEnd] = inObject ? nameEnd : -1;
      nodes[node + NODE.next] = -1;
      nodes[node + NODE.first] = -1;
      nodes[node + NODE.flags] = inObject ? nameEscaped : 0;
      nodes[node + NODE.parent] = depth === 0 ? -1 : nodeOf[depth]!;
      if (depth > 0) {
        const before = lastChild[depth]!;
        nodes[before < 0 ? nodeOf[depth]! + NODE.first : before + NODE.next] = node;
        lastChild[depth] = node;
      }
    }

    let kind: number;
    if (byte === QUOTE) {
      kind = KIND.string;
      at++;
      let escaped = false;
      for (;;) {
        while (at < length && STOPS[byte = bytes[at]!] === 0) at++;
        if (at >= length) return refuse("unterminated", length);
        if (byte === QUOTE) break;
        if (byte !== BACKSLASH) return refuse("control_character", at);
        escaped = true;
        const next = afterEscape(bytes, at, keepSurrogates);
        if (next < 0) return refuseEscape(bytes, at, next);
        at = next;
      }
      at++;
      if (escaped && node >= 0) nodes[node + NODE.flags]! |= NODE.valueEscaped;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (depth === MAX_JSON_DEPTH) return refuse("depth", at);
      inObject = byte === OPEN_BRACE;
      at++;
      depth++;
      isObject[depth] = inObject ? 1 : 0;
      shapes[depth] = shape;
      nodeOf[depth] = node;
      lastChild[depth] = -1;
      namesBase[depth] = namesTop;
      sets[depth] = undefined;
      if (node >= 0) nodes[node + NODE.kind] = inObject ? KIND.object : KIND.array;
      while (at < length && isSpace(byte = bytes[at]!)) at++;
      if (at >= length) return refuse("unterminated", length);
      if (byte !== (inObject ? CLOSE_BRACE : CLOSE_BRACKET)) continue;
      kind = -1; // empty: closed below
    } else if (byte === MINUS || (byte >= ZERO && byte <= NINE)) {
      kind = KIND.number;
      const end = afterNumber(bytes, at, length);
      if (end < 0) return refuse("number", at);
      at = end;
    } else {
      kind = byte === LETTER_N ? KIND.null : byte === LETTER_T ? KIND.true : KIND.false;
      const end = afterLiteral(bytes, at, length);
      if (end < 0) return refuse("syntax", at);
      at = end;
    }
    if (kind >= 0 && node >= 0) {
      nodes[node + NODE.kind] = kind;
      nodes[node + NODE.end] = at;
    }

    // --- What follows a value: the end of containers, then a comma ---
    for (;;) {
      if (depth === 0) {
        while (at < length && isSpace(bytes[at]!)) at++;
        if (at < length) return refuse("trailing", at);
        return { ok: true, document: new JsonDocument(bytes, nodes, nodesTop) };
      }
      while (at < length && isSpace(byte = bytes[at]!)) at++;
      if (at >= length) return refuse("unterminated", length);
      inObject = isObject[depth] === 1;
      if (byte === COMMA && kind !== -1) {
        at++;
        break;
      }
      if (byte !== (inObject ? CLOSE_BRACE : CLOSE_BRACKET)) return refuse("syntax", at);
      at++;
      kind = -2; // closed: a value of the container around it
      const closed = nodeOf[depth]!;
      if (closed >= 0) nodes[closed + NODE.end] = at;
      namesTop = namesBase[depth]!;
      depth--;
    }
  }
}

const NAME_STRIDE = 3;
/** Used by one scan at a time, which never waits; to allocate them costs as much as a small request. */
const STACKS = {
  isObject: new Uint8Array(MAX_JSON_DEPTH + 1),
  nodeOf: new Int32Array(MAX_JSON_DEPTH + 1),
  lastChild: new Int32Array(MAX_JSON_DEPTH + 1),
  namesBase: new Int32Array(MAX_JSON_DEPTH + 1),
  names: new Int32Array(NAME_STRIDE * 64),
};
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const LETTER_N = 0x6e;
const LETTER_T = 0x74;
const LETTER_U = 0x75;

/** Bytes at which a string's plain run ends: quote, backslash, controls. */
const STOPS = Uint8Array.from(
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
function afterEscape(bytes: Buffer, at: number, keepSurrogates: boolean): number {
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

function hex4(bytes: Buffer, at: number): number {
  if (at + 4 > bytes.length) return -1;
  const [a, b] = [HEX[bytes[at]!]!, HEX[bytes[at + 1]!]!];
  const [c, d] = [HEX[bytes[at + 2]!]!, HEX[bytes[at + 3]!]!];
  return (a | b | c | d) > 15 ? -1 : (a << 12) | (b << 8) | (c << 4) | d;
}

/** The place after the number at `at`, or -1 (RFC 8259, section 6). */
function afterNumber(bytes: Buffer, start: number, length: number): number {
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

function afterLiteral(bytes: Buffer, at: number, length: number): number {
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
function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function decodeName(bytes: Buffer, start: number, end: number, escaped: number): string {
  if (escaped === 0) return bytes.toString("utf8", start, end);
  return JSON.parse(`"${bytes.toString("utf8", start, end)}"`) as string;
}

/** Is this the name `name`, which is ASCII? */
function isName(bytes: Buffer, start: number, end: number, escaped: number, name: string): boolean {
  if (escaped !== 0) return decodeName(bytes, start, end, escaped) === name;
  if (end - start !== name.length) return false;
  for (let index = 0; index < name.length; index++) {
    if (bytes[start + index] !== name.charCodeAt(index)) return false;
  }
  return true;
}

/** One text per name, escaped or not; its characters are the bytes of the name's UTF-8 form. */
function nameKey(bytes: Buffer, start: number, end: number, escaped: number): string {
  if (escaped === 0) return bytes.toString("latin1", start, end);
  return Buffer.from(decodeName(bytes, start, end, escaped)).toString("latin1");
}

/** The hash that the unescaped form has in the loop. */
function hashOfEscaped(bytes: Buffer, start: number, end: number): number {
  let hash = 0;
  for (const byte of Buffer.from(decodeName(bytes, start, end, 1))) {
    hash = (Math.imul(hash, 31) + byte) | 0;
  }
  return hash;
}

/** `markedEnd` is negative for an escaped name. */
function sameName(
  bytes: Buffer,
  start: number,
  markedEnd: number,
  otherStart: number,
  otherEnd: number,
  otherEscaped: number,
): boolean {
  if (markedEnd < 0 || otherEscaped !== 0) {
    return nameKey(bytes, start, Math.abs(markedEnd), markedEnd < 0 ? 1 : 0) ===
      nameKey(bytes, otherStart, otherEnd, otherEscaped);
  }
  const length = markedEnd - start;
  if (length !== otherEnd - otherStart) return false;
  for (let index = 0; index < length; index++) {
    if (bytes[start + index] !== bytes[otherStart + index]) return false;
  }
  return true;
}

function setOf(bytes: Buffer, names: Int32Array, base: number, top: number): Set<string> {
  const set = new Set<string>();
  for (let entry = base; entry < top; entry += NAME_STRIDE) {
    const end = names[entry + 2]!;
    set.add(nameKey(bytes, names[entry + 1]!, Math.abs(end), end < 0 ? 1 : 0));
  }
  return set;
}

function grow(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

function refuse(code: ScanCode, offset: number): ScanResult {
  return { ok: false, code, offset };
}

function refuseEscape(bytes: Buffer, at: number, why: number): ScanResult {
  if (why === -2) return refuse("surrogate", at);
  return at + 1 >= bytes.length ? refuse("unterminated", bytes.length) : refuse("escape", at);
}

/** Where the first sequence starts that is not UTF-8; only for the message, so slow is fine. */
function firstInvalidUtf8(bytes: Buffer): number {
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
