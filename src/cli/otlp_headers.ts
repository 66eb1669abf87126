/** The headers for a collector of OpenTelemetry, read from a file. @module */

import type { LoadedConfig } from "../config/load.ts";
import { TunnelError } from "../errors.ts";
import { Secret } from "../runtime/secret.ts";
import type { Io } from "./io.ts";
import { readSecretFile } from "./secret_file.ts";

/**
 * Reads `audit.otlp_headers_file`, one `Name: value` a line; empty without it.
 *
 * @throws {TunnelError} `CONFIG_INVALID`, which never shows a value.
 */
export function readOtlpHeaders(
  io: Io,
  { config, place }: Pick<LoadedConfig, "config" | "place">,
): Map<string, Secret> {
  const headers = new Map<string, Secret>();
  const path = config.audit.otlpHeadersFile;
  if (path === undefined) return headers;
  const at = place(["audit", "otlp_headers_file"]);
  const file = `${at}: ${JSON.stringify(path)}`;
  const lines = readSecretFile(io, { path, place: at }).split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const match = HEADER.exec(line);
    // A line that is none may be a bare token: nothing of it is shown.
    if (match === null) {
      throw invalid(`${file}, line ${index + 1}: no header (write Name: value, in ASCII)`);
    }
    const name = match[1]!.toLowerCase();
    if (RESERVED.test(name)) throw invalid(`${file}: "${name}" is set by mcptun (remove it)`);
    if (headers.has(name)) throw invalid(`${file}: "${name}" stands twice (keep one)`);
    headers.set(name, new Secret(match[2]!));
  }
  if (headers.size === 0) {
    throw invalid(
      `${file} holds no header (write one a line, such as Authorization: Bearer TOKEN)`,
    );
  }
  return headers;
}

/** RFC 9110, 5.1 and 5.5, in ASCII. */
const HEADER =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)[ \t]*$/;

/** What the request or the connection decides. */
const RESERVED =
  /^(?:host|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|user-agent|content-.*|proxy-.*)$/;

function invalid(message: string): TunnelError {
  return new TunnelError("CONFIG_INVALID", message);
}
