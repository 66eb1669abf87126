/** `mcptun config check`: what the configuration comes to, and where each value came from. @module */

import { effectiveValues } from "../config/effective.ts";
import { tomlOf } from "../config/reference.ts";
import { TunnelError } from "../errors.ts";
import type { Io } from "./io.ts";
import { loadFor } from "./key_option.ts";
import { readOtlpHeaders } from "./otlp_headers.ts";
import { readPublicTls } from "./public_tls.ts";
import { columns } from "./report.ts";

/** Prints every effective value, and reads the files it names as the edge would. @throws {TunnelError} `CONFIG_INVALID` */
export function runConfigCheck(
  io: Io,
  options: { readonly config?: string | undefined; readonly json?: true | undefined },
): void {
  let loaded;
  try {
    loaded = loadFor(io, options.config, []);
    readPublicTls(loaded);
    readOtlpHeaders(io, loaded);
  } catch (error) {
    if (options.json === true && error instanceof TunnelError) {
      const problems = error.message.split("\n");
      io.stdout.write(`${JSON.stringify({ valid: false, problems })}\n`);
    }
    throw error;
  }
  const token = io.env["MCPTUN_TOKEN"];
  const values = [
    ...effectiveValues(loaded),
    ...(token === undefined || token === ""
      ? []
      : [{ key: "MCPTUN_TOKEN", value: "[redacted]", origin: "environment" as const }]),
  ];
  if (options.json === true) {
    const { file, warnings } = loaded;
    const listed = values.map(({ value, ...rest }) => ({ ...rest, value: value ?? null }));
    io.stdout.write(
      `${JSON.stringify({ valid: true, file: file ?? null, warnings, values: listed })}\n`,
    );
    return;
  }
  io.stdout.write(
    loaded.file === undefined
      ? "No mcptun.toml in this folder: defaults and environment only\n\n"
      : `${loaded.file} is valid\n\n`,
  );
  io.stdout.write(
    columns(values.map(({ key, value, origin }) => [
      key,
      origin,
      value === undefined ? "(not set)" : value === "[redacted]" ? value : tomlOf(value),
    ])),
  );
}
