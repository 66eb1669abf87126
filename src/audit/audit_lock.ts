/**
 * One writer per trail: a lock file beside it, made only when there is none, with the process that
 * holds it. A lock whose process is gone is taken over.
 *
 * Process ids are used again, and so are host names of containers. Where the system tells when a
 * process started (Linux), that decides; elsewhere a process with the same id counts as the holder.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";

import { TunnelError } from "../errors.ts";
import { LockFile } from "../runtime/lock_file.ts";
import { writeReason } from "./write_reason.ts";

/** Who holds a lock. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** What the system says of when the process started; `""` where it says nothing. */
  readonly started: string;
  /** Tells two locks of one process apart. */
  readonly nonce: string;
}

/** A lock that is held. */
export interface AuditLock {
  /** Frees it, unless it is someone else's by now. Idempotent; never rejects. */
  release(): Promise<void>;
}

/**
 * Takes the lock of the trail at `path`.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when another process has it, with its id, or when the lock
 *   file cannot be made.
 */
export async function lockTrail(path: string): Promise<AuditLock> {
  const lockPath = `${path}.lock`;
  const me: Holder = {
    pid: process.pid,
    host: hostname(),
    started: await startOf(process.pid),
    nonce: randomBytes(8).toString("hex"),
  };
  const lock = new LockFile(lockPath, {
    text: `${JSON.stringify(me)}\n`,
    async isDead(text) {
      const holder = holderOf(text);
      return holder !== undefined && !await isAlive(holder, me);
    },
    failed,
  });
  for (let tries = 0; tries < TRIES; tries++) {
    if (await lock.take()) return lock;
    const found = await lock.read();
    if (found === undefined) continue; // freed meanwhile
    const holder = holderOf(found);
    if (holder === undefined) throw inUse(path, lockPath, "of a process that it does not name");
    if (await isAlive(holder, me)) {
      const where = holder.host === me.host ? "" : ` on ${JSON.stringify(holder.host)}`;
      throw inUse(path, lockPath, `of process ${holder.pid}${where}`);
    }
    await lock.removeDead(found);
  }
  throw inUse(path, lockPath, "of processes that come and go");
}

/** More than there are processes that want one trail at once; a takeover takes a millisecond. */
const TRIES = 100;

function holderOf(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    const { pid, host, started, nonce } = value ?? {};
    if (!Number.isSafeInteger(pid) || typeof host !== "string" || typeof started !== "string") {
      return undefined;
    }
    return { pid: pid!, host, started, nonce: String(nonce) };
  } catch {
    // Not one of ours; the complaint names the file.
    return undefined;
  }
}

async function isAlive(holder: Holder, me: Holder): Promise<boolean> {
  if (holder.host !== me.host) return true; // nobody here can tell
  if (holder.pid === me.pid && holder.started === me.started) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (cause) {
    // Else it is another user's, which is alive.
    if (codeOf(cause) === "ESRCH") return false;
  }
  const started = await startOf(holder.pid);
  return holder.started === "" || started === "" || started === holder.started;
}

/** Boot and time of start: unique on one kernel. `""` where the system does not say. */
async function startOf(pid: number): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything; field 22 is the 20th behind it (proc_pid_stat(5)).
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return ticks === undefined ? "" : `${boot.trim()} ${ticks}`;
  } catch {
    // Not Linux, or not to be seen: the id alone decides.
    return "";
  }
}

function inUse(path: string, lockPath: string, whose: string): TunnelError {
  return new TunnelError(
    "STATE_UNUSABLE",
    `Cannot write to "${path}": it is the audit trail ${whose} (give this edge another audit.file, ` +
      `or stop the other; if none is running, delete "${lockPath}")`,
  );
}

function failed(action: string, path: string, cause: unknown): TunnelError {
  const text = `Cannot ${action} "${path}": ${writeReason(cause)}`;
  return new TunnelError("STATE_UNUSABLE", text, { cause });
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
