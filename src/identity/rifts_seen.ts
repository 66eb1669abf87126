/**
 * When each credential was last seen, in `rifts-seen.json`: a running edge writes it, so that a
 * command can tell when none runs. It decides nothing: a damaged file is a warning and starts anew.
 *
 * @module
 */

import { join } from "node:path";

import type { Clock, Timer } from "../clock.ts";
import { SEEN_WRITE_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import { MAX_CREDENTIALS } from "./credential_store.ts";
import { isObject } from "./json_object.ts";
import { isRiftName } from "./rift_name.ts";
import { prepareStateDir, readStateFile, replaceStateFile } from "./state_dir.ts";

/** What {@link RiftsSeen.open} needs. */
export interface RiftsSeenOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The last sign of life with one credential. */
export interface RiftSeen {
  readonly name: string;
  /** Wall clock, ms. */
  readonly lastSeenMs: number;
}

const FORMAT_VERSION = 1;

/** When each credential was last seen. Written at most every `SEEN_WRITE_MS`, and at {@link close}. */
export class RiftsSeen {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By serial number, the one seen longest ago first. */
  readonly #bySerial: Map<string, RiftSeen>;
  #timer: Timer | undefined;
  #changed = false;
  #closed = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    path: string,
    { clock, log }: RiftsSeenOptions,
    known: Map<string, RiftSeen>,
  ) {
    this.#path = path;
    this.#clock = clock;
    this.#log = log;
    this.#bySerial = known;
  }

  /** Reads what was written last. @throws {TunnelError} `STATE_UNUSABLE` for the directory only. */
  static async open(options: RiftsSeenOptions): Promise<RiftsSeen> {
    await prepareStateDir(options.stateDir);
    const path = join(options.stateDir, "rifts-seen.json");
    return new RiftsSeen(path, options, await readSeen(path, options.log));
  }

  /** The last sign of life with a credential, when there was one. */
  of(serial: string): RiftSeen | undefined {
    return this.#bySerial.get(serial);
  }

  /** Notes a sign of life now: a connection begins, lives or ends. Nothing waits for the disk. */
  seen(name: string, serial: string): void {
    if (this.#closed) return;
    this.#bySerial.delete(serial); // so that it comes last
    this.#bySerial.set(serial, { name, lastSeenMs: Math.trunc(this.#clock.wallNow()) });
    if (this.#bySerial.size > MAX_CREDENTIALS) {
      const [oldest] = this.#bySerial.keys();
      this.#bySerial.delete(oldest!); // it has one: it is above its bound
    }
    this.#changed = true;
    this.#timer ??= this.#clock.setTimer(SEEN_WRITE_MS, () => {
      this.#timer = undefined;
      void this.flush(); // never rejects
    }, "no");
  }

  /** Writes what is new. Never rejects: a failure is a warning, and the next write tries again. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  /** Writes what is new and ends; notes no more. May be called again. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.flush();
  }

  async #write(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const rifts = Object.fromEntries(this.#bySerial);
    try {
      await replaceStateFile(
        this.#path,
        `${JSON.stringify({ version: FORMAT_VERSION, rifts }, undefined, 2)}\n`,
      );
    } catch (error) {
      this.#changed = true;
      this.#log.warn("Cannot write when rifts were last seen", {
        file: this.#path,
        error: String(error),
      });
    }
  }
}

async function readSeen(path: string, log: Logger): Promise<Map<string, RiftSeen>> {
  try {
    const text = await readStateFile(path);
    return text === undefined ? new Map() : parseSeen(text);
  } catch (error) {
    log.warn("Cannot read when rifts were last seen, beginning anew", {
      file: path,
      // A parser's message would quote the file.
      error: error instanceof SyntaxError ? "it is damaged" : String(error),
    });
    return new Map();
  }
}

/** @throws {SyntaxError} */
function parseSeen(text: string): Map<string, RiftSeen> {
  const value: unknown = JSON.parse(text);
  if (!isObject(value) || value["version"] !== FORMAT_VERSION || !isObject(value["rifts"])) {
    throw new SyntaxError("Not a list of rifts");
  }
  const entries = Object.entries(value["rifts"]).map(([serial, seen]) => {
    if (!/^[0-9a-f]{1,40}$/.test(serial) || !isSeen(seen)) throw new SyntaxError("Not a rift");
    return [serial, { name: seen.name, lastSeenMs: seen.lastSeenMs }] as const;
  });
  // Keys that look like numbers come first in an object, so the order has to be made again.
  entries.sort(([, a], [, b]) => a.lastSeenMs - b.lastSeenMs);
  return new Map(entries.slice(-MAX_CREDENTIALS));
}

function isSeen(value: unknown): value is RiftSeen {
  if (!isObject(value)) return false;
  const { name, lastSeenMs } = value;
  return typeof name === "string" && isRiftName(name) && Number.isSafeInteger(lastSeenMs) &&
    Math.abs(Number(lastSeenMs)) <= 8.64e15; // what a Date can hold
}
