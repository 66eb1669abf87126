/**
 * How many bytes of bodies aware tunnels hold at once, in all: a body is judged whole, and many
 * large ones at a time must not be the end of the edge.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** One for all aware tunnels of an edge. */
export class ByteBudget {
  readonly #most: number;
  #taken = 0;

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  get takenBytes(): number {
    return this.#taken;
  }

  /** @returns false when there is no room; nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#taken + bytes > this.#most) return false;
    this.#taken += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}

/** The bytes of one body, held within a budget until they are released. */
export class HeldBody {
  readonly #budget: ByteBudget;
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(budget: ByteBudget, maxBytes: number) {
    this.#budget = budget;
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a chunk, or says why not; what was held is released then. */
  add(chunk: Uint8Array): "taken" | "too_large" | "no_room" {
    if (this.#bytes + chunk.length > this.#maxBytes) {
      this.release();
      return "too_large";
    }
    if (!this.#budget.take(chunk.length)) {
      this.release();
      return "no_room";
    }
    this.#bytes += chunk.length;
    if (chunk.length > 0) this.#chunks.push(chunk);
    return "taken";
  }

  /** All of it in one piece; without a copy when it came in one. It stays held. */
  whole(): Buffer {
    const [only] = this.#chunks;
    const whole = this.#chunks.length === 1 && only !== undefined
      ? Buffer.from(only.buffer, only.byteOffset, only.byteLength)
      : Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [whole];
    return whole;
  }

  /** The bytes are not needed any more. Idempotent. */
  release(): void {
    this.#budget.give(this.#bytes);
    this.#chunks = [];
    this.#bytes = 0;
  }
}
