/**
 * One writer at a time, over all processes of one host: a file with who holds it.
 *
 * A process that was killed leaves its file behind. Whoever waits for it next takes it away: nothing
 * must keep a leaked token from being revoked.
 *
 * @module
 */

import { link, unlink, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import process from "node:process";

import { delay, systemClock } from "../clock.ts";
import { LOCK_POLL_MS, LOCK_WAIT_MS } from "../limits.ts";
import { openRegular } from "../runtime/regular_file.ts";
import { stateErrorCode, unusable, unusableBecause } from "./state_dir.ts";

/**
 * Runs `work` while no other process runs its own under the same lock.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when the lock is not free within 5 s.
 */
export async function withStateLock<T>(lockPath: string, work: () => Promise<T>): Promise<T> {
  const giveUpAtMs = systemClock.now() + LOCK_WAIT_MS;
  let lock: Lock | undefined;
  while ((lock = await takeLock(lockPath)) === undefined) {
    if (await removeDead(lockPath)) continue;
    if (systemClock.now() > giveUpAtMs) {
      const holder = await readHolder(lockPath);
      throw unusableBecause(
        lockPath,
        `another mcptun command has been writing for 5 s (${
          holder === undefined
            ? "its process is not known"
            : `process ${holder.pid} on ${holder.host}`
        }); if none is running, delete this file`,
      );
    }
    await delay(systemClock, LOCK_POLL_MS, NEVER);
  }
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

interface Lock {
  /** Never rejects. */
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Of this one lock: a process may hold several, and its number is used again after its end. */
  readonly id: string;
}

/** Of the locks that this process holds or is taking. */
const ownIds = new Set<string>();
const NEVER = new AbortController().signal;

/** By `link`: the file is there with its holder, or not at all. */
async function takeLock(lockPath: string): Promise<Lock | undefined> {
  const id = randomBytes(8).toString("hex");
  const temporary = `${lockPath}.${id}.tmp`;
  ownIds.add(id);
  try {
    await writeFile(temporary, `${process.pid} ${hostname()} ${id}\n`, { flag: "wx", mode: 0o600 });
    await link(temporary, lockPath);
    return {
      async release() {
        await unlink(lockPath).catch(() => {}); // someone already deleted it by hand
        ownIds.delete(id);
      },
    };
  } catch (cause) {
    ownIds.delete(id);
    if (stateErrorCode(cause) === "EEXIST") return undefined;
    throw unusable(lockPath, "create", cause);
  } finally {
    await unlink(temporary).catch(() => {}); // perhaps it was never made
  }
}

/**
 * Takes the lock of a dead process away, under a lock of its own: of two that saw the same dead
 * holder, the second must not take away what the first has taken meanwhile.
 *
 * @returns Whether it did.
 */
async function removeDead(lockPath: string): Promise<boolean> {
  if (!isDead(await readHolder(lockPath))) return false;
  const guard = await takeLock(`${lockPath}.takeover`);
  if (guard === undefined) return false;
  try {
    // Only its holder or whoever has the guard takes a lock away, and its holder is dead.
    if (!isDead(await readHolder(lockPath))) return false;
    await unlink(lockPath);
    return true;
  } catch (cause) {
    if (stateErrorCode(cause) === "ENOENT") return true; // someone deleted it by hand
    throw unusable(lockPath, "remove", cause);
  } finally {
    await guard.release();
  }
}

/** `undefined` when it is gone, or nobody's that is known. */
async function readHolder(lockPath: string): Promise<Holder | undefined> {
  const text = await textOf(lockPath).catch(() => ""); // gone: the next try takes it
  const [, pid, host, id] = /^([1-9]\d{0,9}) (\S{1,255}) ([0-9a-f]{16})\n$/.exec(text) ?? [];
  if (pid === undefined || host === undefined || id === undefined) return undefined;
  return { pid: Number(pid), host, id };
}

async function textOf(lockPath: string): Promise<string> {
  const file = await openRegular(lockPath);
  try {
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** Processes of another host, or of another container, cannot be seen from here. */
function isDead(holder: Holder | undefined): boolean {
  if (holder === undefined || holder.host !== hostname()) return false;
  if (holder.pid === process.pid) return !ownIds.has(holder.id);
  try {
    process.kill(holder.pid, 0); // asks only
    return false;
  } catch (cause) {
    return stateErrorCode(cause) === "ESRCH"; // EPERM: it lives, and is another user's
  }
}
