/** Files with a secret that a configuration names. @module */

import process from "node:process";

import { TunnelError } from "../errors.ts";
import { MAX_TOKEN_CHARS } from "../limits.ts";
import { isStreamPath, readNamedFile, TooLargeError, unreadReason } from "../runtime/named_file.ts";
import type { Io } from "./io.ts";
import { warn } from "./report.ts";

/** The file to read. */
export interface SecretFile {
  /** Absolute path. */
  readonly path: string;
  /** The key that names it, as `mcptun.toml:14:3 audit.otlp_headers_file`. */
  readonly place: string;
}

/**
 * Its text, without white space around it; warns when other users can read it.
 *
 * @throws {TunnelError} `CONFIG_INVALID`, which never shows the text.
 */
export function readSecretFile(io: Io, { path, place }: SecretFile): string {
  const shown = JSON.stringify(path);
  try {
    const { bytes, mode } = readNamedFile(path, MAX_TOKEN_CHARS);
    warnOfReaders(io, path, mode);
    return bytes.toString("utf8").trim();
  } catch (error) {
    if (error instanceof TooLargeError) {
      throw invalid(`${place}: ${shown} is too large for a header`);
    }
    throw invalid(`${place}: cannot read ${shown}: ${unreadReason(error)}`);
  }
}

/** Says so when other users can read a file with a secret. */
export function warnOfReaders(io: Io, path: string, mode: number): void {
  if (process.platform === "win32" || isStreamPath(path) || (mode & 0o077) === 0) return;
  warn(io, `${path} can be read by other users (mend it: chmod 600 ${path})`);
}

function invalid(message: string): TunnelError {
  return new TunnelError("CONFIG_INVALID", message);
}
