/**
 * What comes with a chunked body besides the body: sizes, extensions, line ends. One parser limits
 * chunk extensions (CVE-2024-22019), the other takes any amount, and `max_body_bytes` counts neither.
 *
 * @module
 */

import type { IncomingMessage } from "node:http";

import { CHUNK_OVERHEAD_BYTES } from "../limits.ts";

/** Counts for one request, from its head on. */
export class ChunkOverhead {
  readonly #request: IncomingMessage;
  readonly #startBytes: number;

  constructor(request: IncomingMessage) {
    this.#request = request;
    this.#startBytes = request.socket.bytesRead;
  }

  /** Is it out of proportion? TLS, and a next request that came along, are within what is allowed. */
  isTooMuch(bodyBytes: number): boolean {
    const read = this.#request.socket.bytesRead - this.#startBytes;
    return read > MOST_PER_BODY_BYTE * bodyBytes + CHUNK_OVERHEAD_BYTES;
  }
}

/** A chunk of one byte takes six. */
const MOST_PER_BODY_BYTE = 8;
