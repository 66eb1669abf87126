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

import { isUtf8 } from "node:buffer";
import type { Buffer } from "node:buffer";

import {
  MAX_COMPARED_NAMES,
  MAX_FOLDED_NAME_BYTES,
  MAX_JSON_DEPTH,
  MAX_KEPT_NAMES,
  MAX_PROTOCOL_MEMBERS,
} from "../limits.ts";
import { asBuffer, firstInvalidUtf8 } from "./bytes.ts";
import { JsonDocument, KIND, NODE } from "./document.ts";
import { decodeName, hashOfEscaped, isName, NAME_HASH_FACTOR, nameKey } from "./json_name.ts";
import { afterEscape, afterLiteral, afterNumber, isSpace, STOPS } from "./json_token.ts";
import { ADDED, compareNames, DUPLICATE, NAME_STRIDE, NameTables } from "./name_table.ts";
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
  const bytes = asBuffer(input);
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
  // A binding of another module is looked up each time; here that is once per byte.
  const stops = STOPS;
  const fourFit = length - 3;
  const keepSurrogates = options.loneSurrogates === "keep";

  // Of each open container: is it an object, its shape, its node, its last kept child.
  const { isObject, nodeOf, lastChild, namesBase } = STACKS;
  const shapes: (Shape | undefined)[] = [];
  // Names of the open objects: hash, start, end; where those of each object begin.
  let names = STACKS.names;
  let namesTop = 0;
  let tables: NameTables | undefined;
  /** Of each open object: its crowded names. */
  const sets: (Set<string> | undefined)[] = [];

  // A plain array: of a small request it lives and dies young, where a typed one is memory of its own
  // that the collector has to look after (9 % of the edge's time at 32 calls in flight, against 4 %).
  const nodes: number[] = [];
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
        if (stops[byte] !== 0) {
          if (byte === QUOTE) break;
          if (byte !== BACKSLASH) return refuse("control_character", at);
          nameEscaped = 1;
          const next = afterEscape(bytes, at, false);
          if (next < 0) return refuseEscape(bytes, at, next);
          at = next;
          continue;
        }
        hash = (Math.imul(hash, FACTOR) + byte) | 0;
        at++;
      }
      nameEnd = at;
      at++;
      if (++members > maxMembers) return refuse("members", nameStart - 1);

      // Is it there already? Few names are compared one by one, many with a table's help; those that
      // either has too much work with are texts in a set.
      const base = namesBase[depth]!;
      if (nameEscaped !== 0) hash = hashOfEscaped(bytes, nameStart, nameEnd);
      if (namesTop + STRIDE > names.length) names = longer(names);
      names[namesTop] = hash;
      names[namesTop + 1] = nameEscaped === 0 ? nameStart : ~nameStart;
      names[namesTop + 2] = nameEnd;
      let found = NEW;
      if (namesTop - base < COMPARED_LENGTH) {
        for (let entry = base; entry < namesTop; entry += STRIDE) {
          if (names[entry] !== hash) continue;
          found = compareNames(bytes, names, entry, namesTop);
          break;
        }
      } else {
        tables ??= new NameTables(bytes, sets);
        found = tables.add(names, base, namesTop, depth);
      }
      if (found !== NEW) {
        if (found === TWICE) return refuse("duplicate", nameStart - 1);
        const set = sets[depth] ??= new Set();
        const key = nameKey(bytes, nameStart, nameEnd, nameEscaped);
        if (set.has(key)) return refuse("duplicate", nameStart - 1);
        set.add(key);
      }
      namesTop += STRIDE;

      const parent = shapes[depth];
      shape = undefined;
      if (parent?.members !== undefined) {
        const known = parent.members.get(hash);
        if (known !== undefined && isName(bytes, nameStart, nameEnd, nameEscaped, known.name)) {
          shape = known.shape;
        } else {
          shape = parent.others ?? LEAF;
          if (parent.reserved !== undefined) {
            // Folding is the slowest that happens to a name.
            if (namesTop - base > STRIDE * MAX_PROTOCOL_MEMBERS) {
              return refuse("members", nameStart - 1);
            }
            if (nameEnd - nameStart > MAX_FOLDED_NAME_BYTES) {
              return refuse("look_alike", nameStart - 1);
            }
            const name = decodeName(bytes, nameStart, nameEnd, nameEscaped);
            if (parent.reserved.isLookAlike(name)) return refuse("look_alike", nameStart - 1);
          }
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
      node = nodes.length;
      // In the order of NODE: kind, start, end, name, next, first, flags.
      nodes.push(
        0,
        at,
        -1,
        inObject ? nameStart : -1,
        inObject ? nameEnd : -1,
        -1,
        -1,
        inObject ? nameEscaped : 0,
      );
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
        // Four at a time: most of a long string is plain.
        while (
          at < fourFit &&
          (stops[bytes[at]!]! | stops[bytes[at + 1]!]! | stops[bytes[at + 2]!]! |
              stops[bytes[at + 3]!]!) === 0
        ) at += 4;
        while (at < length && stops[byte = bytes[at]!] === 0) at++;
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
        return { ok: true, document: new JsonDocument(bytes, nodes) };
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

// Here and not imported, for the same reason as `stops` is a local: 10 % on small tokens.
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const LETTER_N = 0x6e;
const LETTER_T = 0x74;
const FACTOR = NAME_HASH_FACTOR;
const STRIDE = NAME_STRIDE;
const NEW = ADDED;
const TWICE = DUPLICATE;
/** Of so many names on the stack. */
const COMPARED_LENGTH = STRIDE * MAX_COMPARED_NAMES;
/** Used by one scan at a time, which never waits; to allocate them costs as much as a small request. */
const STACKS = {
  isObject: new Uint8Array(MAX_JSON_DEPTH + 1),
  nodeOf: new Int32Array(MAX_JSON_DEPTH + 1),
  lastChild: new Int32Array(MAX_JSON_DEPTH + 1),
  namesBase: new Int32Array(MAX_JSON_DEPTH + 1),
  names: new Int32Array(STRIDE * 64),
};

/** The stack of names with twice the room; kept for the next text unless it is very large. */
function longer(names: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(names.length * 2);
  larger.set(names);
  if (larger.length <= STRIDE * MAX_KEPT_NAMES) STACKS.names = larger;
  return larger;
}

function refuse(code: ScanCode, offset: number): ScanResult {
  return { ok: false, code, offset };
}

function refuseEscape(bytes: Buffer, at: number, why: number): ScanResult {
  if (why === -2) return refuse("surrogate", at);
  return at + 1 >= bytes.length ? refuse("unterminated", bytes.length) : refuse("escape", at);
}
