/**
 * The policy file: read, checked and compiled, or every problem with its place.
 *
 * A file that cannot be used gives no policy at all; whoever asked for it denies.
 *
 * @module
 */

import { resolve } from "node:path";

import { TunnelError } from "../errors.ts";
import { MAX_POLICY_FILE_BYTES } from "../limits.ts";
import { lintPolicies } from "../policy/lint.ts";
import { compileUserPolicy, type PolicyEntry, type UserPolicy } from "../policy/user_layer.ts";
import { readNamedFile, TooLargeError, unreadReason } from "../runtime/named_file.ts";
import { type KeyLocator, type KeyPath, locateKeys, type Position } from "./key_locator.ts";
import { parseToml, showPath } from "./load.ts";
import { type PolicyTest, readPolicyTables } from "./policy_schema.ts";
import { formatSize } from "./value.ts";

/** What {@link loadPolicy} reads. */
export interface PolicyFileOptions {
  /** As people named it. */
  readonly file: string;
  /** The file's text, when it is already at hand. */
  readonly text?: string;
  /** The folder that a relative `file` starts from. */
  readonly cwd?: string;
}

/** A policy file that may be used. */
export interface LoadedPolicy {
  readonly policy: UserPolicy;
  readonly entries: readonly PolicyEntry[];
  readonly tests: readonly PolicyTest[];
  /** What is probably a mistake but refuses nothing, with its place; worked out when asked for. */
  readonly warnings: readonly string[];
  /** `user.toml:3:1 policy[0].users`, for complaints. */
  readonly place: (path: KeyPath) => string;
  readonly locate: (path: KeyPath) => Position;
}

/**
 * Loads, checks and compiles a policy file.
 *
 * @throws {TunnelError} `CONFIG_INVALID`; its message has one line per problem,
 *   `user.toml:4:1 policy[0].alow_tools: unknown key (did you mean "allow_tools"?)`.
 */
export function loadPolicy(options: PolicyFileOptions): LoadedPolicy {
  const text = options.text ?? readPolicyText(options);
  return parsePolicy(text, options.file);
}

/** Reads the text of a policy file. @throws {TunnelError} `CONFIG_INVALID` */
export function readPolicyText({ file, cwd = "." }: PolicyFileOptions): string {
  const path = resolve(cwd, file);
  try {
    const { bytes } = readNamedFile(path, MAX_POLICY_FILE_BYTES);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TooLargeError) throw tooLarge(file);
    const reason = error instanceof TypeError
      ? "it is not UTF-8 (save it as UTF-8)"
      : unreadReason(error, { ENOENT: "no such file (name the file with the [[policy]] tables)" });
    throw new TunnelError(
      "CONFIG_INVALID",
      `Cannot read policy file ${JSON.stringify(file)}: ${reason}`,
      { cause: error },
    );
  }
}

/** Checks and compiles the text of a policy file. @throws {TunnelError} `CONFIG_INVALID` */
export function parsePolicy(text: string, file: string): LoadedPolicy {
  if (text.length > MAX_POLICY_FILE_BYTES) throw tooLarge(file);
  const written = parseToml(text, file);
  let locator: KeyLocator | undefined;
  // Most files are loaded more often than a place in them is asked for.
  const locate = (path: KeyPath): Position => (locator ??= locateKeys(text)).locate(path);
  const place = (path: KeyPath): string => {
    const { line, column } = locate(path);
    return `${file}:${line}:${column}${path.length === 0 ? "" : ` ${showPath(path)}`}`;
  };
  const { entries, tests, problems } = readPolicyTables(written);
  if (problems.length > 0) {
    const found = problems.map(({ path, text }) => ({
      at: locate(path),
      told: `${place(path)}: ${text}`,
    }));
    found.sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
    throw new TunnelError("CONFIG_INVALID", found.map(({ told }) => told).join("\n"));
  }
  const placeOf = (entry: number, list: string, index: number) =>
    locate(["policy", entry, list, index]);
  return {
    policy: compileUserPolicy({ file, entries, placeOf }),
    entries,
    tests,
    get warnings() {
      return lintPolicies(entries).map(({ path, text }) => `${place(path)}: ${text}`);
    },
    place,
    locate,
  };
}

function tooLarge(file: string): TunnelError {
  return new TunnelError(
    "CONFIG_INVALID",
    `Cannot read policy file ${JSON.stringify(file)}: it is larger than ${
      formatSize(MAX_POLICY_FILE_BYTES)
    } (split the users over groups)`,
  );
}
