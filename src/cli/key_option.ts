/** Flags that override a key of the configuration, described by the key itself. @module */

import { Option } from "@commander-js/extra-typings";

import { type FlagValue, loadConfig, type LoadedConfig } from "../config/load.ts";
import { flagHelp } from "../config/reference.ts";
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
