/**
 * A lock that is a file: it is there or not, with the text of who holds it, and stays when its process
 * is killed.
 *
 * Only who has claimed a dead lock may remove it. The name of a claim is made from the text of the lock,
 * and no two locks have the same text: whoever judged a lock long ago claims that one, sees that it is
 * no longer there, and removes nothing. A claim is a lock as well, and so is a claim of a dead claim:
 * wherever a process is killed, the next one gets on.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { link, open, unlink } from "node:fs/promises";

import { delay, systemClock } from "../clock.ts";
import { LOCK_FILE_BYTES, LOCK_POLL_MS } from "../limits.ts";
import { NotRegularError, openRegular } from "./regular_file.ts";

/** Who wants a lock, and what it knows of others. */
export interface LockOwner {
  /** Of this owner alone, ever. */
  readonly text: string;
  /** Is the process that wrote this gone? Where nobody can tell, it is not. */
  isDead(text: string): boolean | Promise<boolean>;
  /** What is thrown when the system refuses. */
  failed(action: "create" | "read" | "remove", path: string, cause: unknown): Error;
}

/** One lock, as its owner uses it. */
export class LockFile {
  readonly #path: string;
  readonly #owner: LockOwner;

  constructor(path: string, owner: LockOwner) {
    this.#path = path;
    this.#owner = owner;
  }

  /**
   * A reader never sees half a lock: it appears whole, by `link`, which fails when there is one.
   *
   * @returns false when there is one.
   */
  async take(): Promise<boolean> {
    const temporary = `${this.#path}.${randomBytes(8).toString("hex")}.tmp`;
    try {
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(this.#owner.text);
      } finally {
        await file.close();
      }
      await link(temporary, this.#path);
      return true;
    } catch (cause) {
      if (codeOf(cause) === "EEXIST") return false;
      throw this.#owner.failed("create", this.#path, cause);
    } finally {
      await unlink(temporary).catch(() => {}); // perhaps it was never made
    }
  }

  /** @returns The text of who holds it; `undefined` when nobody does, `""` when it names nobody. */
  async read(): Promise<string | undefined> {
    try {
      const file = await openRegular(this.#path);
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(LOCK_FILE_BYTES), 0);
        return buffer.toString("utf8", 0, bytesRead);
      } finally {
        await file.close();
      }
    } catch (cause) {
      if (codeOf(cause) === "ENOENT") return undefined;
      if (cause instanceof NotRegularError || codeOf(cause) === "EACCES") return "";
      throw this.#owner.failed("read", this.#path, cause);
    }
  }

  /**
   * Removes the lock if it still is the one that was judged to be of a dead process. While another
   * process is at it, this waits a moment and does nothing.
   */
  async removeDead(judged: string): Promise<void> {
    const claim = new LockFile(claimPathOf(this.#path, judged), this.#owner);
    if (await claim.take()) {
      try {
        // Nobody else removes a lock of this text while the claim is held.
        if (await this.read() === judged) await this.#remove();
      } finally {
        await claim.release();
      }
      return;
    }
    const found = await claim.read();
    // Left by one that was killed in these few lines; else it is at work, and done in a moment.
    if (found !== undefined && await this.#owner.isDead(found)) await claim.removeDead(found);
    else await delay(systemClock, LOCK_POLL_MS, NEVER);
  }

  /** Frees it, unless it is someone else's by now. Idempotent; never rejects. */
  async release(): Promise<void> {
    if (await this.read().catch(() => undefined) !== this.#owner.text) return;
    await unlink(this.#path).catch(() => {}); // someone already deleted it by hand
  }

  async #remove(): Promise<void> {
    try {
      await unlink(this.#path);
    } catch (cause) {
      if (codeOf(cause) === "ENOENT") return; // by hand, meanwhile
      throw this.#owner.failed("remove", this.#path, cause);
    }
  }
}

/** Where the lock with this text is claimed, to be removed. */
export function claimPathOf(path: string, text: string): string {
  const lockPath = path.replace(CLAIM, "");
  // A claim of a claim has a name as long as that of a claim.
  const digest = createHash("sha256").update(`${path === lockPath ? "" : path}\n${text}`);
  return `${lockPath}.${digest.digest("hex").slice(0, CLAIM_CHARS)}.takeover`;
}

/** So many that two never meet. */
const CLAIM_CHARS = 32;
const CLAIM = /\.[0-9a-f]{32}\.takeover$/;
const NEVER = new AbortController().signal;

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
