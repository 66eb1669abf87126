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
import { link, open, readFile, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";

import { delay, systemClock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { AUDIT_LOCK_BYTES } from "../limits.ts";

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
  const text = `${JSON.stringify(me)}\n`;
  for (let tries = 0; tries < TRIES; tries++) {
    if (await create(lockPath, text)) return { release: () => release(lockPath, text) };
    const found = await readLock(lockPath);
    if (found === undefined) continue; // freed meanwhile
    const holder = holderOf(found);
    if (holder === undefined) throw inUse(path, lockPath, "of a process that it does not name");
    if (await isAlive(holder, me)) {
      const where = holder.host === me.host ? "" : ` on ${JSON.stringify(holder.host)}`;
      throw inUse(path, lockPath, `of process ${holder.pid}${where}`);
    }
    await putAway(lockPath, found, me);
  }
  throw inUse(path, lockPath, "of processes that come and go");
}

/** More than there are processes that want one trail at once; a takeover takes a millisecond. */
const TRIES = 100;
const TAKEOVER_POLL_MS = 10;

/** A reader never sees half a lock: it appears whole, by `link`, which fails when there is one. */
async function create(lockPath: string, text: string): Promise<boolean> {
  const temporary = `${lockPath}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    await link(temporary, lockPath);
    return true;
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false;
    const reason = cause instanceof Error ? cause.message : "unknown failure";
    throw new TunnelError("STATE_UNUSABLE", `Cannot create "${lockPath}": ${reason}`, { cause });
  } finally {
    await unlink(temporary).catch(() => {}); // perhaps it was never made
  }
}

/**
 * Removes a lock that was judged, and no other that came in its place meanwhile: who removes one holds
 * a second file while looking again, so that nobody else removes anything between look and removal.
 */
async function putAway(lockPath: string, judged: string, me: Holder): Promise<void> {
  const guardPath = `${lockPath}.takeover`;
  const guard = `${JSON.stringify(me)}\n`;
  if (!await create(guardPath, guard)) {
    const found = await readLock(guardPath);
    const holder = found === undefined ? undefined : holderOf(found);
    // Left by one that was killed in these few lines; else it is at work, and done in a moment.
    if (holder !== undefined && !await isAlive(holder, me)) await unlink(guardPath).catch(() => {});
    else await delay(systemClock, TAKEOVER_POLL_MS, new AbortController().signal);
    return;
  }
  try {
    if (await readLock(lockPath) === judged) await unlink(lockPath);
  } finally {
    await unlink(guardPath).catch(() => {}); // told at the next takeover
  }
}

async function release(lockPath: string, text: string): Promise<void> {
  if (await readLock(lockPath).catch(() => undefined) !== text) return;
  await unlink(lockPath).catch(() => {}); // someone already deleted it by hand
}

async function readLock(lockPath: string): Promise<string | undefined> {
  try {
    return (await readFile(lockPath, "utf8")).slice(0, AUDIT_LOCK_BYTES);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw cause;
  }
}

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

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
