/**
 * Where records wait for the disk: gathers them into writes, tries again when the disk fails, says so
 * loudly, and counts what found no room.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";
import {
  AUDIT_BUSY_BYTES,
  AUDIT_FLUSH_BYTES,
  AUDIT_FLUSH_MS,
  AUDIT_QUEUE_BYTES,
  AUDIT_RETRY_MS,
  AUDIT_STALL_MS,
  AUDIT_SYNC_MS,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import type { AuditTrail } from "./audit_trail.ts";
import { lostBody } from "./marker_line.ts";
import type { AuditRecord, AuditSink } from "./record.ts";
import { recordBody } from "./record_line.ts";
import type { TrailHead } from "./trail_head.ts";
import { writeReason } from "./write_reason.ts";

/** How records are written. */
export interface WriterOptions {
  readonly trail: AuditTrail;
  readonly path: string;
  readonly edge: string;
  /** What happens to new exchanges while records cannot be written. */
  readonly onFailure: "block" | "continue";
  /** `batch`: written within `AUDIT_FLUSH_MS`. `always`: written and on the disk before it is told. */
  readonly sync: "batch" | "always";
  readonly intent: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Notes what is signed and on the disk. */
  readonly saveHead: (head: TrailHead) => Promise<void>;
  /** Most that may wait, bytes; tests give less. */
  readonly queueBytes?: number;
}

/** What a writer has done. */
export interface AuditStats {
  /** Records since the start of the chain, in files. */
  readonly records: number;
  /** Records that wait. */
  readonly waiting: number;
  readonly waitingBytes: number;
  /** Records of this run that were lost. */
  readonly lost: number;
  /** Number of the current file. */
  readonly file: number;
  readonly fileBytes: number;
}

interface Waiter {
  /** Done when this many bodies are. */
  readonly after: number;
  readonly resolve: (isWritten: boolean) => void;
}

/** The sink of an edge. */
export class AuditWriter implements AuditSink {
  readonly #options: WriterOptions;
  readonly #queueBytes: number;
  #queue: string[] = [];
  /** UTF-16 units, which is bytes for nearly all of them. */
  #waitingBytes = 0;
  #taken = 0;
  #done = 0;
  #waiters: Waiter[] = [];
  #lost = 0;
  #untoldLost = 0;
  #lostSinceMs = 0;
  #failure: string | undefined;
  #triedAtMs: number | undefined;
  #flushTimer: Timer | undefined;
  #tick: Timer | undefined;
  #pumping: Promise<void> | undefined;
  #isAsked = false;
  #syncing: Promise<void> | undefined;
  #syncedAtMs = Number.NEGATIVE_INFINITY;
  #savedHead: TrailHead | undefined;
  #savingHead: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  /** @param options Its trail is open. */
  constructor(options: WriterOptions) {
    this.#options = options;
    this.#queueBytes = options.queueBytes ?? AUDIT_QUEUE_BYTES;
    this.#savedHead = options.trail.head;
    this.#waitForTick();
    this.#pump();
  }

  blockedBy(): string | undefined {
    return this.#options.onFailure === "block" ? this.problem() : undefined;
  }

  /** What keeps records from being written, for `/readyz`, whatever is done about it. */
  problem(): string | undefined {
    const { path, clock } = this.#options;
    if (this.#failure !== undefined) return this.#failure;
    if (this.#closed !== undefined) return `The audit trail "${path}" is closed`;
    if (this.#triedAtMs !== undefined && clock.now() - this.#triedAtMs > AUDIT_STALL_MS) {
      return `Cannot write to "${path}": the disk does not answer`;
    }
    if (this.#waitingBytes > Math.min(AUDIT_BUSY_BYTES, this.#queueBytes / 2)) {
      return `Cannot write to "${path}" as fast as records come`;
    }
    return undefined;
  }

  get stats(): AuditStats {
    const { trail } = this.#options;
    return {
      records: trail.state.records,
      waiting: this.#queue.length,
      waitingBytes: this.#waitingBytes,
      lost: this.#lost,
      file: trail.state.file,
      fileBytes: trail.bytes,
    };
  }

  write(record: AuditRecord): void {
    this.#take(record);
  }

  intent(record: AuditRecord): Promise<boolean> | undefined {
    if (!this.#options.intent) return undefined;
    const mayGoOn = this.#options.onFailure === "continue";
    // It waits for the disk all the same, and says later what was asked for.
    if (!this.#take(record) || this.problem() !== undefined) return Promise.resolve(mayGoOn);
    const told = this.#told(mayGoOn);
    this.#pump();
    return told;
  }

  /** Writes what waits now. Resolves when it was tried. */
  async flush(): Promise<void> {
    this.#pump();
    await this.#pumping;
    await this.#syncing;
    await this.#savingHead;
  }

  /** Looks whether the path leads to another file, or none, and goes on there: for SIGHUP. */
  async reopen(): Promise<void> {
    this.#options.trail.lookNow();
    await this.flush();
  }

  /** Writes what waits and a last checkpoint, and ends. Idempotent; never rejects. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #take(record: AuditRecord): boolean {
    const { clock, log, sync } = this.#options;
    if (this.#closed !== undefined) {
      this.#lose("The audit trail is closed, a record is lost");
      return false;
    }
    let body: string;
    try {
      body = recordBody(record);
      // Looking at it makes one piece of the many that it was put together from (V8): 64 MiB that wait
      // took 308 MiB of memory without it, and 66 with it (Node 20).
      if (body.charCodeAt(0) !== OPEN_BRACE) throw new TypeError("Cannot write what is no object");
    } catch (error) {
      log.error("Cannot write a record of the audit trail", { error: String(error) });
      this.#lose("A record of the audit trail is lost");
      return false;
    }
    if (this.#waitingBytes + body.length > this.#queueBytes) {
      this.#lose("Records of the audit trail are lost: too many wait for the disk");
      return false;
    }
    this.#tellLost();
    this.#enqueue(body);
    if (this.#failure !== undefined) return true; // the tick tries again
    if (sync === "always" || this.#waitingBytes >= AUDIT_FLUSH_BYTES) this.#pump();
    else {
      this.#flushTimer ??= clock.setTimer(AUDIT_FLUSH_MS, () => {
        this.#flushTimer = undefined;
        this.#pump();
      }, "no");
    }
    return true;
  }

  #enqueue(body: string): void {
    this.#queue.push(body);
    this.#waitingBytes += body.length;
    this.#taken++;
  }

  #lose(message: string): void {
    const { log, path, clock } = this.#options;
    if (this.#untoldLost === 0) {
      this.#lostSinceMs = clock.wallNow();
      log.error(message, { file: path });
    }
    this.#untoldLost++;
    this.#lost++;
  }

  /** Puts the number of lost records where they are missing. */
  #tellLost(): void {
    if (this.#untoldLost === 0) return;
    const { edge, clock } = this.#options;
    this.#enqueue(lostBody({
      edge,
      wallMs: clock.wallNow(),
      sinceMs: this.#lostSinceMs,
      count: this.#untoldLost,
    }));
    this.#untoldLost = 0;
  }

  /** A disk that does not answer is one that fails: exchanges must not wait for it for ever. */
  #told(otherwise: boolean): Promise<boolean> {
    return new Promise((resolve) => {
      const tell = (isWritten: boolean): void => {
        timer.cancel();
        resolve(isWritten || otherwise);
      };
      const timer = this.#options.clock.setTimer(AUDIT_STALL_MS, () => tell(false), "no");
      this.#waiters.push({ after: this.#taken, resolve: tell });
    });
  }

  #tell(isWritten: boolean): void {
    if (this.#waiters.length === 0) return;
    const ready = isWritten
      ? this.#waiters.filter(({ after }) => after <= this.#done)
      : this.#waiters;
    this.#waiters = isWritten ? this.#waiters.filter(({ after }) => after > this.#done) : [];
    for (const { resolve } of ready) resolve(isWritten);
  }

  #waitForTick(): void {
    this.#tick = this.#options.clock.setTimer(AUDIT_RETRY_MS, () => {
      const { trail, clock } = this.#options;
      const isSyncDue = trail.isDirty && clock.now() - this.#syncedAtMs >= AUDIT_SYNC_MS;
      const isWaiting = this.#queue.length > 0 || this.#untoldLost > 0;
      if (isWaiting || isSyncDue || trail.isDue) this.#pump();
      this.#waitForTick();
    }, "no");
  }

  /** Writes until nothing waits, or fails; one at a time. */
  #pump(): void {
    this.#isAsked = true;
    this.#pumping ??= this.#run();
  }

  async #run(): Promise<void> {
    // What comes within this turn of the event loop goes into one write, and one fsync.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#isAsked) {
      this.#isAsked = false;
      this.#flushTimer?.cancel();
      this.#flushTimer = undefined;
      if (!await this.#drain()) break;
    }
    // Here and not in a `finally` of the caller: whoever asks between the two would not be heard.
    this.#pumping = undefined;
  }

  /** @returns False when the disk failed. */
  async #drain(): Promise<boolean> {
    const { trail, sync, clock } = this.#options;
    try {
      for (;;) {
        this.#triedAtMs = clock.now();
        const count = await trail.flush(this.#queue);
        if (sync === "always") await this.#syncNow();
        this.#saveHead(); // a rotation has brought one to the disk
        this.#consume(count);
        this.#tell(true);
        if (this.#queue.length === 0 && !trail.isDue) {
          if (this.#untoldLost === 0) break;
          this.#tellLost();
        }
      }
      this.#recovered();
    } catch (error) {
      this.#failed(error);
      return false;
    } finally {
      this.#triedAtMs = undefined;
    }
    if (sync === "batch") this.#syncLater();
    return true;
  }

  #consume(count: number): void {
    if (count === 0) return;
    for (let at = 0; at < count; at++) this.#waitingBytes -= this.#queue[at]!.length; // it was there
    if (count === this.#queue.length) this.#queue = [];
    else this.#queue.splice(0, count);
    this.#done += count;
  }

  async #syncNow(): Promise<void> {
    const { trail, clock } = this.#options;
    if (!trail.isDirty) return;
    await trail.sync();
    this.#saveHead();
    this.#syncedAtMs = clock.now();
  }

  /** Nobody waits for it: writes go on meanwhile. */
  #syncLater(): void {
    const { trail, clock } = this.#options;
    const isDue = trail.isDirty && clock.now() - this.#syncedAtMs >= AUDIT_SYNC_MS;
    if (!isDue || this.#syncing !== undefined) return;
    this.#syncing = this.#syncNow()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => this.#syncing = undefined);
  }

  #saveHead(): void {
    const { trail, saveHead, log } = this.#options;
    const { head } = trail;
    if (head === undefined || head === this.#savedHead) return;
    this.#savedHead = head;
    this.#savingHead = this.#savingHead.then(() =>
      saveHead(head).catch((error: unknown) => {
        log.error("Cannot note what is signed of the audit trail", { error: String(error) });
      })
    );
  }

  #failed(error: unknown): void {
    const { path, log, onFailure } = this.#options;
    const reason = writeReason(error);
    const text = `Cannot write to "${path}": ${reason}`;
    if (this.#failure === undefined) {
      const then = onFailure === "block" ? "new exchanges are refused" : "exchanges go on";
      log.error(`Cannot write the audit trail, ${then}`, { file: path, reason });
    }
    this.#failure = text;
    this.#tell(false);
  }

  #recovered(): void {
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.#options.log.info("The audit trail can be written again", {
      file: this.#options.path,
      lost: this.#lost,
    });
  }

  async #close(): Promise<void> {
    const { trail, log, path } = this.#options;
    this.#tick?.cancel();
    await this.#pumping;
    this.#tellLost();
    this.#pump();
    await this.#pumping;
    this.#flushTimer?.cancel();
    await this.#syncing;
    try {
      if (this.#queue.length === 0) {
        await trail.seal();
        this.#saveHead();
      }
    } catch (error) {
      this.#failed(error);
    }
    if (this.#queue.length > 0) {
      log.error("Records of the audit trail could not be written", {
        file: path,
        records: this.#queue.length,
        reason: this.#failure,
      });
    }
    this.#tell(false);
    await trail.close();
    await this.#savingHead;
  }
}

const OPEN_BRACE = 0x7b;
