/**
 * The lines of a trail that somebody asks for, from where they begin on, and as they come.
 *
 * What is given are whole lines in their order, some of them out of the asked time: the filter is
 * asked again by whoever takes them.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

import { type Clock, delay } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { AUDIT_DISORDER_MS, AUDIT_FOLLOW_MS, AUDIT_LAST_MS, AUDIT_LONGEST_MS } from "../limits.ts";
import { NotRegularError } from "../runtime/regular_file.ts";
import { findLastLines } from "./last_lines.ts";
import { type SeenRecord, timeAtStart } from "./read_record.ts";
import { readWanted, type RecordFilter } from "./record_filter.ts";
import { searchTime, type TrailPoint } from "./time_search.ts";
import { TrailSnapshot } from "./trail_files.ts";
import { type TrailNote, type TrailPlace, TrailReader } from "./trail_reader.ts";

/** What to read. */
export interface TrailQuery {
  /** The file that is written; rotated ones stand beside it. */
  readonly path: string;
  readonly filter: RecordFilter;
  /** Begin at the last so many that count; absent: at the start of the asked time. */
  readonly last?: { readonly count: number; readonly counts: (record: SeenRecord) => boolean };
  /** `follow`: wait for more, also for the file to be there. */
  readonly mode: "once" | "follow";
  readonly clock: Clock;
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly onNote: (note: TrailNote) => void;
  /** There is no file yet; told once. */
  readonly onWait?: (() => void) | undefined;
}

/**
 * Reads a trail. The lines of a batch are good until the next one is asked for.
 *
 * @throws {TunnelError} `AUDIT_UNREADABLE`
 */
export async function* readTrail(query: TrailQuery): AsyncGenerator<readonly Buffer[], void> {
  const { path, mode, clock, signal, onNote, onWait } = query;
  let reader: TrailReader | undefined;
  try {
    const start = await startOf(query);
    if (start === undefined) {
      if (mode === "once") throw unreadable(path, "no such file");
      onWait?.();
    }
    const upTo = mode === "once" ? start?.upTo : undefined;
    reader = new TrailReader({ path, from: start?.place, upTo, mode, onNote });
    let drop = start?.drop ?? 0;
    while (!signal.aborted) {
      const lines = await reader.next();
      if (lines === undefined) {
        if (mode === "once" || await delay(clock, AUDIT_FOLLOW_MS, signal) === "aborted") break;
        continue;
      }
      if (isPast(lines, query.filter.untilMs)) return;
      yield lines.slice(drop);
      drop = Math.max(0, drop - lines.length);
    }
    if (!signal.aborted) await reader.noteRest();
  } catch (error) {
    if (error instanceof TunnelError) throw error;
    // A rotated file, perhaps.
    const { code, path: named = path } = error as NodeJS.ErrnoException;
    if (error instanceof NotRegularError) {
      throw unreadable(named, error.isFolder ? REASONS["EISDIR"]! : error.message, error);
    }
    if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
    throw unreadable(named, REASONS[code] ?? code, error);
  } finally {
    await reader?.close();
  }
}

interface Start {
  readonly place: TrailPlace;
  /** Lines to leave out. */
  readonly drop: number;
  /** Where the lines end that were counted from the end. */
  readonly upTo: { readonly key: string; readonly offset: number } | undefined;
}

/** Where to begin; `undefined` when there is no file. */
async function startOf(query: TrailQuery): Promise<Start | undefined> {
  const trail = await TrailSnapshot.take(query.path);
  try {
    const { point, drop, upTo } = await pointOf(trail, query);
    const taken = await trail.giveAway(point.at);
    if (taken === undefined) return undefined;
    // Another file than the one searched: that one is gone.
    const offset = taken.at === point.at ? point.offset : 0;
    return { place: { file: taken.file, offset }, drop, upTo };
  } finally {
    await trail.close();
  }
}

async function pointOf(
  trail: TrailSnapshot,
  { filter, last, signal }: TrailQuery,
): Promise<Omit<Start, "place"> & { readonly point: TrailPoint }> {
  const { sinceMs, untilMs } = filter;
  const from = sinceMs === -Infinity ? BEGINNING : (await searchTime(trail, sinceMs)).from;
  if (last === undefined) return { point: from, drop: 0, upTo: undefined };
  const to = await lastPoint(trail, untilMs);
  let any = false;
  const test = (line: Buffer): boolean => {
    any = true;
    // None at all: begin behind the last line.
    if (last.count === 0) return true;
    const record = readWanted(line, filter);
    return typeof record !== "string" && filter.matches(record) && last.counts(record);
  };
  const count = Math.max(1, last.count);
  const point = await findLastLines(trail, { count, test, from, to: to?.point, signal });
  return { point, drop: last.count === 0 && any ? 1 : 0, upTo: to?.upTo };
}

/** What is counted back from: the end as it is now, or a little behind `untilMs`. */
async function lastPoint(
  trail: TrailSnapshot,
  untilMs: number,
): Promise<
  { readonly point: TrailPoint; readonly upTo: NonNullable<Start["upTo"]> } | undefined
> {
  const end = { at: trail.paths.length - 1, offset: Infinity };
  const found = untilMs === Infinity
    ? end
    : (await searchTime(trail, untilMs + AUDIT_LAST_MS + 2 * AUDIT_DISORDER_MS)).to;
  if (end.at === -1) return undefined;
  const point = found.at > end.at ? end : found;
  return await trail.with(point.at, async (file) => {
    if (file === undefined) return undefined;
    const offset = Math.min(point.offset, await file.size());
    return { point: { at: point.at, offset }, upTo: { key: file.key, offset } };
  });
}

/**
 * Are these lines so late that nothing before `untilMs` follows? Two of them are asked, so that one
 * with a wrong clock does not end the reading.
 */
function isPast(lines: readonly Buffer[], untilMs: number): boolean {
  if (untilMs === Infinity || lines.length < 2) return false;
  const lateMs = untilMs + AUDIT_LONGEST_MS + AUDIT_DISORDER_MS;
  return [lines[0]!, lines.at(-1)!].every((line) => (timeAtStart(line) ?? -Infinity) > lateMs);
}

function unreadable(path: string, reason: string, cause?: unknown): TunnelError {
  return new TunnelError(
    "AUDIT_UNREADABLE",
    `Cannot read the audit trail ${JSON.stringify(path)}: ${reason}`,
    { cause },
  );
}

const BEGINNING: TrailPoint = { at: 0, offset: 0 };
const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied (read it as the user of the edge)",
  EPERM: "permission denied (read it as the user of the edge)",
  EISDIR: "it is a folder (name the file in it)",
  ENOTDIR: "a part of the path is no folder",
};
