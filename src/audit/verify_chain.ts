/**
 * Follows the chain of a trail, line by line and file by file, and notes where it does not hold.
 *
 * It is given bytes and reads nothing. Records are not parsed: what they hold is proved by hashes.
 *
 * @module
 */

import { createHash, type Hash } from "node:crypto";
import { Buffer } from "node:buffer";

import { lineHash, type Marker, readMarker, signedText, splitCheckpoint } from "./marker_line.ts";
import { RECORD_VERSION } from "./record.ts";
import { type PublicKey, publicKeyOfText } from "./signing_key.ts";
import { Findings, type VerifiedFile, type VerifyReport } from "./verify_report.ts";
import { Segment } from "./verify_segment.ts";

/** Whose signatures count. */
export interface Trust {
  readonly keys: readonly PublicKey[];
  /** Ids of keys that the files themselves hold. */
  readonly ids: readonly string[];
}

/** Bytes that are not a line of a trail, until an `open` line explains them. */
interface Torn {
  readonly line: number;
  readonly hash: Hash;
  bytes: number;
  /** Hashes of its lines, in case they are edits after all. */
  readonly lines: string[];
}

type OpenMarker = Extract<Marker, { type: "open" }>;
type CheckpointMarker = Extract<Marker, { type: "checkpoint" }>;

/** See the module's comment. Files come in order, each `beginFile`, lines, `endFile`. */
export class ChainCheck {
  readonly findings = new Findings();
  /** Hashes of all signatures that fit, with the chain whole up to them. */
  readonly checkpoints = new Set<string>();
  readonly #trust: Trust;
  readonly #keys = new Map<string, PublicKey>();
  readonly #signatures = new Map<string, number>();
  readonly #files: VerifiedFile[] = [];
  readonly #missing: { marker: OpenMarker; file: string; line: number }[] = [];
  #path = "";
  #number: number | undefined;
  #line = 0;
  #records = 0;
  #isCountKnown = false;
  #fileRecords = 0;
  /** Hash of the last line, and of the one before it; `undefined` before the first. */
  #last: string | undefined;
  #beforeLast: string | undefined;
  #lastWasRecord = false;
  #lastBytes = 0;
  #segment = new Segment("", 0, undefined);
  #torn: Torn | undefined;
  #isFirstLine = true;
  #isTrailFile = false;
  #isOpened = false;
  #why: CheckpointMarker["why"] | undefined;
  #end: VerifyReport["end"] = "open";
  #signed: VerifyReport["signed"];
  #unsignedLines = 0;
  #oldestKept = 0;
  #oldestSigned = 0;
  /** The line that opens the first file, when it is not the first of the trail. */
  #startsLater: { readonly marker: OpenMarker; readonly file: string } | undefined;
  #isStartMissing = false;

  constructor(trust: Trust) {
    this.#trust = trust;
    for (const key of trust.keys) this.#keys.set(key.id, key);
  }

  /** Number of the oldest file that retention has kept, as far as that is signed. */
  get oldestSigned(): number {
    return this.#oldestSigned;
  }

  /** Has the file that was checked last any line of a trail? */
  get isTrailFile(): boolean {
    return this.#isTrailFile;
  }

  /** The next file. */
  beginFile(path: string): void {
    this.#isTrailFile = false;
    this.#path = path;
    this.#number = undefined;
    this.#line = 0;
    this.#fileRecords = 0;
    this.#isFirstLine = true;
    this.#segment = new Segment(path, 0, this.#last);
  }

  /** The next line, without its newline. */
  line(buffer: Buffer, start: number, end: number): void {
    this.#line++;
    const prev = prevAt(buffer, start, end);
    if (prev !== undefined && isRecordAt(buffer, start)) {
      this.#isTrailFile = true;
      this.#settleTorn();
      if (this.#isFirstLine) this.#noOpenLine(prev);
      if (this.#isOpened) this.#unsignedOpen();
      this.#follow(prev);
      this.#records++;
      this.#fileRecords++;
      this.#take(lineHash(buffer.subarray(start, end)), end - start, "record");
      return;
    }
    this.#otherLine(buffer.subarray(start, end), prev);
  }

  /** The end of the file. @param open Bytes behind its last newline. */
  endFile(bytes: number, open: number): void {
    // What is no line of a trail, at the end: as after a restart, which takes all of it for torn.
    const lines = this.#torn;
    const torn = open + (lines === undefined ? 0 : lines.bytes + 1);
    const place = { file: this.#path, line: lines?.line ?? this.#line + 1 };
    if (torn > 0 && this.#why !== undefined && this.#why !== "count") {
      const text = `${bytesText(torn)} ${
        torn === 1 ? "stands" : "stand"
      } behind the line that ended the file`;
      this.findings.problem({ code: "added", ...place, text });
    } else if (torn > 0) {
      const text = `the last line is torn (${bytesText(torn)}): a crash in the middle of a write`;
      this.findings.note({ code: "torn", ...place, text });
    }
    this.#torn = undefined;
    if (this.#isFirstLine && torn > 0) this.#noOpenLine(undefined);
    this.#segment.explain(this.findings, undefined);
    this.#end = torn > 0 ? "torn" : this.#why === "end" ? "clean" : "open";
    this.#files.push({
      path: this.#path,
      number: this.#number,
      lines: this.#line,
      records: this.#fileRecords,
      bytes,
    });
  }

  /**
   * What all of it comes to.
   *
   * @param all Are these all files of the trail that there are?
   * @param head Was it known what was signed last?
   */
  report(all: "all" | "some", head: VerifyReport["head"]): VerifyReport {
    for (const { marker: { missing }, file, line } of this.#missing) {
      if (missing === undefined || this.checkpoints.has(missing.hash)) continue;
      this.findings.problem({
        code: "truncated",
        file,
        line,
        text: `when the edge started here, lines were missing that it had signed (up to ` +
          `${recordsText(missing.records)})`,
      });
    }
    if (this.#isOpened) {
      const file = this.#files.at(-1)?.path;
      const text = "no signature stands behind the line that opens the file";
      this.findings.problem({ code: "added", file, line: this.#line, text });
    }
    const numbers = this.#files.flatMap(({ number }) => number ?? []);
    const lowest = Math.min(...numbers);
    if (all === "all" && numbers.length > 0 && lowest > this.#oldestKept) {
      this.findings.problem({
        code: "file_missing",
        file: undefined,
        line: undefined,
        text: `${numbersText(this.#oldestKept, lowest - 1)} missing: retention has kept all from ` +
          `number ${this.#oldestKept} on (name them, if they were moved)`,
      });
    }
    const lacksEarlier = this.#noteStart(numbers.length === 0 ? 0 : lowest, all);
    const keys = [...this.#signatures].map(([id, signatures]) => ({
      id,
      trusted: this.#isTrusted(id),
      signatures,
    }));
    const { problems, moreProblems, notes } = this.findings;
    const isProved = keys.some(({ trusted }) => trusted);
    return {
      verdict: problems.length > 0
        ? "damaged"
        : !isProved
        ? "unproven"
        : lacksEarlier
        ? "incomplete"
        : "intact",
      files: this.#files,
      lines: this.#files.reduce((sum, { lines }) => sum + lines, 0),
      records: this.#files.reduce((sum, { records }) => sum + records, 0),
      recordsBefore: this.#isStartMissing ? undefined : this.#startsLater?.marker.records ?? 0,
      bytes: this.#files.reduce((sum, { bytes }) => sum + bytes, 0),
      problems,
      moreProblems,
      notes,
      signed: this.#signed,
      unsignedLines: this.#unsignedLines,
      head,
      end: this.#end,
      keys,
    };
  }

  /**
   * Says what is before the first file, if anything is.
   *
   * @returns Are these some of the files, and are there earlier ones that retention has kept?
   */
  #noteStart(lowest: number, all: "all" | "some"): boolean {
    if (this.#startsLater === undefined) return false;
    const { marker: { file, records }, file: path } = this.#startsLater;
    const before = records === 0
      ? "nothing was recorded before this line"
      : `${records === 1 ? "the record" : `the first ${records} records`} of the trail ${
        records === 1 ? "before this line is" : "are"
      } not here`;
    const isKept = this.#oldestKept < lowest;
    const why = isKept
      ? `${numbersText(this.#oldestKept, lowest - 1)} not among the files that are checked, and ` +
        `retention had not removed ${lowest - this.#oldestKept === 1 ? "it" : "them"}`
      : "retention has removed the files before";
    const text = `the trail begins with file ${file}: ${before}; ${why}`;
    this.findings.note({ code: "starts_later", file: path, line: 1, text });
    return isKept && all === "some";
  }

  #otherLine(bytes: Buffer, prev: string | undefined): void {
    const text = bytes.toString();
    const marker = readMarker(text);
    if (marker !== undefined) this.#isTrailFile = true;
    if (marker?.type === "open") {
      this.#open(marker, bytes);
      return;
    }
    if (marker === undefined) {
      this.#tornLine(bytes);
      return;
    }
    this.#settleTorn();
    if (this.#isFirstLine) this.#noOpenLine(marker.type === "checkpoint" ? marker.prev : prev);
    if (marker.type === "lost") {
      if (this.#isOpened) this.#unsignedOpen();
      this.#follow(prev);
      const what = marker.lost === 1 ? "record was" : "records were";
      const text = `${marker.lost} ${what} lost here: the file could not be written`;
      this.findings.note({ code: "lost", file: this.#path, line: this.#line, text });
      this.#take(lineHash(bytes), bytes.length, "other");
    } else this.#checkpoint(marker, text);
  }

  #open(marker: OpenMarker, bytes: Buffer): void {
    this.#explainTorn(marker);
    if (this.#isFirstLine) this.#enterFile(marker);
    else {
      if (marker.prev !== this.#last) this.#segment.break(this.#line, marker.prev);
      if (this.#why !== "end") {
        const text = "the edge did not stop in an orderly way before this line";
        this.findings.note({ code: "no_clean_exit", file: this.#path, line: this.#line, text });
      }
    }
    if (this.#number !== undefined && this.#number !== marker.file) {
      this.#problem(
        "edited",
        `it says file ${marker.file}, and the file is number ${this.#number}`,
      );
    }
    this.#number = marker.file;
    // Nobody may raise it by a line that is not signed: it says which files need not be there.
    if (this.#signed === undefined) this.#oldestKept = marker.first;
    const key = publicKeyOfText(marker.key);
    if (key === undefined || key.id !== marker.keyId) {
      this.#problem("edited", "the key in it is not the one that it names");
    } else if (!this.#keys.has(key.id)) this.#keys.set(key.id, key);
    if (marker.missing !== undefined) {
      this.#missing.push({ marker, file: this.#path, line: this.#line });
    }
    if (!this.#isCountKnown || !this.#segment.isBroken) {
      const missing = this.#isCountKnown ? marker.records - this.#records : 0;
      this.#segment.explain(this.findings, { line: this.#line, missing });
      this.#records = marker.records;
      this.#isCountKnown = true;
    }
    this.#take(lineHash(bytes), bytes.length, "other");
    this.#isOpened = true;
  }

  /** An edge signs right behind the line with which it opens a file: whoever else opens it cannot. */
  #unsignedOpen(): void {
    this.#problem("added", "no signature stands between this line and the one that opens the file");
  }

  /** The first line of a file: does it continue the file before? */
  #enterFile(marker: OpenMarker): void {
    const before = this.#files.at(-1);
    if (before === undefined) {
      this.#records = marker.records;
      this.#isCountKnown = true;
      if (marker.prev !== undefined) this.#startsLater = { marker, file: this.#path };
      return;
    }
    const number = before.number ?? marker.file - 1;
    if (marker.file > number + 1) {
      this.#problem("file_missing", `${numbersText(number + 1, marker.file - 1)} missing`);
    } else if (marker.file <= number) {
      this.#problem("added", `a second file with number ${marker.file}`);
    } else if (marker.prev !== this.#last) {
      const missing = marker.records - this.#records;
      const count = missing > 0 ? ` (${recordsText(missing)})` : "";
      this.findings.problem({
        code: "truncated",
        file: before.path,
        line: before.lines + 1,
        text: `the end of this file is missing or changed${count}: the next one, ` +
          `${JSON.stringify(this.#path)}, continues from another line`,
      });
    } else if (this.#why !== "end" && this.#why !== "rotated") {
      const text = "the edge did not end the file before in an orderly way";
      this.findings.note({ code: "no_clean_exit", file: this.#path, line: this.#line, text });
    }
    this.#records = marker.records;
    this.#isCountKnown = true;
    this.#segment.restart(this.#line - 1, undefined);
  }

  #checkpoint(marker: CheckpointMarker, text: string): void {
    this.#follow(marker.prev);
    const key = this.#keys.get(marker.keyId);
    const split = splitCheckpoint(text);
    const hash = lineHash(text);
    if (key === undefined) {
      this.#problem("key_unknown", `signed with key ${marker.keyId}, which is not known here`);
    } else if (split === undefined || !key.verify(signedText(split.body), split.signature)) {
      this.#problem("forged", "the signature does not fit");
    } else {
      this.#signedBy(key, marker);
      this.checkpoints.add(hash);
      this.#take(hash, text.length, "other");
      this.#segment.restart(this.#line, hash);
      this.#unsignedLines = 0;
      this.#why = marker.why;
      return;
    }
    this.#take(hash, text.length, "other");
    this.#why = marker.why;
  }

  #signedBy({ id }: PublicKey, marker: CheckpointMarker): void {
    const missing = this.#isCountKnown ? marker.records - this.#records : 0;
    this.#segment.explain(this.findings, { line: this.#line, missing });
    const signatures = this.#signatures.get(id) ?? 0;
    this.#signatures.set(id, signatures + 1);
    const isTrusting = this.#trust.keys.length > 0 || this.#trust.ids.length > 0;
    if (signatures === 0 && isTrusting && !this.#isTrusted(id)) {
      this.#problem("key_unknown", `signed with key ${id}, which is not trusted here`);
    }
    this.#records = marker.records;
    this.#isCountKnown = true;
    this.#oldestKept = marker.first;
    this.#oldestSigned = marker.first;
    this.#signed = { file: this.#path, line: this.#line, time: marker.time };
  }

  /** Does the line continue from the one before? */
  #follow(prev: string | undefined): void {
    if (prev !== this.#last) this.#segment.break(this.#line, prev);
    else if (this.#why === "end") {
      this.#problem(
        "added",
        "the line before ended the trail: only a line that opens it may follow",
      );
    }
  }

  #take(hash: string, bytes: number, kind: "record" | "other"): void {
    this.#beforeLast = this.#last;
    this.#last = hash;
    this.#lastBytes = bytes;
    this.#lastWasRecord = kind === "record";
    this.#why = undefined;
    this.#isOpened = false;
    this.#unsignedLines++;
    this.#isFirstLine = false;
    this.#segment.add(hash);
  }

  #tornLine(bytes: Buffer): void {
    const hash = lineHash(bytes);
    if (this.#torn === undefined) {
      const start = createHash("sha256").update(bytes);
      this.#torn = { line: this.#line, hash: start, bytes: bytes.length, lines: [hash] };
      return;
    }
    this.#torn.hash.update("\n").update(bytes);
    this.#torn.bytes += bytes.length + 1;
    this.#torn.lines.push(hash);
  }

  /** An `open` line says what a crash had left before it. */
  #explainTorn({ torn, prev }: OpenMarker): void {
    const found = this.#torn;
    if (torn === undefined) {
      this.#settleTorn();
      return;
    }
    this.#torn = undefined;
    const at = found?.line ?? this.#line - 1;
    const note = (): void => {
      const text =
        `a torn line (${bytesText(torn.bytes)}): a crash in the middle of a write; the chain ` +
        "goes on behind it";
      this.findings.note({ code: "torn", file: this.#path, line: at, text });
    };
    if (found?.bytes === torn.bytes && found.hash.digest("base64url") === torn.hash) {
      for (const hash of found.lines) this.#segment.add(hash);
      this.#unsignedLines += found.lines.length;
      note();
      return;
    }
    // Only the newline was missing: the line before looks whole, and was not.
    const isWhole = found === undefined && this.#last === torn.hash &&
      this.#lastBytes === torn.bytes && this.#beforeLast === prev;
    if (isWhole) {
      this.#last = this.#beforeLast;
      if (this.#lastWasRecord) {
        this.#records--;
        this.#fileRecords--;
      }
      note();
      return;
    }
    this.#torn = found;
    this.#settleTorn();
    this.#problem("edited", "the torn line before this one is not the one that was there");
  }

  /** What was taken for torn has no `open` line behind it: it was a line, and was changed. */
  #settleTorn(): void {
    const torn = this.#torn;
    if (torn === undefined) return;
    this.#torn = undefined;
    if (this.#isFirstLine) this.#noOpenLine(undefined);
    for (const [index, hash] of torn.lines.entries()) {
      this.#segment.break(torn.line + index, undefined);
      this.#take(hash, 0, "other");
      this.#records++; // what most lines were
    }
  }

  /** @param prev What the first line continues from: it is taken for what was before. */
  #noOpenLine(prev: string | undefined): void {
    this.#isFirstLine = false;
    if (this.#files.length === 0) this.#isStartMissing = true;
    this.#last = prev;
    this.#isCountKnown = false;
    this.findings.problem({
      code: "start_missing",
      file: this.#path,
      line: 1,
      text: "the file does not begin with the line that opens it: its start is missing or changed",
    });
  }

  #problem(code: Parameters<Findings["problem"]>[0]["code"], text: string): void {
    this.findings.problem({ code, file: this.#path, line: this.#line, text });
  }

  #isTrusted(id: string): boolean {
    return this.#trust.ids.includes(id) || this.#trust.keys.some((key) => key.id === id);
  }
}

const PREV_START = Buffer.from(',"prev":"');
const PREV_END = Buffer.from('"}');
const PREV_CHARS = 43;
const RECORD_STARTS = ["exchange", "intent"].map((type) =>
  Buffer.from(`{"v":${RECORD_VERSION},"type":"${type}",`)
);

/** The hash that a line ends with, by its place; a line that ends in another way has none. */
function prevAt(buffer: Buffer, start: number, end: number): string | undefined {
  const from = end - PREV_END.length - PREV_CHARS;
  if (from - PREV_START.length <= start) return undefined;
  if (buffer.compare(PREV_END, 0, PREV_END.length, end - PREV_END.length, end) !== 0) {
    return undefined;
  }
  if (buffer.compare(PREV_START, 0, PREV_START.length, from - PREV_START.length, from) !== 0) {
    return undefined;
  }
  return buffer.toString("latin1", from, from + PREV_CHARS);
}

function isRecordAt(buffer: Buffer, start: number): boolean {
  return RECORD_STARTS.some((text) =>
    buffer.compare(text, 0, text.length, start, start + text.length) === 0
  );
}

function recordsText(count: number): string {
  return `${count} record${count === 1 ? "" : "s"}`;
}

function bytesText(count: number): string {
  return `${count} byte${count === 1 ? "" : "s"}`;
}

function numbersText(from: number, to: number): string {
  return from === to ? `file ${from} is` : `files ${from} to ${to} are`;
}
