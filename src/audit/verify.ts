/** Reads the files of a trail, in their order, and checks them. @module */

import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";

import { TunnelError } from "../errors.ts";
import { AUDIT_LINE_BYTES, VERIFY_READ_BYTES } from "../limits.ts";
import { NotRegularError, openRegular } from "../runtime/regular_file.ts";
import { rotatedFiles } from "./file_names.ts";
import { readMarker } from "./marker_line.ts";
import type { TrailHead } from "./trail_head.ts";
import { ChainCheck, type Trust } from "./verify_chain.ts";
import type { VerifyReport } from "./verify_report.ts";

/** What {@link verifyTrail} is told. */
export interface VerifyOptions {
  /** `trail`: the file and all that were rotated away from it. `files`: these, in any order. */
  readonly source:
    | { readonly trail: string }
    | { readonly files: readonly string[] };
  readonly trust: Trust;
  /** What the edge has signed last, read before its files; `undefined` when that is not known. */
  readonly head: TrailHead | undefined;
  /**
   * What was signed last of a trail that these may be a copy or a part of: when it is here, nothing
   * before it is missing; when it is not, that says nothing.
   */
  readonly otherHead?: TrailHead | undefined;
  /** Ends it early. */
  readonly signal: AbortSignal;
}

/**
 * Checks a trail. What is found is in the report.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when a file cannot be read.
 */
export async function verifyTrail(options: VerifyOptions): Promise<VerifyReport> {
  const { source, trust, head, otherHead, signal } = options;
  const check = new ChainCheck(trust);
  const isLost = head !== undefined && head.records > 0;
  const files = await openFiles(source, isLost ? "report" : "fail");
  try {
    const ordered = await inOrder(files);
    for (const { path, handle } of ordered) {
      await checkFile(check, path, handle, signal);
      // Of a trail that was signed, other content is damage.
      if (!check.isTrailFile && !isLost) await refuseOther(path, handle);
    }
  } finally {
    for (const { handle } of files) await handle.close();
  }
  if (files.length === 0 && head !== undefined) {
    check.findings.problem({
      code: "file_missing",
      file: "trail" in source ? source.trail : undefined,
      line: undefined,
      text:
        `there is no file of this trail, of which the edge has signed ${head.records} record${
          head.records === 1 ? "" : "s"
        }, up to file ${head.file} (audit-head.json of state_dir says so): all of them are missing ` +
        "(name the files, if they were moved)",
    });
    return check.report("some", "known");
  }
  const isExpected = head !== undefined && head.file >= check.oldestSigned;
  if (isExpected && !check.checkpoints.has(head.hash)) {
    check.findings.problem({
      code: "truncated",
      file: undefined,
      line: undefined,
      text:
        `the edge has signed ${head.records} record${
          head.records === 1 ? "" : "s"
        }, up to file ${head.file}: that signature is ` +
        "not here, so what was written up to it is missing",
    });
  }
  return check.report(
    "trail" in source ? "all" : "some",
    head !== undefined || otherHead !== undefined && check.checkpoints.has(otherHead.hash)
      ? "known"
      : "unknown",
  );
}

interface OpenedFile {
  readonly path: string;
  readonly handle: FileHandle;
}

/** How far the first marker of a file is looked for when its first line is gone. */
const ORDER_BYTES = 4 * VERIFY_READ_BYTES;
const NEWLINE = 10;

/** Opens them all first: an edge that rotates meanwhile does not take one away. */
async function openFiles(
  source: VerifyOptions["source"],
  whenNone: "report" | "fail",
): Promise<OpenedFile[]> {
  const opened: OpenedFile[] = [];
  const seen = new Set<string>();
  const add = async (path: string, whenAbsent: "skip" | "fail"): Promise<void> => {
    let handle: FileHandle;
    try {
      handle = await openRegular(path);
    } catch (cause) {
      if (whenAbsent === "skip" && codeOf(cause) === "ENOENT") return;
      throw unreadable(path, cause);
    }
    opened.push({ path, handle });
    const { dev, ino } = await handle.stat({ bigint: true });
    if (!seen.has(`${dev} ${ino}`)) {
      seen.add(`${dev} ${ino}`);
      return;
    }
    opened.pop();
    await handle.close();
  };
  try {
    if ("files" in source) { for (const path of source.files) await add(path, "fail"); }
    else {
      await add(source.trail, "skip");
      const rotated = await rotatedFiles(source.trail).catch((cause) => {
        if (codeOf(cause) === "ENOENT") return []; // its folder is gone
        throw unreadable(source.trail, cause);
      });
      for (const { path } of rotated) await add(path, "skip"); // retention may remove one meanwhile
      if (opened.length === 0 && whenNone === "fail") {
        throw new TunnelError("AUDIT_UNREADABLE", `Cannot read "${source.trail}": no such file`);
      }
    }
  } catch (error) {
    for (const { handle } of opened) await handle.close();
    throw error;
  }
  return opened;
}

/** By the number that the files themselves say; those that say none come last, by name. */
async function inOrder(files: readonly OpenedFile[]): Promise<OpenedFile[]> {
  const numbered = await Promise.all(
    files.map(async (file) => ({ file, number: await numberOf(file.handle) })),
  );
  return numbered.sort((a, b) =>
    a.number === b.number ? (a.file.path < b.file.path ? -1 : 1) : a.number - b.number
  ).map(({ file }) => file);
}

async function numberOf(handle: FileHandle): Promise<number> {
  const buffer = Buffer.alloc(ORDER_BYTES);
  const { bytesRead } = await handle.read(buffer, 0, ORDER_BYTES, 0);
  for (let start = 0; start < bytesRead;) {
    const newline = buffer.indexOf(NEWLINE, start);
    if (newline === -1 || newline >= bytesRead) break;
    // A record is none, which its start tells without reading it whole.
    const isMarker = MARKER_STARTS.has(
      buffer.toString("latin1", start, start + MARKER_START_BYTES),
    );
    const marker = isMarker ? readMarker(buffer.subarray(start, newline).toString()) : undefined;
    if (marker !== undefined && marker.type !== "lost") return marker.file;
    start = newline + 1;
  }
  return Number.MAX_SAFE_INTEGER;
}

const MARKER_STARTS: ReadonlySet<string> = new Set(['{"v":1,"type":"o', '{"v":1,"type":"c']);
const MARKER_START_BYTES = 16;

async function checkFile(
  check: ChainCheck,
  path: string,
  handle: FileHandle,
  signal: AbortSignal,
): Promise<void> {
  check.beginFile(path);
  let buffer = Buffer.allocUnsafe(2 * VERIFY_READ_BYTES);
  let held = 0;
  let total = 0;
  for (;;) {
    if (signal.aborted) throw new TunnelError("ABORTED", "Stopped before everything was checked");
    if (buffer.length - held < VERIFY_READ_BYTES) {
      // One line that is longer than any the edge writes is read all the same: it is damage to tell of.
      if (held > MAX_DAMAGED_LINE_BYTES) {
        const text = `a line is longer than ${MAX_DAMAGED_LINE_BYTES} bytes`;
        throw new TunnelError("STATE_UNUSABLE", `Cannot check "${path}": ${text}`);
      }
      buffer = Buffer.concat([buffer.subarray(0, held)], 2 * buffer.length);
    }
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(buffer, held, VERIFY_READ_BYTES, total));
    } catch (cause) {
      throw unreadable(path, cause);
    }
    if (bytesRead === 0) break;
    total += bytesRead;
    const end = held + bytesRead;
    let start = 0;
    let newline = buffer.indexOf(NEWLINE, held);
    while (newline !== -1 && newline < end) {
      check.line(buffer, start, newline);
      start = newline + 1;
      newline = buffer.indexOf(NEWLINE, start);
    }
    if (start > 0) buffer.copy(buffer, 0, start, end);
    held = end - start;
  }
  check.endFile(total, held);
}

/** A file without any line of a trail, which is not what a crash leaves of the first one either. */
async function refuseOther(path: string, handle: FileHandle): Promise<void> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(LINE_START.length), 0);
  if (bytesRead === 0 || LINE_START.startsWith(buffer.toString("latin1", 0, bytesRead))) return;
  throw new TunnelError(
    "AUDIT_UNREADABLE",
    `Cannot check "${path}": it is not an audit trail of mcptun (name the files of one)`,
  );
}

const LINE_START = '{"v":';
const MAX_DAMAGED_LINE_BYTES = 64 * AUDIT_LINE_BYTES;

function unreadable(path: string, cause: unknown): TunnelError {
  const reason = codeOf(cause) === "ENOENT"
    ? "no such file"
    : cause instanceof NotRegularError && cause.isFolder
    ? "it is a folder (name the files in it)"
    : codeOf(cause) === "EACCES"
    ? "permission denied (read it as the user of the edge)"
    : cause instanceof Error
    ? cause.message
    : "unknown failure";
  return new TunnelError("AUDIT_UNREADABLE", `Cannot read "${path}": ${reason}`, { cause });
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
