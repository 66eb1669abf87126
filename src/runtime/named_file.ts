/**
 * Reads a file that a person named, whole. What waits for a writer, or never ends, is refused; what a
 * shell hands over as a path is read to its end.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

import { NotRegularError, openRegular, openRegularSync } from "./regular_file.ts";

/** What was read. */
export interface NamedFile {
  readonly bytes: Buffer;
  /** Permissions; as the system gives them. */
  readonly mode: number;
}

/** There is more than was asked for. */
export class TooLargeError extends Error {
  constructor() {
    super("it is too large");
  }
}

/**
 * Reads at most `maxBytes`. The path is absolute.
 *
 * @throws {NotRegularError} For a FIFO, a socket, a device or a folder.
 * @throws {TooLargeError}
 */
export function readNamedFile(path: string, maxBytes: number): NamedFile {
  const fd = isStreamPath(path) ? openSync(path, "r") : openRegularSync(path);
  try {
    const { mode, size } = fstatSync(fd);
    if (size > maxBytes) throw new TooLargeError();
    return { bytes: readToEnd(fd, Math.max(size, MIN_READ_BYTES), maxBytes), mode };
  } finally {
    closeSync(fd);
  }
}

/** Opens it for who reads it in pieces, and closes it. @throws {NotRegularError} */
export function openNamed(path: string): Promise<FileHandle> {
  return isStreamPath(path) ? open(path, "r") : openRegular(path);
}

/**
 * Is it a path by which shells hand over what a command prints, `/dev/stdin` or that of `<(…)`, or
 * the empty file `/dev/null`? Such a path can be read once, and nothing can be kept there.
 */
export function isStreamPath(path: string): boolean {
  return /^\/(?:dev\/(?:stdin|null|fd\/\d+)|proc\/self\/fd\/\d+)$/.test(path);
}

/** Why a file could not be read, for people; hints for its reasons take the place of ours. */
export function unreadReason(
  error: unknown,
  hints: Readonly<Partial<Record<"ENOENT" | "EACCES" | "EISDIR", string>>> = {},
): string {
  if (error instanceof NotRegularError) {
    return error.isFolder ? hints.EISDIR ?? FOLDER : `${error.message} (a FIFO, for example)`;
  }
  if (error instanceof TooLargeError) return error.message;
  const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
  switch (code) {
    case "ENOENT":
      return hints.ENOENT ?? "no such file";
    case "EACCES":
      return hints.EACCES ?? "permission denied (this user may not read it)";
    case "EISDIR":
      return hints.EISDIR ?? FOLDER;
    default:
      // Not its message: it could hold more than a reason.
      return code ?? "unknown failure";
  }
}

function readToEnd(fd: number, firstBytes: number, maxBytes: number): Buffer {
  // One more than there should be: the end is found without another piece.
  let bytes = Buffer.allocUnsafe(firstBytes + 1);
  let length = 0;
  for (;;) {
    const count = readSync(fd, bytes, length, bytes.length - length, null);
    if (count === 0) return bytes.subarray(0, length);
    length += count;
    // It may have grown meanwhile, and a pipe does not say how long it is.
    if (length > maxBytes) throw new TooLargeError();
    if (length < bytes.length) continue;
    const larger = Buffer.allocUnsafe(2 * bytes.length);
    bytes.copy(larger, 0, 0, length);
    bytes = larger;
  }
}

const MIN_READ_BYTES = 4_096;
const FOLDER = "it is a folder (name the file in it)";
