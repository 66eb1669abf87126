/**
 * Comments on a silent event stream, between events only, so that nothing on the way thinks it dead.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import type { Clock, Timer } from "../clock.ts";
import { EventBoundary } from "./event_boundary.ts";

/** Where comments go. */
export interface CommentSink {
  /** Is the reader up to date? A slow one gets no comments on top. */
  readonly ready: boolean;
  write(comment: Uint8Array): void;
}

/** Watches one event stream. */
export class SseKeepalive {
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #sink: CommentSink;
  readonly #boundary = new EventBoundary();
  #lastAtMs: number;
  #timer: Timer | undefined;

  constructor(clock: Clock, silenceMs: number, sink: CommentSink) {
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    this.#sink = sink;
    this.#lastAtMs = clock.now();
    this.#arm(silenceMs);
  }

  /** Tells it about bytes that went out. */
  sent(chunk: Uint8Array): void {
    this.#boundary.push(chunk);
    this.#lastAtMs = this.#clock.now();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.setTimer(delayMs, this.#fire, "no");
  }

  readonly #fire = (): void => {
    const silentMs = this.#clock.now() - this.#lastAtMs;
    if (silentMs < this.#silenceMs) return this.#arm(this.#silenceMs - silentMs);
    if (this.#boundary.betweenEvents && this.#sink.ready) this.#sink.write(COMMENT);
    this.#lastAtMs = this.#clock.now();
    this.#arm(this.#silenceMs);
  };
}

/** An empty comment and a blank line: no event, whatever came before (WHATWG HTML, section 9.2.6). */
const COMMENT = Buffer.from(":\n\n");
