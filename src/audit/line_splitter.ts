/** Bytes in pieces to lines, with a bound on what one line may hold. @module */

import { Buffer } from "node:buffer";

/** Cuts pieces at their line feeds. What is left of a piece waits for the next one. */
export class LineSplitter {
  readonly #maxBytes: number;
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** Within a line that is too long, until it ends. */
  #skipping = false;
  #skipped = 0;

  /** @param maxBytes Longest line, without its end; longer ones are left out and counted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that end in `piece`, without their ends. They may be parts of it, not copies. */
  split(piece: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, start)) {
      const part = piece.subarray(start, end);
      start = end + 1;
      if (this.#skipping || this.#restBytes + part.length > this.#maxBytes) this.#skipped++;
      else if (this.#restBytes === 0) lines.push(part);
      else lines.push(Buffer.concat([...this.#rest, part]));
      this.#skipping = false;
      this.#forget();
    }
    this.#keep(piece.subarray(start));
    return lines;
  }

  /** How many lines were too long since it was asked last. */
  takeSkipped(): number {
    const skipped = this.#skipped;
    this.#skipped = 0;
    return skipped;
  }

  /** Bytes of a line that has not ended. */
  get restBytes(): number {
    return this.#skipping ? this.#maxBytes : this.#restBytes;
  }

  /** Forgets a line that has not ended. */
  reset(): void {
    this.#skipping = false;
    this.#forget();
  }

  #keep(rest: Buffer): void {
    if (rest.length === 0 || this.#skipping) return;
    if (this.#restBytes + rest.length > this.#maxBytes) {
      this.#skipping = true;
      this.#forget();
      return;
    }
    // A copy: the piece will be written over.
    this.#rest.push(Buffer.from(rest));
    this.#restBytes += rest.length;
  }

  #forget(): void {
    this.#rest = [];
    this.#restBytes = 0;
  }
}

const LINE_FEED = 0x0a;
