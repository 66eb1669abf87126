/**
 * What stands at the end of a trail's file: where its chain is, and what a crash left behind.
 *
 * Read from the end: only the lines since the last signature, however large the file is.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";

import { TunnelError } from "../errors.ts";
import { AUDIT_LINE_BYTES, AUDIT_QUEUE_BYTES, AUDIT_TORN_BYTES } from "../limits.ts";
import { openRegular } from "../runtime/regular_file.ts";
import { isTrailLine, lineHash, readMarker, type Torn } from "./marker_line.ts";
import { RECORD_VERSION } from "./record.ts";

/** The end of a file. */
export interface FileTail {
  /** Number of the file, and of the oldest that retention has kept; `undefined` without a whole line. */
  readonly chain:
    | {
      readonly file: number;
      readonly first: number;
      readonly records: number;
      readonly prev: string;
    }
    | undefined;
  /** When the file was begun, wall clock, ms; `undefined` when its first line does not say. */
  readonly begunMs: number | undefined;
  /** What stands after the last whole line. */
  readonly torn: Torn | undefined;
  /** Does the file end in a newline? */
  readonly isTerminated: boolean;
}

/**
 * Reads the end of a file that is not empty.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when it is not the file of a trail; the system's error when
 *   it cannot be read.
 */
export async function readTail(path: string): Promise<FileTail> {
  const file = await openRegular(path);
  try {
    return await tailOf(file, path);
  } finally {
    await file.close();
  }
}

/**
 * Does a line with this hash stand near the end of a file? Near is what may have been written since
 * the last time somebody noted where the chain was.
 *
 * @throws {TunnelError} `STATE_UNUSABLE`; the system's error when it cannot be read.
 */
export async function hasLine(path: string, hash: string): Promise<boolean> {
  const file = await openRegular(path);
  try {
    const { size } = await file.stat();
    for await (const { bytes, end } of linesFromEnd(file, size, path)) {
      if (lineHash(bytes) === hash) return true;
      if (size - end > AUDIT_QUEUE_BYTES) return false;
    }
    return false;
  } finally {
    await file.close();
  }
}

const CHUNK_BYTES = 64 * 1_024;
/** How far the first line of a file is looked for: an `open` line is below 2 KiB. */
const OPEN_LINE_BYTES = 8 * 1_024;
const NEWLINE = 10;
const RECORD_STARTS = ["exchange", "intent"].map((type) =>
  `{"v":${RECORD_VERSION},"type":"${type}",`
);

async function tailOf(file: FileHandle, path: string): Promise<FileTail> {
  const { size } = await file.stat();
  let wholeEnd: number | undefined;
  let prev: string | undefined;
  let records = 0;
  for await (const { bytes, end } of linesFromEnd(file, size, path)) {
    const line = bytes.toString();
    if (wholeEnd === undefined) {
      // The part after the last newline is whole only if that is the end of the file.
      if (end === size || !isTrailLine(line)) {
        if (size - end > AUDIT_TORN_BYTES) break;
        continue;
      }
      wholeEnd = end + 1;
      prev = lineHash(bytes);
    }
    if (RECORD_STARTS.some((start) => line.startsWith(start))) {
      records++;
      continue;
    }
    const marker = readMarker(line);
    if (marker === undefined || marker.type === "lost") continue;
    const { torn, isTerminated } = await readTorn(file, wholeEnd, size);
    return {
      chain: {
        file: marker.file,
        first: marker.first,
        records: marker.records + records,
        prev: prev!, // set with wholeEnd
      },
      begunMs: await readBegun(file),
      torn,
      isTerminated,
    };
  }
  // A crash may have torn the very first line.
  const start = await readAt(file, 0, Math.min(size, RECORD_STARTS[0]!.length));
  if (size <= AUDIT_TORN_BYTES && start.toString().startsWith('{"v":')) {
    return { chain: undefined, begunMs: undefined, ...await readTorn(file, 0, size) };
  }
  throw notATrail(path);
}

/** The lines of a file, the last one first; `end` is where the newline stands, or the file's end. */
async function* linesFromEnd(
  file: FileHandle,
  size: number,
  path: string,
): AsyncGenerator<{ readonly bytes: Buffer; readonly end: number }> {
  let start = size;
  let held: Buffer = Buffer.alloc(0);
  while (start > 0) {
    const length = Math.min(CHUNK_BYTES, start);
    start -= length;
    held = Buffer.concat([await readAt(file, start, length), held]);
    for (;;) {
      const newline = held.lastIndexOf(NEWLINE);
      if (newline === -1) break;
      yield { bytes: held.subarray(newline + 1), end: start + held.length };
      held = held.subarray(0, newline);
    }
    if (held.length > AUDIT_TORN_BYTES + AUDIT_LINE_BYTES) throw notATrail(path);
  }
  yield { bytes: held, end: held.length };
}

async function readTorn(
  file: FileHandle,
  from: number,
  size: number,
): Promise<Pick<FileTail, "torn" | "isTerminated">> {
  if (from === size) return { torn: undefined, isTerminated: true };
  const bytes = await readAt(file, from, size - from);
  const isTerminated = bytes.at(-1) === NEWLINE;
  const torn = isTerminated ? bytes.subarray(0, -1) : bytes;
  return { torn: { bytes: torn.length, hash: lineHash(torn) }, isTerminated };
}

async function readBegun(file: FileHandle): Promise<number | undefined> {
  const head = await readAt(file, 0, OPEN_LINE_BYTES);
  const newline = head.indexOf(NEWLINE);
  const marker = newline === -1 ? undefined : readMarker(head.subarray(0, newline).toString());
  const begunMs = Date.parse(marker?.time ?? "");
  return Number.isNaN(begunMs) ? undefined : begunMs;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await file.read(buffer, read, length - read, position + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return buffer.subarray(0, read);
}

function notATrail(path: string): TunnelError {
  return new TunnelError(
    "STATE_UNUSABLE",
    `Cannot go on with "${path}": it is not an audit trail of mcptun (move it away, or name another ` +
      "audit.file)",
  );
}
