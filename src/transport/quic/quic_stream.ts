/** One QUIC stream: a bounded send queue in front of the native stream, and its two ends. @module */

import { Buffer } from "node:buffer";

import { STREAM_QUEUE_BYTES } from "../../limits.ts";
import type { Stream, StreamHandler } from "../transport.ts";
import type { QuicConnection } from "./quic_connection.ts";

/** Chunks below this are joined before they cross into native code: one call costs about 1 µs. */
const JOIN_BELOW_BYTES = 16_384;
const EMPTY = new Uint8Array(0);

/** What the connection can do for its streams. The stream never touches the native object. */
export class QuicStream implements Stream {
  readonly id: number;
  /** The native stream exists once something was sent or received on it. */
  opened: boolean;
  /** In the connection's list of streams with something to send. */
  queued = false;
  readonly #connection: QuicConnection;
  #handler: StreamHandler;
  #chunks: Uint8Array[] = [];
  #queuedBytes = 0;
  #finQueued = false;
  #waiting = false;
  #paused = false;
  #sendDone = false;
  #receiveDone = false;

  constructor(
    connection: QuicConnection,
    id: number,
    handler: StreamHandler,
    openedBy: "us" | "peer",
  ) {
    this.#connection = connection;
    this.id = id;
    this.#handler = handler;
    this.opened = openedBy === "peer";
  }

  /** Gives a stream the peer opened its owner. */
  handle(handler: StreamHandler): void {
    this.#handler = handler;
  }

  get handler(): StreamHandler {
    return this.#handler;
  }

  /** May the connection read for this stream now? */
  get wantsData(): boolean {
    return !this.#paused && !this.#receiveDone;
  }

  get sendDone(): boolean {
    return this.#sendDone;
  }

  get done(): boolean {
    return this.#sendDone && this.#receiveDone;
  }

  write(chunk: Uint8Array): boolean {
    if (this.#sendDone || this.#finQueued) return true;
    if (chunk.length > 0) {
      this.#chunks.push(chunk);
      this.#queuedBytes += chunk.length;
      this.#connection.wantsToSend(this);
    }
    if (this.#queuedBytes < STREAM_QUEUE_BYTES) return true;
    this.#waiting = true;
    return false;
  }

  end(chunk?: Uint8Array): void {
    if (this.#sendDone || this.#finQueued) return;
    if (chunk !== undefined) this.write(chunk);
    this.#finQueued = true;
    this.#connection.wantsToSend(this);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.#receiveDone) this.#connection.wantsToRead();
  }

  stopReading(code: number): void {
    if (this.#receiveDone) return;
    this.#receiveDone = true;
    this.#connection.stopReading(this, code);
  }

  abort(code: number): void {
    if (this.done) return;
    const receiving = !this.#receiveDone;
    const sending = !this.#sendDone;
    this.#drop();
    this.#connection.abortStream(this, code, { receiving, sending });
  }

  /**
   * Hands queued bytes to the native stream until it takes no more.
   *
   * @param send Takes bytes and FIN, returns how many bytes it took: fewer means the window is
   *   full and the FIN was not taken; `undefined` means none and not even the FIN.
   * @returns Whether something is left that the window did not take.
   */
  drain(send: (bytes: Uint8Array, fin: boolean) => number | undefined): "sent" | "blocked" {
    while (!this.#sendDone && (this.#chunks.length > 0 || this.#finQueued)) {
      this.#join();
      const bytes = this.#chunks[0] ?? EMPTY;
      const fin = this.#finQueued && this.#chunks.length <= 1;
      const taken = send(bytes, fin);
      if (this.#sendDone) break; // stopped by the peer inside `send`
      if (taken === undefined) return "blocked";
      this.#queuedBytes -= taken;
      if (taken < bytes.length) {
        this.#chunks[0] = bytes.subarray(taken); // the FIN stays with the tail
        return "blocked";
      }
      this.#chunks.shift();
      if (fin) this.#sendDone = true;
    }
    return "sent";
  }

  /** Tells the owner that it may write again, once the queue is half empty. */
  notifyDrained(): void {
    if (!this.#waiting || this.#sendDone || this.#queuedBytes > STREAM_QUEUE_BYTES / 2) return;
    this.#waiting = false;
    this.#handler.onDrain();
  }

  deliver(chunk: Uint8Array, fin: boolean): void {
    if (fin) this.#receiveDone = true;
    this.#handler.onData(chunk, fin);
  }

  /** The peer sent STOP_SENDING. */
  stopped(code: number): void {
    if (this.#sendDone) return;
    this.#dropQueue();
    this.#sendDone = true;
    this.#handler.onStopped(code);
  }

  /** The peer reset the stream, or the connection is gone. */
  lose(code: number): void {
    if (this.done) return;
    this.#drop();
    this.#handler.onAbort(code);
  }

  #join(): void {
    const chunks = this.#chunks;
    if (chunks.length < 2 || chunks[0]!.length >= JOIN_BELOW_BYTES) return;
    let bytes = 0;
    let count = 0;
    while (count < chunks.length && bytes < JOIN_BELOW_BYTES) bytes += chunks[count++]!.length;
    const joined = Buffer.concat(chunks.splice(0, count), bytes);
    chunks.unshift(joined);
  }

  #dropQueue(): void {
    this.#chunks = [];
    this.#queuedBytes = 0;
    this.#finQueued = false;
    this.#waiting = false;
  }

  #drop(): void {
    this.#dropQueue();
    this.#sendDone = true;
    this.#receiveDone = true;
  }
}
