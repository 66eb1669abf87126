/**
 * Reads the lines of a trail onward from a place, from file to file, and along with its writer.
 *
 * Memory is one piece and one line, whatever the size of the trail.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { basename } from "node:path";

import { AUDIT_LINE_BYTES, AUDIT_PROBE_BYTES, AUDIT_READ_BYTES } from "../limits.ts";
import { LineSplitter } from "./line_splitter.ts";
import { rotatedNumber } from "./file_names.ts";
import { keyAt, OpenFile, rotatedPaths } from "./trail_files.ts";

/** Where to begin: at a byte that begins a line. The reader closes the file. */
export interface TrailPlace {
  readonly file: OpenFile;
  readonly offset: number;
}

/** What a reader met that is no line. */
export type TrailNote =
  /** Lines longer than the bound were left out. */
  | { readonly kind: "too_long"; readonly file: string; readonly count: number }
  /** The last line of a file has no end. */
  | { readonly kind: "torn"; readonly file: string }
  /** The file is shorter than it was; it is read from its start. */
  | { readonly kind: "truncated"; readonly file: string }
  /** The file was replaced and is not among the rotated ones: lines may be missing. */
  | { readonly kind: "gap"; readonly file: string };

/** Options of {@link TrailReader}. */
export interface TrailReaderOptions {
  /** The file that is written. */
  readonly path: string;
  /** Absent: at the start of `path`, which may not be there yet. */
  readonly from?: TrailPlace | undefined;
  /** Nothing from this byte of this file on is read. */
  readonly upTo?: { readonly key: string; readonly offset: number } | undefined;
  /** `follow`: at the end more is expected, so a rotated file gets a second look before the next. */
  readonly mode: "once" | "follow";
  readonly onNote: (note: TrailNote) => void;
}

/** Lines of a trail, in order. */
export class TrailReader {
  readonly #options: TrailReaderOptions;
  readonly #splitter = new LineSplitter(AUDIT_LINE_BYTES);
  readonly #piece = Buffer.allocUnsafe(AUDIT_READ_BYTES);
  #file: OpenFile | undefined;
  #offset: number;
  /** How much is read at once: little at first, so that the first lines are there soon. */
  #step = AUDIT_PROBE_BYTES;
  /** The next file is there; this one was looked at once more. */
  #leaving = false;

  constructor(options: TrailReaderOptions) {
    this.#options = options;
    this.#file = options.from?.file;
    this.#offset = options.from?.offset ?? 0;
  }

  /**
   * The next lines, maybe none; they are good until the next call.
   *
   * @returns `undefined` at the end, as it is now; asking again later may give more.
   */
  async next(): Promise<readonly Buffer[] | undefined> {
    this.#file ??= await OpenFile.open(this.#options.path);
    if (this.#file === undefined) return undefined;
    const room = this.#room(this.#file);
    if (room === 0) return undefined;
    const bytes = await this.#file.read(this.#piece.subarray(0, room), this.#offset);
    if (bytes === 0) return await this.#atEnd(this.#file);
    this.#offset += bytes;
    this.#step = Math.min(this.#step * 2, this.#piece.length);
    const lines = this.#splitter.split(this.#piece.subarray(0, bytes));
    const count = this.#splitter.takeSkipped();
    if (count > 0) this.#options.onNote({ kind: "too_long", file: this.#file.path, count });
    return lines;
  }

  /** Tells of a last line without an end. To be called when no more is read. */
  async noteRest(): Promise<void> {
    if (this.#file === undefined || this.#splitter.restBytes === 0) return;
    // It goes on behind the place where reading ends.
    if (await this.#file.size() > this.#offset) return;
    this.#options.onNote({ kind: "torn", file: this.#file.path });
  }

  /** May be called twice. */
  async close(): Promise<void> {
    await this.#file?.close();
  }

  /** How many bytes may be read next. */
  #room({ key }: OpenFile): number {
    const { upTo } = this.#options;
    if (upTo === undefined || upTo.key !== key) return this.#step;
    return Math.min(this.#step, Math.max(0, upTo.offset - this.#offset));
  }

  async #atEnd(file: OpenFile): Promise<readonly Buffer[] | undefined> {
    if (await file.size() < this.#offset) {
      this.#options.onNote({ kind: "truncated", file: file.path });
      this.#splitter.reset();
      this.#offset = 0;
      return [];
    }
    const successor = await this.#successorOf(file);
    if (successor === undefined) return undefined;
    if (!this.#leaving) {
      // What was written between the last read and the rotation, and by a writer that was not told yet.
      await successor.close();
      this.#leaving = true;
      return this.#options.mode === "follow" ? undefined : [];
    }
    await this.noteRest();
    this.#splitter.reset();
    this.#leaving = false;
    this.#file = successor;
    this.#offset = 0;
    await file.close();
    return [];
  }

  /** The file after this one, open. */
  async #successorOf(file: OpenFile): Promise<OpenFile | undefined> {
    const { path, onNote } = this.#options;
    if (file.path === path) {
      const key = await keyAt(path);
      // Renamed, and the writer has not made the next one yet: it may still write to this one.
      if (key === undefined || key === file.key) return undefined;
      const rotated = await rotatedPaths(path);
      const keys = await Promise.all(rotated.slice(-MAX_ROTATIONS_BETWEEN).map(keyAt));
      const at = keys.lastIndexOf(file.key);
      if (at === -1) {
        if (this.#leaving) onNote({ kind: "gap", file: path });
        return await OpenFile.open(path);
      }
      file.path = rotated.slice(-MAX_ROTATIONS_BETWEEN)[at]!;
    }
    // Opened before the others are listed: what is rotated meanwhile is listed.
    const active = await OpenFile.open(path);
    const own = rotatedNumber(path, basename(file.path)) ?? Infinity;
    for (const next of await rotatedPaths(path)) {
      if ((rotatedNumber(path, basename(next)) ?? 0) <= own) continue;
      const opened = await OpenFile.open(next);
      if (opened === undefined) continue;
      await active?.close();
      return opened;
    }
    return active;
  }
}

/** Rotations between two looks. More than one happens only when the reader stood still. */
const MAX_ROTATIONS_BETWEEN = 64;
