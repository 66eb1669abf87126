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
import process from "node:process";

import { delay, systemClock } from "../clock.ts";
import { TunnelError } from "../errors.ts";

/** Largest state file read, bytes: 100,000 credentials of usual size fit. */
const MAX_STATE_FILE_BYTES = 32 * 1_024 * 1_024;
/** Time to wait for another process to finish writing, ms. A write takes a few. */
const LOCK_WAIT_MS = 5_000;
const LOCK_POLL_MS = 10;

/**
 * Makes the directory, or checks that the one there is private.
 *
 * @throws {TunnelError} `STATE_UNUSABLE`
 */
export async function prepareStateDir(stateDir: string): Promise<void> {
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw unusable(stateDir, "create", cause);
  }
  const stats = await stat(stateDir).catch((cause) => {
    throw unusable(stateDir, "read", cause);
  });
  if (!stats.isDirectory()) throw unusableBecause(stateDir, "it is not a directory");
  refuseShared(stateDir, stats, "chmod 700");
}

/**
 * Reads a private file.
 *
 * @returns `undefined` when there is none.
 * @throws {TunnelError} `STATE_UNUSABLE`, also when group or others have access to it.
 */
export async function readStateFile(path: string): Promise<string | undefined> {
  let file;
  try {
    file = await open(path, "r");
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw unusable(path, "read", cause);
  }
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw unusableBecause(path, "it is not a regular file");
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
    if (codeOf(cause) === "EEXIST") return "exists";
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

/**
 * Runs `work` while no other process runs its own under the same lock.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when the lock is not free within 5 s.
 */
export async function withStateLock<T>(lockPath: string, work: () => Promise<T>): Promise<T> {
  const giveUpAtMs = systemClock.now() + LOCK_WAIT_MS;
  for (;;) {
    if (await takeLock(lockPath)) break;
    if (systemClock.now() > giveUpAtMs) {
      throw unusableBecause(
        lockPath,
        "another mcptun command has been writing for 5 s; if none is running, delete this file",
      );
    }
    await delay(systemClock, LOCK_POLL_MS, NEVER);
  }
  try {
    return await work();
  } finally {
    await unlink(lockPath).catch(() => {}); // someone already deleted it by hand
  }
}

/** The error for a state file whose content is wrong. Nothing is repaired or replaced by itself. */
export function corruptStateFile(path: string, problem: string, remedy: string): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot use "${path}": ${problem} (${remedy})`);
}

const NEVER = new AbortController().signal;

async function takeLock(lockPath: string): Promise<boolean> {
  try {
    await (await open(lockPath, "wx", 0o600)).close();
    return true;
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false;
    throw unusable(lockPath, "create", cause);
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

function unusable(path: string, action: string, cause: unknown): TunnelError {
  return new TunnelError(
    "STATE_UNUSABLE",
    `Cannot ${action} "${path}": ${cause instanceof Error ? cause.message : "unknown failure"}`,
    { cause },
  );
}

function unusableBecause(path: string, problem: string): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot use "${path}": ${problem}`);
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
