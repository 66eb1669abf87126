/**
 * The chain of lines and the file it is in: opens and goes on with a file, puts lines together with
 * the hashes and signatures that hold them, rotates, and removes what is older than is kept.
 *
 * Knows nothing of waiting and retrying: one call at a time, each either does its work or rejects
 * and may be made again.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { lstat, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

import type { Clock } from "../clock.ts";
import { AUDIT_CHECKPOINT_MS, AUDIT_RETRY_MS, AUDIT_WRITE_BYTES } from "../limits.ts";
import type { Logger } from "../log.ts";
import { rotatedFiles, rotatedPath } from "./file_names.ts";
import type { LineSink, OpenSink } from "./file_sink.ts";
import { type FileTail, hasLine, readTail } from "./file_tail.ts";
import {
  type ChainState,
  type Checkpoint,
  checkpointBody,
  checkpointLine,
  lineHash,
  openLine,
  signedText,
} from "./marker_line.ts";
import { closeLine } from "./record_line.ts";
import type { SigningKey } from "./signing_key.ts";
import type { TrailHead } from "./trail_head.ts";

/** What a trail is kept by. */
export interface TrailOptions {
  readonly path: string;
  readonly edge: string;
  /** A file is rotated before it grows above this. */
  readonly rotateBytes: number;
  /** And when it is this old; 0: never. */
  readonly rotateMs: number;
  /** Rotated files that are kept; 0: all. */
  readonly keepFiles: number;
  /** How long they are kept; 0: for ever. */
  readonly keepMs: number;
  /** Records after which a checkpoint is written. */
  readonly checkpointRecords: number;
  readonly key: SigningKey;
  /** What was signed last, as the state directory remembers it. */
  readonly head: TrailHead | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly openSink: OpenSink;
}

/** Lines that go to the file in one write. */
interface Batch {
  readonly text: string;
  /** Bodies of the queue that are in it. */
  readonly bodies: number;
  readonly bytes: number;
  /** Where each line ends. */
  readonly marks: readonly Mark[];
  /** The chain before it. */
  readonly before: ChainState;
  /** `written` of the sink before it. */
  readonly from: number;
  /** Its last checkpoint. */
  readonly head: TrailHead | undefined;
}

/** The end of a line in a batch: bytes and bodies up to there, and what the chain is then. */
interface Mark {
  readonly bytes: number;
  readonly bodies: number;
  readonly records: number;
  readonly prev: string;
}

/** See the module's comment. */
export class AuditTrail {
  readonly #options: TrailOptions;
  #state: ChainState;
  #sink: LineSink | undefined;
  /** Composed, and not known to be written whole. */
  #batch: Batch | undefined;
  /** Goes before the next line: the `open` line, and what ends a torn one. */
  #lead = "";
  /** The chain before that line. */
  #beforeLead: ChainState;
  #isStarted = false;
  #bytes = 0;
  #begunMs = 0;
  #fileRecords = 0;
  #isSealed = false;
  #isFull = false;
  /** Records when the last checkpoint was composed, and since when there are more. */
  #signedRecords = 0;
  #unsignedSinceMs: number | undefined;
  #unsyncedHead: TrailHead | undefined;
  #syncedHead: TrailHead | undefined;
  #lookedAtMs: number;
  #dirtySinceSync = false;

  constructor(options: TrailOptions) {
    this.#options = options;
    const { head, edge } = options;
    this.#syncedHead = head;
    this.#lookedAtMs = options.clock.now();
    this.#state = head === undefined
      ? { edge, file: 0, first: 1, records: 0, prev: undefined }
      : { edge, file: head.file, first: head.first, records: head.records, prev: head.hash };
    this.#beforeLead = this.#state;
  }

  /** Where the chain is. */
  get state(): ChainState {
    return this.#state;
  }

  /** Bytes of the current file. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The last checkpoint that is on the disk. */
  get head(): TrailHead | undefined {
    return this.#syncedHead;
  }

  /** Is there something written that no {@link sync} has followed? */
  get isDirty(): boolean {
    return this.#dirtySinceSync;
  }

  /** Opens the file, or begins one. @throws {TunnelError} `STATE_UNUSABLE`, or the system's error. */
  async open(): Promise<void> {
    const { path, openSink } = this.#options;
    const stats = await lstat(path).catch((cause) => {
      if (codeOf(cause) === "ENOENT") return undefined;
      throw cause;
    });
    const sink = openSink(path, stats === undefined ? "create" : "append");
    try {
      const tail = sink.size === 0 ? undefined : await readTail(path);
      if (tail?.chain === undefined) {
        await this.#tellGone();
        await this.#adoptNewestRotated();
      }
      this.#goOn(sink, tail, await this.#isMissing(tail));
    } catch (cause) {
      await sink.close();
      throw cause;
    }
    if (stats === undefined) await syncFolder(path);
  }

  /** Is there anything to do besides writing what waits? */
  get isDue(): boolean {
    return this.#batch !== undefined || this.#lead !== "" || this.#isRotationDue() ||
      this.#isCheckpointDue() ||
      this.#options.clock.now() - this.#lookedAtMs >= AUDIT_RETRY_MS;
  }

  /** Looks at the next call whether the path still leads to the file. */
  lookNow(): void {
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Writes what comes first of `queue`, as much as one write takes.
   *
   * @returns How many of them are in the file now. Rejects with the system's error; the next call
   *   goes on where this one stopped.
   */
  async flush(queue: readonly string[]): Promise<number> {
    const { clock } = this.#options;
    if (clock.now() - this.#lookedAtMs >= AUDIT_RETRY_MS) {
      const written = await this.#look();
      if (written > 0) return written;
    }
    if (this.#batch !== undefined) return await this.#finish();
    if (this.#sink === undefined) await this.open();
    if (this.#isRotationDue()) {
      await this.#rotate();
      return 0;
    }
    return await this.#write(this.#compose(queue, this.#isCheckpointDue() ? "count" : undefined));
  }

  /** Brings what was written to the disk, and moves the {@link head}. */
  async sync(): Promise<void> {
    if (this.#sink === undefined) return;
    const head = this.#unsyncedHead;
    this.#dirtySinceSync = false;
    try {
      await this.#sink.sync();
    } catch (cause) {
      this.#dirtySinceSync = true;
      throw cause;
    }
    this.#syncedHead = head ?? this.#syncedHead;
  }

  /** Writes the last checkpoint. Rejects with the system's error. */
  async seal(): Promise<void> {
    if (this.#batch !== undefined) await this.#finish();
    if (this.#sink === undefined) await this.open();
    await this.#write(this.#compose([], "end"));
    await this.sync();
  }

  /** Closes the file as it is. Idempotent; never rejects. */
  async close(): Promise<void> {
    await this.#sink?.close();
    this.#sink = undefined;
  }

  /** At the start, without a file that the chain goes on in: is the one here that was signed last? */
  async #tellGone(): Promise<void> {
    const { path, head, log } = this.#options;
    if (this.#isStarted || head === undefined || head.records === 0) return;
    const file = (await rotatedFiles(path)).find(({ number }) => number === head.file);
    // What cannot be read is told of as well, and does not keep the edge from starting.
    if (file !== undefined && await hasLine(file.path, head.hash).catch(() => false)) return;
    log.error("The audit trail lacks lines that were signed: run mcptun audit verify", {
      file: path,
      signed: head.records,
      missing: `file ${head.file}`,
    });
  }

  /** Without a file, and without a head that knows better, the chain goes on from the newest of its name. */
  async #adoptNewestRotated(): Promise<void> {
    if (this.#isStarted) return;
    const newest = (await rotatedFiles(this.#options.path)).at(-1);
    if (newest === undefined || newest.number < this.#state.file) return;
    const { chain } = await readTail(newest.path);
    if (chain === undefined || chain.records < this.#state.records) return;
    this.#state = { edge: this.#options.edge, ...chain };
  }

  /** Is the line that the chain is known to have reached not in the files any more? */
  async #isMissing(tail: FileTail | undefined): Promise<boolean> {
    const { path } = this.#options;
    const { prev, file } = this.#state;
    if (prev === undefined || tail?.chain === undefined || tail.chain.prev === prev) return false;
    if (tail.chain.file === file) return !await hasLine(path, prev);
    if (tail.chain.file < file) return true;
    const before = (await rotatedFiles(path)).find(({ number }) => number === file);
    return before !== undefined && !await hasLine(before.path, prev);
  }

  #goOn(sink: LineSink, tail: FileTail | undefined, isMissing: boolean): void {
    const { edge, key, clock, log, path } = this.#options;
    const wallMs = clock.wallNow();
    const known = this.#state;
    this.#state = tail?.chain === undefined
      ? { ...known, edge, file: known.file + 1 }
      : { edge, ...tail.chain };
    this.#beforeLead = tail?.chain === undefined ? known : this.#state;
    this.#isStarted = true;
    const missing = isMissing ? { records: known.records, hash: known.prev! } : undefined; // it is looked for
    if (missing !== undefined) {
      log.error("The audit trail lacks lines that were signed: run mcptun audit verify", {
        file: path,
        signed: known.records,
        found: this.#state.records,
      });
    }
    if (tail?.torn !== undefined) {
      log.warn("The audit trail ends in a torn line, going on behind it", {
        file: path,
        bytes: tail.torn.bytes,
      });
    }
    const line = openLine({
      wallMs,
      state: this.#state,
      key: key.public.spki,
      keyId: key.public.id,
      torn: tail?.torn,
      missing,
    });
    this.#lead = `${tail === undefined || tail.isTerminated ? "" : "\n"}${line}\n`;
    this.#state = { ...this.#state, prev: lineHash(line) };
    this.#sink = sink;
    this.#bytes = sink.size;
    this.#begunMs = tail?.begunMs ?? wallMs;
    this.#fileRecords = sink.size === 0 ? 0 : 1;
    this.#isSealed = false;
    this.#isFull = false;
    this.#signedRecords = this.#state.records;
    this.#unsignedSinceMs = undefined; // signed with its first write
    this.#lookedAtMs = clock.now();
  }

  #isCheckpointDue(): boolean {
    const since = this.#unsignedSinceMs;
    return since !== undefined && this.#options.clock.now() - since >= AUDIT_CHECKPOINT_MS;
  }

  #isRotationDue(): boolean {
    const { rotateBytes, rotateMs, clock } = this.#options;
    if (this.#isSealed || this.#isFull) return true;
    if (this.#fileRecords === 0 || this.#sink === undefined) return false;
    return this.#bytes + ROTATION_ROOM_BYTES >= rotateBytes ||
      rotateMs > 0 && clock.wallNow() - this.#begunMs >= rotateMs;
  }

  /** Puts lines together, up to one write and to where the file must be rotated. */
  #compose(queue: readonly string[], why: Checkpoint["why"] | undefined): Batch {
    const { rotateBytes, checkpointRecords } = this.#options;
    const before = this.#lead === "" ? this.#state : this.#beforeLead;
    const room = rotateBytes - ROTATION_ROOM_BYTES - this.#bytes;
    const marks: Mark[] = [];
    let { records, prev = "" } = this.#state; // every file begins with an `open` line: there is one
    let text = this.#lead;
    let bytes = Buffer.byteLength(text);
    let bodies = 0;
    let head: TrailHead | undefined;
    const mark = (): void => void marks.push({ bytes, bodies, records, prev });
    const add = (line: string): void => {
      text += line;
      text += "\n";
      bytes += Buffer.byteLength(line) + 1;
      prev = lineHash(line);
    };
    const sign = (why: Checkpoint["why"]): void => {
      this.#state = { ...this.#state, records, prev };
      add(this.#checkpoint(why));
      mark();
      const { file, first } = this.#state;
      head = { path: this.#options.path, file, first, records, hash: prev };
      this.#signedRecords = records;
      this.#unsignedSinceMs = undefined;
    };
    if (text !== "") {
      mark();
      // At once: whoever adds lines to a trail that was ended can open it, and cannot sign that.
      sign("count");
    }
    this.#lead = "";
    for (const body of queue) {
      if (bytes >= AUDIT_WRITE_BYTES) break;
      if (bytes + body.length > room && this.#fileRecords > 0) {
        this.#isFull = true;
        break;
      }
      add(closeLine(body, prev));
      bodies++;
      this.#fileRecords++;
      if (!body.startsWith(LOST_START)) records++;
      this.#unsignedSinceMs ??= this.#options.clock.now();
      mark();
      if (records - this.#signedRecords >= checkpointRecords) sign("count");
    }
    if (why !== undefined && !(why === "count" && this.#unsignedSinceMs === undefined)) sign(why);
    if (why === "rotated") this.#isSealed = true;
    this.#state = { ...this.#state, records, prev };
    return { text, bodies, bytes, marks, before, from: this.#sink?.written ?? 0, head };
  }

  #checkpoint(why: Checkpoint["why"]): string {
    const { key, clock } = this.#options;
    const body = checkpointBody({
      wallMs: clock.wallNow(),
      state: this.#state,
      keyId: key.public.id,
      why,
    });
    return checkpointLine(body, key.sign(signedText(body)));
  }

  async #write(batch: Batch): Promise<number> {
    if (batch.text === "") return 0;
    this.#batch = batch;
    this.#dirtySinceSync = true;
    await this.#sink!.write(batch.text); // the callers have opened it
    return this.#written(batch);
  }

  async #finish(): Promise<number> {
    await this.#sink!.retry(); // a batch has a sink
    return this.#written(this.#batch!);
  }

  #written(batch: Batch): number {
    this.#batch = undefined;
    this.#bytes += batch.bytes;
    this.#unsyncedHead = batch.head ?? this.#unsyncedHead;
    return batch.bodies;
  }

  /** @returns How many bodies of the queue a file that had to be given up has got. */
  async #look(): Promise<number> {
    const { path, log, clock } = this.#options;
    this.#lookedAtMs = clock.now();
    if (this.#sink === undefined) return 0;
    const stats = await lstat(path, { bigint: true }).catch(() => undefined);
    if (stats !== undefined && `${stats.dev} ${stats.ino}` === this.#sink.inode) {
      this.#tellCut(Number(stats.size));
      return 0;
    }
    log.warn("The audit file was moved or removed, going on with a new one", { file: path });
    let bodies = 0;
    try {
      if (this.#batch !== undefined) bodies = await this.#finish();
      await this.#write(this.#compose([], "rotated"));
      await this.sync();
    } catch (error) {
      log.error("Cannot end the audit file that was moved", { file: path, error: String(error) });
      bodies += this.#giveUp();
    }
    await this.close();
    return bodies;
  }

  /** What was written is not there any more, as after `: > audit.jsonl`: the next file is whole again. */
  #tellCut(size: number): void {
    if (size >= this.#bytes || this.#batch !== undefined) return;
    const { path, log } = this.#options;
    log.error("The audit file was cut under the edge, going on with a new one", {
      file: path,
      written: this.#bytes,
      found: size,
    });
    this.#bytes = size;
    this.#isFull = true;
  }

  /** Takes the chain back to the last line that is whole in the file. */
  #giveUp(): number {
    const batch = this.#batch;
    if (batch === undefined) return 0;
    this.#batch = undefined;
    const written = this.#sink!.written - batch.from; // a batch has a sink
    const whole = batch.marks.findLast(({ bytes }) => bytes <= written);
    this.#state = whole === undefined
      ? batch.before
      : { ...this.#state, records: whole.records, prev: whole.prev };
    return whole?.bodies ?? 0;
  }

  async #rotate(): Promise<void> {
    const { path, clock, log } = this.#options;
    if (!this.#isSealed) {
      await this.#write(this.#compose([], "rotated"));
      return;
    }
    await this.sync();
    const target = rotatedPath(path, this.#state.file, clock.wallNow());
    await rename(path, target);
    await this.close();
    this.#isSealed = false;
    log.info("The audit file was rotated", { file: target, records: this.#state.records });
    const removable = await this.#removable();
    const last = removable.at(-1);
    if (last !== undefined) this.#state = { ...this.#state, first: last.number + 1 };
    await this.open();
    for (const { path: old } of removable) {
      await unlink(old).then(
        () => log.info("An old audit file was removed", { file: old }),
        (error: unknown) =>
          log.warn("Cannot remove an old audit file", { file: old, error: String(error) }),
      );
    }
  }

  async #removable(): Promise<{ readonly path: string; readonly number: number }[]> {
    const { path, keepFiles, keepMs, clock, log } = this.#options;
    const files = await rotatedFiles(path).catch((error: unknown) => {
      log.warn("Cannot look for old audit files", { file: path, error: String(error) });
      return [];
    });
    return files.filter(({ rotatedMs }, index) =>
      keepFiles > 0 && index < files.length - keepFiles ||
      keepMs > 0 && clock.wallNow() - rotatedMs >= keepMs
    );
  }
}

/** Room for a checkpoint, so that a file that is sealed is not above its size. */
const ROTATION_ROOM_BYTES = 1_024;
const LOST_START = '{"v":1,"type":"lost"';

/** The name of a new file is on the disk only with its folder. Not every system can. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(dirname(path), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {
    // Windows opens no folders; some network mounts do not sync them: the file itself is there.
  }
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
