/** The `Authorization` value that a rift shows its private server, read from a file. @module */

import { readFileSync, statSync } from "node:fs";
import process from "node:process";

import { TunnelError } from "../errors.ts";
import { MAX_TOKEN_CHARS } from "../limits.ts";
import { Secret } from "../runtime/secret.ts";
import type { Io } from "./io.ts";
import { warn } from "./report.ts";

/**
 * Reads `authorization_file`; white space around the value does not matter.
 *
 * @param place The key, as `mcptun.toml:14:3 rift.expose[0].authorization_file`.
 * @throws {TunnelError} `CONFIG_INVALID`, which never shows the value.
 */
export function readUpstreamAuthorization(io: Io, path: string, place: string): Secret {
  const shown = JSON.stringify(path);
  let text: string;
  try {
    const { mode, size } = statSync(path);
    if (size > MAX_TOKEN_CHARS) throw invalid(`${place}: ${shown} is too large for a header`);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      warn(io, `${path} can be read by other users (mend it: chmod 600 ${path})`);
    }
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    if (error instanceof TunnelError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const reason = code === "ENOENT" ? "no such file" : String(code ?? error);
    throw invalid(`${place}: cannot read ${shown}: ${reason}`);
  }
  // RFC 9110, 11.6.2: a scheme, and what proves the rift, such as "Bearer" and a token.
  if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e][\x20-\x7e]*$/.test(text)) return new Secret(text);
  throw invalid(
    `${place}: ${shown} holds no Authorization value (write one line, such as: Bearer TOKEN)`,
  );
}

function invalid(message: string): TunnelError {
  return new TunnelError("CONFIG_INVALID", message);
}
