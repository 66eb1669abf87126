/** Finds where the last lines begin that somebody wants, reading a trail from its end. @module */

import { Buffer } from "node:buffer";

import { AUDIT_LINE_BYTES, AUDIT_READ_BYTES } from "../limits.ts";
import type { TrailPoint } from "./time_search.ts";
import type { OpenFile, TrailSnapshot } from "./trail_files.ts";

/** Options of {@link findLastLines}. */
export interface LastLinesOptions {
  /** How many; from 1 up. */
  readonly count: number;
  /** Does this line count? */
  readonly test: (line: Buffer) => boolean;
  /** Nothing before it is looked at; it begins a line. */
  readonly from: TrailPoint;
  /** Nothing behind it is looked at, but for the line it is in. Absent: the end. */
  readonly to?: TrailPoint | undefined;
  readonly signal: AbortSignal;
}

/** Where the `count`-th line from the end begins; `from` when there are fewer. */
export async function findLastLines(
  trail: TrailSnapshot,
  options: LastLinesOptions,
): Promise<TrailPoint> {
  const { from, to, test, signal } = options;
  let left = options.count;
  const counted = (line: Buffer): "found" | "more" => {
    if (test(line)) left--;
    return left === 0 ? "found" : "more";
  };
  const last = Math.min(to?.at ?? Infinity, trail.paths.length - 1);
  for (let at = last; at >= from.at && !signal.aborted; at--) {
    const start = at === from.at ? from.offset : 0;
    const found = await trail.with(at, async (file) => {
      if (file === undefined) return undefined;
      const size = await file.size();
      const end = to !== undefined && at === to.at ? Math.min(to.offset, size) : size;
      return await findBackward({ file, start, end, see: counted, signal });
    });
    if (found !== undefined) return { at, offset: found };
  }
  return from;
}

/** Shows `see` each whole line between `start` and `end`, the last one first. @returns Where the found one begins. */
async function findBackward({ file, start, end, see, signal }: {
  readonly file: OpenFile;
  readonly start: number;
  readonly end: number;
  readonly see: (line: Buffer) => "found" | "more";
  readonly signal: AbortSignal;
}): Promise<number | undefined> {
  const buffer = Buffer.allocUnsafe(AUDIT_READ_BYTES);
  // What is behind the last line feed is no whole line; neither is the end of one that is too long.
  let rest: Buffer | "dropped" = "dropped";
  for (let top = end; top > start && !signal.aborted;) {
    const bottom = Math.max(start, top - buffer.length);
    const piece = buffer.subarray(0, top - bottom);
    // Shorter only when it was truncated meanwhile: then there is nothing to find.
    if (await file.read(piece, bottom) < piece.length) return undefined;
    let lineEnd = piece.length;
    for (;;) {
      const feed = lineEnd === 0 ? -1 : piece.lastIndexOf(LINE_FEED, lineEnd - 1);
      const part = piece.subarray(feed + 1, lineEnd);
      if (feed === -1 && bottom > start) {
        rest = carry(part, rest);
        break;
      }
      if (rest !== "dropped" && part.length + rest.length <= AUDIT_LINE_BYTES) {
        const line = rest.length === 0 ? part : Buffer.concat([part, rest]);
        if (see(line) === "found") return bottom + feed + 1;
      }
      if (feed === -1) break;
      rest = NOTHING;
      lineEnd = feed;
    }
    top = bottom;
  }
  return undefined;
}

/** The end of a line whose beginning is further back. */
function carry(part: Buffer, rest: Buffer | "dropped"): Buffer | "dropped" {
  if (rest === "dropped" || part.length + rest.length > AUDIT_LINE_BYTES) return "dropped";
  return Buffer.concat([part, rest]);
}

const NOTHING = Buffer.alloc(0);
const LINE_FEED = 0x0a;
