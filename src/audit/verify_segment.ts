/**
 * The lines between two signatures, and what must have happened to them when their hashes do not fit.
 *
 * One wrong hash alone does not tell an edit from a deletion. What tells is whether the line that is
 * asked for stands elsewhere, and how many records the next signature counts.
 *
 * @module
 */

import { VERIFY_SEGMENT_LINES } from "../limits.ts";
import type { Findings, ProblemCode } from "./verify_report.ts";

/** A line that does not follow the one before it. */
interface Break {
  readonly line: number;
  /** The hash it continues from; `undefined` when it is not the line of a trail. */
  readonly prev: string | undefined;
}

/** What a signature says about a segment. */
export interface SegmentEnd {
  readonly line: number;
  /** Records that it counts more than there are; negative: fewer. */
  readonly missing: number;
}

/** Collects what is needed to say what happened. */
export class Segment {
  readonly #file: string;
  /** Hashes of its lines; the first is the line before it. */
  #hashes: (string | undefined)[];
  #firstLine: number;
  #breaks: Break[] = [];

  /** @param line The number of the line before it, 0 for none. */
  constructor(file: string, line: number, hash: string | undefined) {
    this.#file = file;
    this.#firstLine = line;
    this.#hashes = [hash];
  }

  get isBroken(): boolean {
    return this.#breaks.length > 0;
  }

  /** Notes a line. */
  add(hash: string): void {
    if (this.#hashes.length < VERIFY_SEGMENT_LINES) this.#hashes.push(hash);
  }

  /** Notes that a line does not follow the one before it. */
  break(line: number, prev: string | undefined): void {
    if (this.#breaks.length < VERIFY_SEGMENT_LINES) this.#breaks.push({ line, prev });
  }

  /** Begins anew behind a signature. */
  restart(line: number, hash: string | undefined): void {
    this.#firstLine = line;
    this.#hashes = [hash];
    this.#breaks = [];
  }

  /** Says what happened. @param end The signature behind it; `undefined` when there is none. */
  explain(findings: Findings, end: SegmentEnd | undefined): void {
    const lineOf = new Map<string, number>();
    if (this.#breaks.length > 0) {
      for (const [index, hash] of this.#hashes.entries()) {
        if (hash !== undefined) lineOf.set(hash, this.#firstLine + index);
      }
    }
    const counted = end === undefined ? "" : countText(end);
    const tell = (code: ProblemCode, line: number, text: string): void =>
      findings.problem({ code, file: this.#file, line, text });
    const unknown: number[] = [];
    for (const { line, prev } of this.#breaks) {
      const after = prev === undefined ? undefined : lineOf.get(prev);
      if (after === undefined) unknown.push(line);
      else if (end !== undefined && end.missing < 0) {
        tell("added", line, `it was written right behind line ${after}, not here${counted}`);
      } else {tell(
          "reordered",
          line,
          `it was written right behind line ${after}, not here${counted}`,
        );}
    }
    for (const [index, line] of unknown.entries()) {
      // Its own `prev` was changed, so the next line does not follow either: one edit.
      if (unknown[index + 1] === line + 1) continue;
      const edited = unknown[index - 1] === line - 1 ? line - 1 : Math.max(1, line - 1);
      if (end === undefined) {
        tell("broken", line, `line ${edited} was changed, or lines before this one are missing`);
      } else if (end.missing > 0) {
        tell("deleted", line, `lines before this one are missing${counted}`);
      } else if (end.missing < 0) {
        tell("added", line, `lines before this one were added${counted}`);
      } else tell("edited", edited, `it was changed${counted}`);
    }
    if (this.#breaks.length === 0 && end !== undefined && end.missing !== 0) {
      tell(
        end.missing > 0 ? "deleted" : "added",
        end.line,
        `the number of records is wrong${counted}`,
      );
    }
  }
}

function countText({ line, missing }: SegmentEnd): string {
  if (missing === 0) return ` (the signature at line ${line} counts as many records as there are)`;
  const number = Math.abs(missing);
  return ` (the signature at line ${line} counts ${number} ${
    number === 1 ? "record" : "records"
  } ` +
    `${missing > 0 ? "more" : "fewer"} than there are)`;
}
