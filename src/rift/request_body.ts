/** The body of a request that has not arrived whole, as the stream that undici wants. @module */

import { Readable } from "node:stream";

import type { Stream } from "../transport/transport.ts";

/** Bytes come with `feed`; the tunnel's stream is held back while the upstream is slow. */
export class RequestBody extends Readable {
  readonly #stream: Stream;

  constructor(stream: Stream) {
    super({ highWaterMark: BODY_BUFFER_BYTES });
    this.#stream = stream;
  }

  feed(chunk: Uint8Array): void {
    if (this.destroyed || chunk.length === 0) return;
    if (!this.push(chunk)) this.#stream.pause();
  }

  finish(): void {
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    this.#stream.resume();
  }
}

const BODY_BUFFER_BYTES = 65_536;
