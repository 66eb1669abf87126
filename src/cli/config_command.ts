/** `mcptun config check`: what the configuration comes to, and where each value came from. @module */

import { statSync } from "node:fs";
import { dirname } from "node:path";

import type { Config } from "../config/config.ts";
import { type EffectiveValue, effectiveValues } from "../config/effective.ts";
import type { LoadedConfig } from "../config/load.ts";
import { tomlOf } from "../config/reference.ts";
import { TunnelError } from "../errors.ts";
import type { Io } from "./io.ts";
import { loadFor } from "./key_option.ts";
import { readOtlpHeaders } from "./otlp_headers.ts";
import { readPublicTls } from "./public_tls.ts";
import { columns, warn } from "./report.ts";
import { dialedAddress } from "./token_values.ts";
import { readUpstreamAuthorization } from "./upstream_authorization.ts";

/** Prints every effective value, and reads the files it names as the edge would. @throws {TunnelError} `CONFIG_INVALID` */
export function runConfigCheck(
  io: Io,
  options: { readonly config?: string | undefined; readonly json?: true | undefined },
): void {
  let loaded;
  let hints: readonly string[];
  try {
    loaded = loadFor(io, options.config, []);
    readPublicTls(loaded);
    hints = hintsOf(io, loaded);
    readOtlpHeaders(io, loaded);
  } catch (error) {
    if (options.json === true && error instanceof TunnelError) {
      const problems = error.message.split("\n");
      io.stdout.write(`${JSON.stringify({ valid: false, problems })}\n`);
    }
    throw error;
  }
  for (const hint of hints) warn(io, hint);
  const token = io.env["MCPTUN_TOKEN"];
  const values: EffectiveValue[] = [
    ...effectiveValues(loaded),
    ...(token === undefined || token === ""
      ? []
      : [{ key: "MCPTUN_TOKEN", value: "[redacted]", origin: "environment" as const }]),
  ];
  if (options.json === true) {
    const { file } = loaded;
    const warnings = [...loaded.warnings, ...hints];
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
    columns(values.map(({ key, value, origin, tunnel }) => [
      key,
      origin,
      (value === undefined ? "(not set)" : value === "[redacted]" ? value : tomlOf(value)) +
      (tunnel === undefined ? "" : `  # ${tunnel}`),
    ])),
  );
}

/** What a role or a command would refuse, on the host that it runs on; this may be the other one. */
function hintsOf(io: Io, { config, place }: LoadedConfig): string[] {
  const hints = [...edgeHints(config, place)];
  const tell = (work: () => unknown, whom: string): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      hints.push(`${error.message}; ${whom} would refuse it`);
    }
  };
  if (config.tunnels.length > 0) tell(() => dialedAddress(config), '"mcptun token issue --rift"');
  for (const [index, { authorizationFile: path }] of config.rift.exposes.entries()) {
    if (path === undefined) continue;
    const key = place(["rift", "expose", index, "authorization_file"]);
    tell(() => readUpstreamAuthorization(io, path, key), '"mcptun rift"');
  }
  return hints;
}

/** Paths that the edge needs at its start, on its host. */
function* edgeHints(
  { audit, policy, tunnels }: Config,
  place: LoadedConfig["place"],
): Generator<string> {
  const refused = '(on this host); "mcptun edge" would refuse it';
  if (audit.file !== undefined && kindAt(dirname(audit.file)) === "none") {
    yield `${place(["audit", "file"])}: there is no folder "${dirname(audit.file)}" ${refused}`;
  } else if (audit.file !== undefined && kindAt(audit.file) === "folder") {
    yield `${place(["audit", "file"])}: "${audit.file}" is a folder ${refused}`;
  }
  // Without an aware tunnel it is not read.
  if (policy.file === undefined || !tunnels.some(({ mode }) => mode === "aware")) return;
  const kind = kindAt(policy.file);
  if (kind === "none") {
    yield `${place(["policy", "file"])}: there is no "${policy.file}" ${refused}`;
  }
  if (kind === "folder") {
    yield `${place(["policy", "file"])}: "${policy.file}" is a folder ${refused}`;
  }
}

function kindAt(path: string): "folder" | "other" | "none" {
  try {
    return statSync(path).isDirectory() ? "folder" : "other";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // What this user may not see, the edge's may.
    return code === "ENOENT" || code === "ENOTDIR" ? "none" : "other";
  }
}
