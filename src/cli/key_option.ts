/** Flags that override a key of the configuration, described by the key itself. @module */

import { Option } from "@commander-js/extra-typings";

import { type FlagValue, loadConfig, type LoadedConfig } from "../config/load.ts";
import { flagHelp } from "../config/reference.ts";
import { TunnelError } from "../errors.ts";
import { existsSync } from "node:fs";
import { resolve } from "node:path";

import type { Io } from "./io.ts";
import { warn } from "./report.ts";

/** An option whose help is the doc of the key it overrides. */
export function keyOption<const Flags extends string>(flags: Flags, key: string): Option<Flags> {
  return new Option(flags, flagHelp(key));
}

/** `--config`, the same for every command that reads one. */
export function configOption() {
  return new Option("--config <file>", `configuration file (default: ${DEFAULT_FILE}, when there)`);
}

/** The flag values that were given, for `loadConfig`. */
export function givenFlags(
  given: readonly (readonly [key: string, flag: string, value: unknown])[],
): FlagValue[] {
  return given.flatMap(([key, flag, value]) => value === undefined ? [] : [{ key, flag, value }]);
}

/** `--state-dir`, the same for every command that works on one. */
export function stateDirOption() {
  return keyOption("--state-dir <folder>", "edge.state_dir");
}

/** Which state directory a command works on. */
export interface StatePlace {
  readonly config?: string | undefined;
  readonly stateDir?: string | undefined;
}

/**
 * The state directory. A named one needs no configuration: a leaked token can be revoked while the
 * file has a mistake in it.
 *
 * @param wish What the command is for, such as `revoke`.
 * @throws {TunnelError} `CONFIG_INVALID`
 */
export function stateDirOf(io: Io, { config, stateDir }: StatePlace, wish: string): string {
  if (stateDir !== undefined) {
    return loadConfig({ cwd: io.cwd, flags: stateDirFlag({ stateDir }) }).config.edge.stateDir;
  }
  return loadOrHint(io, config, wish).config.edge.stateDir;
}

/** As {@link loadFor}; a failure says how to do without. @throws {TunnelError} `CONFIG_INVALID` */
export function loadOrHint(io: Io, config: string | undefined, wish: string): LoadedConfig {
  try {
    return loadFor(io, config, []);
  } catch (error) {
    if (!(error instanceof TunnelError) || error.code !== "CONFIG_INVALID") throw error;
    warn(io, `to ${wish} without the configuration, give --state-dir FOLDER`);
    throw error;
  }
}

/** `--state-dir` for {@link loadFor}, in commands that need the rest of the configuration too. */
export function stateDirFlag({ stateDir }: StatePlace): FlagValue[] {
  return givenFlags([["edge.state_dir", "--state-dir", stateDir]]);
}

/** The file that {@link loadFor} reads, as it is named; `undefined` when there is none. */
function namedFile(io: Io, file: string | undefined): string | undefined {
  return file ?? (existsSync(resolve(io.cwd, DEFAULT_FILE)) ? DEFAULT_FILE : undefined);
}

/** The absolute path of the file that {@link loadFor} reads, in a list: none or one. */
export function configFiles(io: Io, file: string | undefined): string[] {
  const named = namedFile(io, file);
  return named === undefined ? [] : [resolve(io.cwd, named)];
}

/** Loads the named file, or `mcptun.toml` when it is there, and prints what is probably a mistake. */
export function loadFor(
  io: Io,
  file: string | undefined,
  flags: readonly FlagValue[],
): LoadedConfig {
  const loaded = loadConfig({ file: namedFile(io, file), cwd: io.cwd, env: io.env, flags });
  for (const warning of loaded.warnings) warn(io, warning);
  return loaded;
}

/** The file that commands read and `init` writes when none is named. */
export const DEFAULT_FILE = "mcptun.toml";
