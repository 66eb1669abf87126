/**
 * How many bytes of bodies aware tunnels hold at once: a body is judged whole, and many large ones
 * at a time must not be the end of the edge, nor one user's be the end of everybody else's.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { MAX_IDLE_SHARES } from "../../limits.ts";

/** Bytes, in all and of one owner. */
export interface BudgetLimits {
  readonly mostBytes: number;
  readonly mostBytesEach: number;
}

interface Share {
  taken: number;
}

/** One for all aware tunnels of an edge. */
export class ByteBudget {
  readonly #limits: BudgetLimits;
  #taken = 0;
  /** An owner's stays when it is empty, until there are many: no coming and going per request. */
  readonly #shares = new Map<string, Share>();
  #sweepAt = MAX_IDLE_SHARES;

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
  }

  /** @returns false when there is no room; nothing is taken then. */
  take(owner: string, bytes: number): boolean {
    const { mostBytes, mostBytesEach } = this.#limits;
    const share = this.#shareOf(owner);
    if (this.#taken + bytes > mostBytes || share.taken + bytes > mostBytesEach) return false;
    this.#taken += bytes;
    share.taken += bytes;
    return true;
  }

  /** No more than `owner` has taken. */
  give(owner: string, bytes: number): void {
    if (bytes === 0) return;
    this.#taken -= bytes;
    this.#shareOf(owner).taken -= bytes;
  }

  #shareOf(owner: string): Share {
    let share = this.#shares.get(owner);
    if (share === undefined) {
      if (this.#shares.size >= this.#sweepAt) this.#sweep();
      share = { taken: 0 };
      this.#shares.set(owner, share);
    }
    return share;
  }

  #sweep(): void {
    for (const [owner, { taken }] of this.#shares) {
      if (taken === 0) this.#shares.delete(owner);
    }
    // Where all are in use, not again for the very next one.
    this.#sweepAt = Math.max(MAX_IDLE_SHARES, 2 * this.#shares.size);
  }
}

/** The bytes of one body, held within a budget until they are released. */
export class HeldBody {
  readonly #budget: ByteBudget;
  readonly #owner: string;
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Small chunks are copied here: each on its own costs 200 bytes, for one byte of content. */
  #block: Buffer = NO_BLOCK;
  #blockUsed = 0;
  /** What of the block is in no element of `#chunks` yet. */
  #runStart = 0;

  constructor(budget: ByteBudget, owner: string, maxBytes: number) {
    this.#budget = budget;
    this.#owner = owner;
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Pieces it is in, for tests: a bound on what holding it costs besides its bytes. */
  get pieces(): number {
    return this.#chunks.length + (this.#blockUsed > this.#runStart ? 1 : 0);
  }

  /** Takes a chunk, or says why not; what was held is released then. */
  add(chunk: Uint8Array): "taken" | "too_large" | "no_room" {
    if (this.#bytes + chunk.length > this.#maxBytes) {
      this.release();
      return "too_large";
    }
    if (!this.#budget.take(this.#owner, chunk.length)) {
      this.release();
      return "no_room";
    }
    if (chunk.length === 0) return "taken";
    // The only chunk of most bodies is never copied.
    if (this.#bytes === 0 || chunk.length >= SMALL_CHUNK_BYTES) {
      this.#endRun();
      this.#chunks.push(chunk);
    } else this.#copy(chunk);
    this.#bytes += chunk.length;
    return "taken";
  }

  /** All of it in one piece; without a copy when it came in one. It stays held. */
  whole(): Buffer {
    this.#endRun();
    this.#block = NO_BLOCK;
    this.#blockUsed = this.#runStart = 0;
    const [only] = this.#chunks;
    const whole = this.#chunks.length === 1 && only !== undefined
      ? Buffer.from(only.buffer, only.byteOffset, only.byteLength)
      : Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [whole];
    return whole;
  }

  /** The bytes are not needed any more. Idempotent. */
  release(): void {
    this.#budget.give(this.#owner, this.#bytes);
    this.#chunks = [];
    this.#bytes = 0;
    this.#block = NO_BLOCK;
    this.#blockUsed = this.#runStart = 0;
  }

  #copy(chunk: Uint8Array): void {
    if (this.#block.length - this.#blockUsed < chunk.length) {
      this.#endRun();
      const length = Math.min(MAX_BLOCK_BYTES, Math.max(MIN_BLOCK_BYTES, 2 * this.#bytes));
      this.#block = Buffer.allocUnsafeSlow(Math.max(length, chunk.length));
      this.#blockUsed = this.#runStart = 0;
    }
    this.#block.set(chunk, this.#blockUsed);
    this.#blockUsed += chunk.length;
  }

  #endRun(): void {
    if (this.#blockUsed === this.#runStart) return;
    this.#chunks.push(this.#block.subarray(this.#runStart, this.#blockUsed));
    this.#runStart = this.#blockUsed;
  }
}

const NO_BLOCK = Buffer.alloc(0);
/** From here on, what a chunk costs besides its bytes is little next to them. */
const SMALL_CHUNK_BYTES = 4 * 1_024;
const MIN_BLOCK_BYTES = 1_024;
const MAX_BLOCK_BYTES = 64 * 1_024;
