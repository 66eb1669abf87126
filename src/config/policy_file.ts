/**
 * The policy file: read, checked and compiled, or every problem with its place.
 *
 * A file that cannot be used gives no policy at all; whoever asked for it denies.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";
import { resolve } from "node:path";

import { TunnelError } from "../errors.ts";
import { MAX_POLICY_FILE_BYTES, POLICY_READ_BYTES, POLICY_READ_TRIES } from "../limits.ts";
import { lintPolicies } from "../policy/lint.ts";
import { type PolicyEntry, type UserPolicy, userPolicySteps } from "../policy/user_layer.ts";
import { openNamed, unreadReason } from "../runtime/named_file.ts";
import { finish, type Steps } from "../steps.ts";
import type { KeyPath, Position } from "./key_locator.ts";
import { showPath } from "./load.ts";
import { PolicyTablesReader, type PolicyTest } from "./policy_schema.ts";
import { type PieceReader, type PolicyTomlOptions, policyTomlSteps } from "./policy_toml.ts";
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
export async function loadPolicy(options: PolicyFileOptions): Promise<LoadedPolicy> {
  const text = options.text ?? await readPolicyText(options);
  return parsePolicy(text, options.file);
}

/**
 * Reads the text of a policy file, again when it was written to meanwhile: half a file may be valid,
 * and allow more than all of it.
 *
 * @throws {TunnelError} `CONFIG_INVALID`; the reason of `signal`, when it aborts.
 */
export async function readPolicyText(
  { file, cwd = "." }: PolicyFileOptions,
  signal?: AbortSignal,
): Promise<string> {
  try {
    for (let tries = 0; tries < POLICY_READ_TRIES; tries++) {
      const handle = await openNamed(resolve(cwd, file));
      try {
        const before = await handle.stat({ bigint: true });
        const text = await readPieces(handle, file, signal);
        const { size, mtimeNs } = await handle.stat({ bigint: true });
        // What a shell hands over is there once.
        if (!before.isFile()) return text;
        if (size === before.size && mtimeNs === before.mtimeNs) return text;
      } finally {
        await handle.close();
      }
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof TunnelError) throw error;
    const reason = error instanceof TypeError
      ? "it is not UTF-8 (save it as UTF-8)"
      : unreadReason(error, { ENOENT: "no such file (name the file with the [[policy]] tables)" });
    throw new TunnelError(
      "CONFIG_INVALID",
      `Cannot read policy file ${JSON.stringify(file)}: ${reason}`,
      { cause: error },
    );
  }
  throw new TunnelError(
    "CONFIG_INVALID",
    `Cannot read policy file ${JSON.stringify(file)}: it changes while it is read (write another ` +
      "file, and rename it to this one)",
  );
}

async function readPieces(
  handle: FileHandle,
  file: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const piece = Buffer.allocUnsafe(POLICY_READ_BYTES);
  let bytes = 0;
  let text = "";
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(piece, 0, piece.length, null);
    if (bytesRead === 0) return text + decoder.decode();
    bytes += bytesRead;
    // It may have grown meanwhile, and a pipe does not say how long it is.
    if (bytes > MAX_POLICY_FILE_BYTES) throw tooLarge(file);
    text += decoder.decode(piece.subarray(0, bytesRead), { stream: true });
  }
}

/** Checks and compiles the text of a policy file at one go. @throws {TunnelError} `CONFIG_INVALID` */
export function parsePolicy(text: string, file: string): LoadedPolicy {
  return finish(policySteps({ text, file }));
}

/** The same in steps, so that an edge serves meanwhile. @throws {TunnelError} `CONFIG_INVALID` */
export function* policySteps(
  { text, file, pieceChars }: Omit<PolicyTomlOptions<PieceReader>, "newReader">,
): Steps<LoadedPolicy> {
  if (text.length > MAX_POLICY_FILE_BYTES) throw tooLarge(file);
  const newReader = () => new PolicyTablesReader();
  const { reader, locate } = yield* policyTomlSteps({ text, file, newReader, pieceChars });
  const place = (path: KeyPath): string => {
    const { line, column } = locate(path);
    return `${file}:${line}:${column}${path.length === 0 ? "" : ` ${showPath(path)}`}`;
  };
  const { entries, tests, problems } = reader.end();
  if (problems.length > 0) {
    const found: { readonly at: Position; readonly told: string }[] = [];
    for (const { path, text } of problems) {
      found.push({ at: locate(path), told: `${place(path)}: ${text}` });
      yield;
    }
    found.sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
    throw new TunnelError("CONFIG_INVALID", found.map(({ told }) => told).join("\n"));
  }
  const placeOf = (entry: number, list: string, index: number) =>
    locate(["policy", entry, list, index]);
  return {
    policy: yield* userPolicySteps({ file, entries, placeOf }),
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
