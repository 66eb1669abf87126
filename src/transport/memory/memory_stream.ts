/** One end of an in-process stream. @module */

import { STREAM_QUEUE_BYTES } from "../../limits.ts";
import type { Stream, StreamHandler } from "../transport.ts";

/** One end; `pair` gives it the other. Bytes arrive in a later turn of the loop, as on a network. */
export class MemoryStream implements Stream {
  readonly id: number;
  readonly #onDone: () => void;
  #peer: MemoryStream | undefined;
  #handler: StreamHandler | undefined;
  /** What this end has received and not yet handed over. */
  #inbox: Uint8Array[] = [];
  #inboxBytes = 0;
  #finReceived = false;
  #finDelivered = false;
  #finSent = false;
  #paused = false;
  #reading = true;
  #stopped = false;
  #senderWaits = false;
  #scheduled = false;
  #dead = false;

  constructor(id: number, onDone: () => void) {
    this.id = id;
    this.#onDone = onDone;
  }

  pair(peer: MemoryStream): void {
    this.#peer = peer;
  }

  handle(handler: StreamHandler): void {
    this.#handler = handler;
    this.#schedule();
  }

  write(chunk: Uint8Array): boolean {
    const peer = this.#peer;
    if (peer === undefined || this.#dead || this.#finSent || this.#stopped) return true;
    return peer.#receive(chunk);
  }

  end(chunk?: Uint8Array): void {
    if (this.#dead || this.#finSent) return;
    if (chunk !== undefined) this.write(chunk);
    this.#finSent = true;
    const peer = this.#peer;
    if (peer !== undefined) {
      peer.#finReceived = true;
      peer.#schedule();
    }
    this.#checkDone();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#schedule();
  }

  stopReading(code: number): void {
    if (this.#dead || !this.#reading) return;
    this.#reading = false;
    this.#finDelivered = true;
    this.#inbox = [];
    this.#inboxBytes = 0;
    const peer = this.#peer;
    setImmediate(() => {
      if (peer === undefined || peer.#dead || peer.#finSent) return;
      peer.#stopped = true;
      peer.#handler?.onStopped(code);
    });
    this.#checkDone();
  }

  abort(code: number): void {
    if (this.#dead) return;
    this.#die();
    const peer = this.#peer;
    setImmediate(() => peer?.lose(code));
  }

  /** The peer or the connection is gone. */
  lose(code: number): void {
    if (this.#dead) return;
    this.#die();
    this.#handler?.onAbort(code);
  }

  #receive(chunk: Uint8Array): boolean {
    if (this.#dead || !this.#reading) return true;
    if (chunk.length > 0) {
      this.#inbox.push(chunk);
      this.#inboxBytes += chunk.length;
      this.#schedule();
    }
    if (this.#inboxBytes < STREAM_QUEUE_BYTES) return true;
    this.#senderWaits = true;
    return false;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    while (!this.#dead && !this.#paused && this.#inbox.length > 0) {
      const chunk = this.#inbox.shift()!;
      this.#inboxBytes -= chunk.length;
      const fin = this.#finReceived && this.#inbox.length === 0;
      if (fin) this.#finDelivered = true;
      handler.onData(chunk, fin);
    }
    if (this.#dead || this.#paused) return;
    if (this.#finReceived && !this.#finDelivered) {
      this.#finDelivered = true;
      handler.onData(new Uint8Array(0), true);
    }
    if (this.#senderWaits && this.#inboxBytes < STREAM_QUEUE_BYTES) {
      this.#senderWaits = false;
      const peer = this.#peer;
      if (peer !== undefined && !peer.#dead) peer.#handler?.onDrain();
    }
    this.#checkDone();
  }

  #checkDone(): void {
    if (this.#finSent && this.#finDelivered) this.#onDone();
  }

  #die(): void {
    this.#dead = true;
    this.#inbox = [];
    this.#inboxBytes = 0;
    this.#onDone();
  }
}
