/**
 * One writer at a time, over all processes of one host: a file with who holds it.
 *
 * A process that was killed leaves its file behind. Whoever waits for it next takes it away, also when
 * another one was killed while it did: nothing must keep a leaked token from being revoked.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import process from "node:process";

import { delay, systemClock } from "../clock.ts";
import type { TunnelError } from "../errors.ts";
import { LOCK_POLL_MS, LOCK_WAIT_MS } from "../limits.ts";
import { LockFile } from "../runtime/lock_file.ts";
import { stateErrorCode, unusable, unusableBecause } from "./state_dir.ts";

/**
 * Runs `work` while no other process runs its own under the same lock.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when the lock is not free within 5 s.
 */
export async function withStateLock<T>(lockPath: string, work: () => Promise<T>): Promise<T> {
  const id = randomBytes(8).toString("hex");
  const lock = new LockFile(lockPath, {
    text: `${process.pid} ${hostname()} ${id}\n`,
    isDead,
    failed: (action, path, cause) => unusable(path, action, cause),
  });
  ownIds.add(id);
  try {
    await take(lock, lockPath);
    try {
      return await work();
    } finally {
      await lock.release();
    }
  } finally {
    ownIds.delete(id);
  }
}

async function take(lock: LockFile, lockPath: string): Promise<void> {
  const giveUpAtMs = systemClock.now() + LOCK_WAIT_MS;
  while (!await lock.take()) {
    const found = await lock.read();
    if (found === undefined) continue; // freed meanwhile
    if (systemClock.now() > giveUpAtMs) throw inUse(lockPath, found);
    if (isDead(found)) await lock.removeDead(found);
    else await delay(systemClock, LOCK_POLL_MS, NEVER);
  }
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Of this one lock: a process may hold several, and its number is used again after its end. */
  readonly id: string;
}

/** Of the locks that this process holds or is taking, and of its claims. */
const ownIds = new Set<string>();
const NEVER = new AbortController().signal;

function inUse(lockPath: string, text: string): TunnelError {
  const holder = holderOf(text);
  const who = holder === undefined
    ? "its process is not known"
    : `process ${holder.pid} on ${holder.host}`;
  return unusableBecause(
    lockPath,
    `another mcptun command has been writing for 5 s (${who}); if none is running, delete this file`,
  );
}

/** `undefined` when it is nobody's that is known. */
function holderOf(text: string): Holder | undefined {
  const [, pid, host, id] = /^([1-9]\d{0,9}) (\S{1,255}) ([0-9a-f]{16})\n$/.exec(text) ?? [];
  if (pid === undefined || host === undefined || id === undefined) return undefined;
  return { pid: Number(pid), host, id };
}

/** Processes of another host, or of another container, cannot be seen from here. */
function isDead(text: string): boolean {
  const holder = holderOf(text);
  if (holder === undefined || holder.host !== hostname()) return false;
  if (holder.pid === process.pid) return !ownIds.has(holder.id);
  try {
    process.kill(holder.pid, 0); // asks only
    return false;
  } catch (cause) {
    return stateErrorCode(cause) === "ESRCH"; // EPERM: it lives, and is another user's
  }
}
