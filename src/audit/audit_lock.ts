/**
 * One writer per trail: a lock file beside it, made only when there is none, with the process that
 * holds it. A lock whose process is gone is taken over.
 *
 * Only who has claimed a dead lock may remove it. The name of a claim is made from the text of the lock,
 * and no two locks have the same text: whoever judged a lock long ago claims that one, sees that it is
 * no longer there, and removes nothing. A claim is a lock as well, and so is a claim of a dead claim.
 *
 * Process ids are used again, and so are host names of containers. Where the system tells when a
 * process started (Linux), that decides; elsewhere a process with the same id counts as the holder.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { link, open, readFile, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";

import { delay, systemClock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { AUDIT_LOCK_BYTES } from "../limits.ts";
import { NotRegularError, openRegular } from "../runtime/regular_file.ts";
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
    throw failed("create", lockPath, cause);
  } finally {
    await unlink(temporary).catch(() => {}); // perhaps it was never made
  }
}

/**
 * Removes a lock or a claim that was judged to be of a dead process, unless it is gone, or another is
 * at it.
 */
async function putAway(path: string, judged: string, me: Holder): Promise<void> {
  const claimPath = claimPathOf(path, judged);
  if (await create(claimPath, `${JSON.stringify(me)}\n`)) {
    try {
      // Nobody else removes a lock of this text while the claim is held.
      if (await readLock(path) === judged) await remove(path);
    } finally {
      await unlink(claimPath).catch(() => {}); // told at the next takeover of the same lock
    }
    return;
  }
  const found = await readLock(claimPath);
  const holder = found === undefined ? undefined : holderOf(found);
  // Left by one that was killed in these few lines; else it is at work, and done in a moment.
  if (holder !== undefined && !await isAlive(holder, me)) await putAway(claimPath, found!, me);
  else await delay(systemClock, TAKEOVER_POLL_MS, new AbortController().signal);
}

/** Where the lock with this text is claimed, to be removed. */
export function claimPathOf(path: string, text: string): string {
  const lockPath = path.replace(CLAIM, "");
  const digest = createHash("sha256").update(`${path === lockPath ? "" : path}\n${text}`);
  return `${lockPath}.${digest.digest("hex").slice(0, CLAIM_CHARS)}.takeover`;
}

/** So many that two never meet. */
const CLAIM_CHARS = 32;
const CLAIM = /\.[0-9a-f]{32}\.takeover$/;

async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (cause) {
    if (codeOf(cause) !== "ENOENT") throw failed("remove", path, cause); // else by hand, meanwhile
  }
}

async function release(lockPath: string, text: string): Promise<void> {
  if (await readLock(lockPath).catch(() => undefined) !== text) return;
  await unlink(lockPath).catch(() => {}); // someone already deleted it by hand
}

async function readLock(lockPath: string): Promise<string | undefined> {
  try {
    const file = await openRegular(lockPath);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(AUDIT_LOCK_BYTES), 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    // It is there, and names nobody.
    if (cause instanceof NotRegularError || codeOf(cause) === "EACCES") return "";
    throw failed("read", lockPath, cause);
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

function failed(action: string, path: string, cause: unknown): TunnelError {
  const text = `Cannot ${action} "${path}": ${writeReason(cause)}`;
  return new TunnelError("STATE_UNUSABLE", text, { cause });
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
