/**
 * What became of records that were to be exported: bounds how many are on their way, counts those
 * that got lost, and says so in the log, now and then.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { OTLP_QUEUE_BYTES, OTLP_QUEUE_RECORDS, OTLP_TELL_MS } from "../limits.ts";
import type { Logger } from "../log.ts";

/** Counts since the start. */
export interface ExportStats {
  /** Taken by the collector. */
  readonly exported: number;
  /** On their way. */
  readonly waiting: number;
  /** Those that found no room, because too many were on their way. */
  readonly dropped: number;
  /** Those that the collector did not take, or did not answer for. */
  readonly failed: number;
}

/** What {@link ExportCounts} needs. */
export interface ExportCountsOptions {
  /** For the log. */
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Most that may be on their way; tests give less. */
  readonly queueRecords?: number | undefined;
  /** The same, characters. */
  readonly queueChars?: number | undefined;
}

/** What came of a batch: how many of it were not taken, and why. */
export interface BatchOutcome {
  readonly failed: number;
  readonly reason?: string | undefined;
}

/** See the module's comment. Records leave in the order in which they came. */
export class ExportCounts {
  readonly #options: ExportCountsOptions;
  readonly #queueRecords: number;
  readonly #queueChars: number;
  /** Characters of those that no batch has taken. */
  #sizes: number[] = [];
  #waiting = 0;
  #waitingChars = 0;
  #exported = 0;
  #dropped = 0;
  #failed = 0;
  #toldDropped = 0;
  #toldFailed = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #reason: string | undefined;
  /** Has a warning about the collector no other end yet? */
  #isFailing = false;
  #isEnded = false;

  constructor(options: ExportCountsOptions) {
    this.#options = options;
    this.#queueRecords = options.queueRecords ?? OTLP_QUEUE_RECORDS;
    this.#queueChars = options.queueChars ?? OTLP_QUEUE_BYTES;
  }

  get stats(): ExportStats {
    return {
      exported: this.#exported,
      waiting: this.#waiting,
      dropped: this.#dropped,
      failed: this.#failed,
    };
  }

  /** Is there room for a record of so many characters? It is counted either way. */
  take(chars: number): boolean {
    const isFull = this.#waiting >= this.#queueRecords ||
      this.#waitingChars + chars > this.#queueChars;
    if (isFull || this.#isEnded) {
      this.drop(this.#isEnded ? "the edge is stopping" : "too many wait for the collector");
      return false;
    }
    this.#sizes.push(chars);
    this.#waiting++;
    this.#waitingChars += chars;
    return true;
  }

  /** Counts a record that does not go on its way. */
  drop(reason: string): void {
    this.#dropped++;
    this.#reason ??= reason;
    this.#tell();
  }

  /** The next `count` records go to the collector. @returns Whom to tell what came of it, once. */
  begin(count: number): (outcome: BatchOutcome) => void {
    const chars = this.#sizes.splice(0, count).reduce((sum, size) => sum + size, 0);
    let isOver = false;
    return ({ failed, reason }) => {
      if (isOver || this.#isEnded) return;
      isOver = true;
      this.#waiting -= count;
      this.#waitingChars -= chars;
      this.#exported += count - failed;
      this.#failed += failed;
      if (failed > 0) {
        this.#isFailing = true;
        this.#reason = reason;
      }
      this.#tell();
      if (failed === 0) this.#recovered();
    };
  }

  /** What is still on its way has failed; says what was not said yet. Idempotent. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#failed += this.#waiting;
    if (this.#waiting > 0) this.#reason ??= "the edge has stopped";
    this.#waiting = 0;
    this.#waitingChars = 0;
    this.#sizes = [];
    this.#toldAtMs = Number.NEGATIVE_INFINITY;
    this.#tell();
  }

  #tell(): void {
    const { clock, log, endpoint } = this.#options;
    const dropped = this.#dropped - this.#toldDropped;
    const failed = this.#failed - this.#toldFailed;
    if (dropped + failed === 0 || clock.now() - this.#toldAtMs < OTLP_TELL_MS) return;
    this.#toldAtMs = clock.now();
    this.#toldDropped = this.#dropped;
    this.#toldFailed = this.#failed;
    log.warn("Records of the audit trail were not exported", {
      endpoint,
      dropped,
      failed,
      reason: this.#reason,
    });
    this.#reason = undefined;
  }

  /** Said only after a warning, so as rarely as these. */
  #recovered(): void {
    if (!this.#isFailing || this.#toldFailed !== this.#failed) return;
    this.#isFailing = false;
    this.#options.log.info("Records of the audit trail are exported again", {
      endpoint: this.#options.endpoint,
    });
  }
}
