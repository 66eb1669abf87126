/**
 * The state directory: private to its owner, and every file in it whole or absent.
 *
 * A reader never sees half a file: files appear by `link` (first one wins) or `rename` (last one
 * wins) of a complete temporary file. Every complaint names the path and what to do.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { link, mkdir, open, rename, stat, unlink } from "node:fs/promises";
import type { Stats } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";

import { TunnelError } from "../errors.ts";
import { NotRegularError, openRegular } from "../runtime/regular_file.ts";

/** Largest state file read, bytes: 100,000 credentials of usual size fit. */
const MAX_STATE_FILE_BYTES = 32 * 1_024 * 1_024;

/**
 * Makes the directory, or checks that the one there is private and belongs to this user.
 *
 * @throws {TunnelError} `STATE_UNUSABLE`
 */
export async function prepareStateDir(stateDir: string): Promise<void> {
  try {
    await makeFolder(stateDir);
  } catch (cause) {
    throw unusable(stateDir, "create", cause);
  }
  const stats = await stat(stateDir).catch((cause) => {
    throw unusable(stateDir, "read", cause);
  });
  if (!stats.isDirectory()) {
    throw unusableBecause(
      stateDir,
      "it is a file, not a folder; move it away, or name another folder (edge.state_dir, --state-dir)",
    );
  }
  requireOwn(stateDir, stats);
  refuseShared(stateDir, stats, "chmod 700");
}

/**
 * Reads a private file.
 *
 * @returns `undefined` when there is none.
 * @throws {TunnelError} `STATE_UNUSABLE`, also when it is another user's, or others have access to it.
 */
export async function readStateFile(path: string): Promise<string | undefined> {
  let file;
  try {
    file = await openRegular(path);
  } catch (cause) {
    if (stateErrorCode(cause) === "ENOENT") return undefined;
    if (cause instanceof NotRegularError) throw unusableBecause(path, cause.message);
    throw unusable(path, "read", cause);
  }
  try {
    const stats = await file.stat();
    requireOwn(path, stats);
    refuseShared(path, stats, "chmod 600");
    if (stats.size > MAX_STATE_FILE_BYTES) throw unusableBecause(path, "it is too large");
    return await file.readFile("utf8");
  } catch (cause) {
    throw cause instanceof TunnelError ? cause : unusable(path, "read", cause);
  } finally {
    await file.close();
  }
}

/**
 * Writes a private file that must not exist yet.
 *
 * @returns `"exists"` when another writer was first; its file is untouched and whole.
 * @throws {TunnelError} `STATE_UNUSABLE`
 */
export async function createStateFile(path: string, text: string): Promise<"created" | "exists"> {
  const temporary = await writeTemporary(path, text);
  try {
    await link(temporary, path); // fails when `path` exists, unlike rename
    return "created";
  } catch (cause) {
    if (stateErrorCode(cause) === "EEXIST") return "exists";
    throw unusable(path, "create", cause);
  } finally {
    await unlink(temporary).catch(() => {}); // a leftover is private and harmless
  }
}

/**
 * Writes a private file, whether there was one or not.
 *
 * @throws {TunnelError} `STATE_UNUSABLE`
 */
export async function replaceStateFile(path: string, text: string): Promise<void> {
  const temporary = await writeTemporary(path, text);
  try {
    await rename(temporary, path);
  } catch (cause) {
    await unlink(temporary).catch(() => {}); // the rename is what failed
    throw unusable(path, "write", cause);
  }
}

/** The error for a state file whose content is wrong. Nothing is repaired or replaced by itself. */
export function corruptStateFile(path: string, problem: string, remedy: string): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot use "${path}": ${problem} (${remedy})`);
}

/**
 * Not by `recursive`: where a folder exists and nothing can be made in it, as in /proc, the system
 * says ENOENT, and Node's `mkdir` then tries without end.
 */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (cause) {
    const code = stateErrorCode(cause);
    if (code === "EEXIST") return; // whoever asked looks at what it is
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path) throw cause;
    await makeFolder(parent);
    await mkdir(path, { mode: 0o700 }).catch((again: unknown) => {
      if (stateErrorCode(again) !== "EEXIST") throw again; // else another process was first
    });
  }
}

async function writeTemporary(path: string, text: string): Promise<string> {
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync(); // or a power cut leaves an empty file under the final name
    } finally {
      await file.close();
    }
  } catch (cause) {
    await unlink(temporary).catch(() => {}); // perhaps it was never made
    throw unusable(path, "write", cause);
  }
  return temporary;
}

/** Its owner may always let others in again, and could read the key of the CA. */
function requireOwn(path: string, { uid }: Stats): void {
  const own = process.getuid?.(); // absent on Windows
  if (own === undefined || uid === own) return;
  throw unusableBecause(
    path,
    `it belongs to user ${uid}, and this process runs as user ${own}; run this as user ${uid} ` +
      `(sudo -u '#${uid}' …), or, if it is to be user ${own}'s, run: chown -R ${own} "${path}"`,
  );
}

/** Windows has no group and other bits; Node reports 0o666 there for every file. */
function refuseShared(path: string, stats: Stats, remedy: string): void {
  if (process.platform === "win32" || (stats.mode & 0o077) === 0) return;
  const mode = (stats.mode & 0o777).toString(8).padStart(3, "0");
  throw unusableBecause(
    path,
    `group or others have access to it (mode ${mode}), and only its owner should; ` +
      `run: ${remedy} "${path}"`,
  );
}

/** An error of the file system as `STATE_UNUSABLE`, in words where they are known. */
export function unusable(path: string, action: string, cause: unknown): TunnelError {
  const code = String(stateErrorCode(cause));
  const reason = REASONS[code] ?? (cause instanceof Error ? cause.message : "unknown failure");
  return new TunnelError("STATE_UNUSABLE", `Cannot ${action} "${path}": ${reason}`, { cause });
}

/** `STATE_UNUSABLE` for what is not as it should be. */
export function unusableBecause(path: string, problem: string): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot use "${path}": ${problem}`);
}

/** The system's code of a failure, such as `EEXIST`. */
export function stateErrorCode(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied (run this as the user that the folder belongs to)",
  EPERM: "permission denied (run this as the user that the folder belongs to)",
  ENOENT: "nothing can be made there (name another folder)",
  ENOTDIR: "a part of this path is a file, not a folder (move it away, or name another folder)",
  EROFS: "the file system is read-only (name another folder)",
  ENOSPC: "the disk is full (make room)",
};
