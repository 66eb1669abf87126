/** Files with a secret that a configuration names. @module */

import { readFileSync, statSync } from "node:fs";
import process from "node:process";

import { TunnelError } from "../errors.ts";
import { MAX_TOKEN_CHARS } from "../limits.ts";
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
    const { mode, size } = statSync(path);
    if (size > MAX_TOKEN_CHARS) throw invalid(`${place}: ${shown} is too large for a header`);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      warn(io, `${path} can be read by other users (mend it: chmod 600 ${path})`);
    }
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (error instanceof TunnelError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const reason = code === "ENOENT" ? "no such file" : String(code ?? error);
    throw invalid(`${place}: cannot read ${shown}: ${reason}`);
  }
}

function invalid(message: string): TunnelError {
  return new TunnelError("CONFIG_INVALID", message);
}
