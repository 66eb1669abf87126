/**
 * The TOML of a policy file, parsed a piece at a time: the library takes no pauses.
 *
 * The text is cut before lines that look like a header `[[policy]]` or `[[test]]`. A cut in the wrong
 * place can only fail, and never give another meaning: a line feed that does not stand between two
 * statements stands in a string, an array or an inline table of several lines, and then the piece
 * before the cut ends inside of that, which is not TOML. Each table of a piece belongs to the header
 * that the piece begins with, or to a later one, so nothing refers to another piece. Whatever does
 * not fit is parsed whole: a list of tables written in one, tables of other names, and each mistake,
 * so that it is told with its true place.
 *
 * What was parsed is read before the next piece is: a whole file of tables would make each collection
 * of garbage a pause of 10 ms.
 *
 * @module
 */

import { TunnelError } from "../errors.ts";
import { POLICY_PIECE_CHARS } from "../limits.ts";
import type { Steps } from "../steps.ts";
import { type KeyLocator, type KeyPath, locateKeys, type Position } from "./key_locator.ts";
import { parseToml } from "./load.ts";

/** The lists of tables that a policy file has. */
export type PolicyListName = "policy" | "test";

/** Takes what was parsed: one piece after the other, or all at once. */
export interface PieceReader {
  /** How many tables of each name were read. */
  readonly counts: Readonly<Record<PolicyListName, number>>;
  readSteps(tables: Readonly<Record<string, unknown>>): Steps<void>;
}

/** What {@link policyTomlSteps} parses. */
export interface PolicyTomlOptions<R extends PieceReader> {
  readonly text: string;
  /** As people named it. */
  readonly file: string;
  /** Asked again when the pieces turn out not to fit: what was read until then is forgotten. */
  readonly newReader: () => R;
  /** Least length of a piece, characters. @default `POLICY_PIECE_CHARS` */
  readonly pieceChars?: number | undefined;
}

/** A parsed policy file. */
export interface PolicyToml<R extends PieceReader> {
  /** Has read all of it. */
  readonly reader: R;
  /** How many pieces it was parsed in. */
  readonly pieces: number;
  readonly locate: (path: KeyPath) => Position;
}

/**
 * Parses the text; no step is more than one piece.
 *
 * @throws {TunnelError} `CONFIG_INVALID` with the place of what is not TOML.
 */
export function* policyTomlSteps<R extends PieceReader>(
  options: PolicyTomlOptions<R>,
): Steps<PolicyToml<R>> {
  const { text, file, newReader, pieceChars = POLICY_PIECE_CHARS } = options;
  if (text.length > pieceChars) {
    const reader = newReader();
    const pieces = yield* pieceSteps({ text, reader, pieceChars });
    if (pieces !== undefined) return { reader, pieces: pieces.length, locate: locatorOf(pieces) };
  }
  const reader = newReader();
  yield* reader.readSteps(parseToml(text, file));
  let locator: KeyLocator | undefined;
  // Most files are loaded more often than a place in them is asked for.
  return { reader, pieces: 1, locate: (path) => (locator ??= locateKeys(text)).locate(path) };
}

interface Piece {
  readonly text: string;
  /** Lines of the file before this piece. */
  readonly linesBefore: number;
  /** Tables of each name before this piece, and up to its end. */
  readonly before: PieceReader["counts"];
  readonly after: PieceReader["counts"];
}

/** Not `^` with a flag, which also takes for a line what TOML does not. */
const BEFORE_HEADER = /\n(?=[ \t]*\[\[[ \t]*(?:policy|test)[ \t]*\]\])/g;
const HEADER_FIRST = /^[ \t]*\[\[/;

/** The pieces, or `undefined` when the text must be parsed whole. */
function* pieceSteps({ text, reader, pieceChars }: {
  readonly text: string;
  readonly reader: PieceReader;
  readonly pieceChars: number;
}): Steps<readonly Piece[] | undefined> {
  let at = HEADER_FIRST.test(text) ? 0 : nextHeader(text, 0);
  const preamble = tablesOf(text.slice(0, at));
  // A list in there might be one that headers must not extend.
  if (preamble === undefined || Object.keys(preamble).length > 0) return undefined;
  let linesBefore = linesOf(text.slice(0, at));
  const pieces: Piece[] = [];
  while (at < text.length) {
    yield;
    const end = nextHeader(text, at + pieceChars);
    const piece = text.slice(at, end);
    const tables = tablesOf(piece);
    if (tables === undefined || !areLists(tables)) return undefined;
    const before = { ...reader.counts };
    yield* reader.readSteps(tables);
    pieces.push({ text: piece, linesBefore, before, after: { ...reader.counts } });
    linesBefore += linesOf(piece);
    at = end;
  }
  return pieces;
}

/** Where the line begins that looks like the next header; the end of the text when there is none. */
function nextHeader(text: string, from: number): number {
  BEFORE_HEADER.lastIndex = from;
  const found = BEFORE_HEADER.exec(text);
  return found === null ? text.length : found.index + 1;
}

function tablesOf(piece: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return parseToml(piece, "");
  } catch (error) {
    // The whole text is parsed then, and tells what is wrong with it.
    if (error instanceof TunnelError) return undefined;
    throw error;
  }
}

/** A piece begins with a header, so a list in it was made by headers. */
function areLists(tables: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(tables).every(([name, value]) =>
    (name === "policy" || name === "test") && Array.isArray(value)
  );
}

function linesOf(piece: string): number {
  let count = 0;
  for (let at = piece.indexOf("\n"); at !== -1; at = piece.indexOf("\n", at + 1)) count++;
  return count;
}

/** A piece is walked when the first place in it is asked for: as much work as parsing it was. */
function locatorOf(pieces: readonly Piece[]): (path: KeyPath) => Position {
  const locators = new Map<Piece, KeyLocator>();
  return ([name, index, ...rest]) => {
    if (name !== "policy" && name !== "test") return { line: 1, column: 1 };
    const isThere = typeof index === "number" && index < (pieces.at(-1)?.after[name] ?? 0);
    // Without an element: the first of its list, which is where the list begins.
    const element = isThere ? index : 0;
    const piece = pieces.find(({ after }) => element < after[name]);
    if (piece === undefined) return { line: 1, column: 1 };
    let locator = locators.get(piece);
    if (locator === undefined) locators.set(piece, locator = locateKeys(piece.text));
    const path = isThere ? [name, element - piece.before[name], ...rest] : [name];
    const { line, column } = locator.locate(path);
    return { line: piece.linesBefore + line, column };
  };
}
