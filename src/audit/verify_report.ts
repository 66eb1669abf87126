/** What `mcptun audit verify` finds, as data. @module */

import { VERIFY_PROBLEMS } from "../limits.ts";

/** What is wrong. */
export type ProblemCode =
  /** A line is not what was written. */
  | "edited"
  /** Lines that were there are gone. */
  | "deleted"
  /** Lines stand where they were not written. */
  | "reordered"
  /** Lines stand there that were not written. */
  | "added"
  /** A line was changed, or lines are gone: without a signature behind it, it cannot be told which. */
  | "broken"
  /** The end is gone, of a file or of the trail. */
  | "truncated"
  /** A file is gone. */
  | "file_missing"
  /** A file does not begin with its own first line. */
  | "start_missing"
  /** A signature does not fit what it is over. */
  | "forged"
  /** Signed, but not with a key that is trusted. */
  | "key_unknown";

/** What an auditor should know and that is no damage. */
export type NoteCode =
  | "starts_later"
  | "torn"
  | "no_clean_exit"
  | "lost";

/** Something at a place. `line` counts from 1; `undefined`: the file, or the trail, as a whole. */
export interface Finding<Code extends string> {
  readonly code: Code;
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly text: string;
}

/** One file that was read. */
export interface VerifiedFile {
  readonly path: string;
  readonly number: number | undefined;
  readonly lines: number;
  readonly records: number;
  readonly bytes: number;
}

/** All that was found. */
export interface VerifyReport {
  /**
   * `intact`: nothing is wrong, and signatures by a trusted key say so. `incomplete`: the same, but
   * earlier files, which retention had kept, are not among those that were given. `unproven`: nothing
   * is wrong in itself, but no trusted key has signed it. `damaged`: there are problems.
   */
  readonly verdict: "intact" | "incomplete" | "unproven" | "damaged";
  readonly files: readonly VerifiedFile[];
  readonly lines: number;
  readonly records: number;
  /** Records of the trail before the first file that is here; `undefined` when that is not known. */
  readonly recordsBefore: number | undefined;
  readonly bytes: number;
  readonly problems: readonly Finding<ProblemCode>[];
  /** Problems besides those that are listed. */
  readonly moreProblems: number;
  readonly notes: readonly Finding<NoteCode>[];
  /** The last line that a signature of a trusted key, or else of the file's own, covers. */
  readonly signed:
    | { readonly file: string; readonly line: number; readonly time: string }
    | undefined;
  /** Lines behind it. */
  readonly unsignedLines: number;
  /** Was it known what the edge had signed last? Without, lines that are missing at the end are not seen. */
  readonly head: "known" | "unknown";
  /** How it ends: stopped in an orderly way; running, or stopped in another; with half a line. */
  readonly end: "clean" | "open" | "torn";
  /** The keys of the signatures. */
  readonly keys: readonly {
    readonly id: string;
    readonly trusted: boolean;
    readonly signatures: number;
  }[];
}

/** Collects findings, a bounded number of them. */
export class Findings {
  readonly problems: Finding<ProblemCode>[] = [];
  readonly notes: Finding<NoteCode>[] = [];
  moreProblems = 0;

  problem(finding: Finding<ProblemCode>): void {
    if (this.problems.length < VERIFY_PROBLEMS) this.problems.push(finding);
    else this.moreProblems++;
  }

  note(finding: Finding<NoteCode>): void {
    if (this.notes.length < VERIFY_PROBLEMS) this.notes.push(finding);
  }
}
