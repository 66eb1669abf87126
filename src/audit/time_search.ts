/**
 * Finds a place in a trail by time, without reading what is before it.
 *
 * A line is written when its exchange is over, and `time` is when it began. So lines are nearly in
 * order of `time + duration_ms`, and far from it by `time` alone: an event stream of a day stands
 * a day behind its beginning. The search is for that sum; an exchange that began at or after a moment
 * also ended at or after it, so none is missed however long it took.
 *
 * "Nearly" is at most `AUDIT_DISORDER_MS`: lines of one moment change places, and clocks are set. Each
 * step judges a piece of about a hundred lines by the latest of them, so that a few with a wrong
 * clock lead nowhere.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { AUDIT_DISORDER_MS, AUDIT_LINE_BYTES, AUDIT_PROBE_BYTES } from "../limits.ts";
import { endOf, readRecord } from "./read_record.ts";
import type { OpenFile, TrailSnapshot } from "./trail_files.ts";

/** A byte of a file of a snapshot. It need not begin a line. */
export interface TrailPoint {
  /** Index of the file. */
  readonly at: number;
  readonly offset: number;
}

/** What {@link searchTime} finds. */
export interface TimeRange {
  /** Begins a line; all that is before it was over before the moment. */
  readonly from: TrailPoint;
  /** All that is behind it was over at the moment or later, but for `2 * AUDIT_DISORDER_MS`. */
  readonly to: TrailPoint;
}

/** Finds the first lines that were over at `momentMs` or later. */
export async function searchTime(trail: TrailSnapshot, momentMs: number): Promise<TimeRange> {
  const earlyMs = momentMs - AUDIT_DISORDER_MS;
  // By the starts of the files first: a trail has many.
  let low = -1;
  let high = trail.paths.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const isBefore = await trail.with(middle, async (file) => {
      if (file === undefined) return true;
      const { latestMs } = await probe(file, 0, await file.size());
      return latestMs !== undefined && latestMs < earlyMs;
    });
    if (isBefore) low = middle;
    else high = middle;
  }
  if (low === -1) return { from: START, to: { at: 0, offset: AUDIT_PROBE_BYTES } };
  return await trail.with(low, async (file) => {
    if (file === undefined) return { from: { at: low, offset: 0 }, to: { at: high, offset: 0 } };
    const { from, to } = await searchFile(file, earlyMs);
    const isWhole = to === undefined;
    return {
      from: { at: low, offset: from },
      to: isWhole ? { at: high, offset: AUDIT_PROBE_BYTES } : { at: low, offset: to },
    };
  });
}

/** `to` is absent when no piece is late enough. */
async function searchFile(
  file: OpenFile,
  earlyMs: number,
): Promise<{ readonly from: number; readonly to: number | undefined }> {
  const size = await file.size();
  // A line begins at `from`, and everything before it is early.
  let from = 0;
  let to: number | undefined;
  let end = size;
  while (end - from > AUDIT_PROBE_BYTES) {
    const middle = from + Math.floor((end - from) / 2);
    const { latestMs, lineAt, nextAt } = await probe(file, middle, size);
    if (lineAt !== undefined && latestMs !== undefined && latestMs < earlyMs) {
      // What was looked at is early too.
      from = nextAt;
      if (nextAt >= end) break;
    } else {
      // Also when no line could be read there: rather too much is read than too little.
      end = middle;
      to = nextAt;
    }
  }
  return { from, to };
}

interface Probe {
  /** When the last of the lines was over; `undefined` when none has a time. */
  readonly latestMs: number | undefined;
  /** Where the first whole line begins. */
  readonly lineAt: number | undefined;
  /** Where the first line begins that was not looked at. */
  readonly nextAt: number;
}

/** Looks at the lines behind `offset`, and further until one has a time. */
async function probe(file: OpenFile, offset: number, size: number): Promise<Probe> {
  let latestMs: number | undefined;
  let lineAt: number | undefined;
  let nextAt = offset;
  const longest = AUDIT_LINE_BYTES + AUDIT_PROBE_BYTES;
  for (let bytes = AUDIT_PROBE_BYTES;; bytes = Math.min(bytes * 4, longest)) {
    const buffer = Buffer.allocUnsafe(Math.min(bytes, size - offset));
    const piece = buffer.subarray(0, await file.read(buffer, offset));
    let start = offset === 0 ? 0 : piece.indexOf(LINE_FEED) + 1;
    if (offset === 0 || start > 0) {
      lineAt = offset + start;
      for (let end = piece.indexOf(LINE_FEED, start); end !== -1;) {
        const record = readRecord(piece.subarray(start, end));
        const endMs = typeof record === "string" ? undefined : endOf(record);
        if (endMs !== undefined) latestMs = Math.max(latestMs ?? endMs, endMs);
        start = end + 1;
        end = piece.indexOf(LINE_FEED, start);
      }
      nextAt = offset + start;
    }
    const isAll = bytes >= longest || offset + piece.length >= size;
    if (latestMs !== undefined || isAll) return { latestMs, lineAt, nextAt };
  }
}

const START: TrailPoint = { at: 0, offset: 0 };
const LINE_FEED = 0x0a;
