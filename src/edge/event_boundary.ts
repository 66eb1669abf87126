/**
 * Where an event stream is between two events, so that a comment may go in.
 *
 * Pure; looks at the last bytes of each chunk only. Line ends are LF, CRLF and CR (WHATWG HTML,
 * section 9.2.5), and a chunk may end inside a CRLF.
 *
 * @module
 */

/** Follows the bytes of one event stream. */
export class EventBoundary {
  /** The last bytes, at most four: enough for CRLF CRLF. Before the first byte: a boundary. */
  #tail: number[] = [LF, LF];

  /** Takes the next bytes of the stream. */
  push(chunk: Uint8Array): void {
    if (chunk.length >= TAIL_BYTES) this.#tail = [...chunk.subarray(chunk.length - TAIL_BYTES)];
    else if (chunk.length > 0) this.#tail = [...this.#tail, ...chunk].slice(-TAIL_BYTES);
  }

  /**
   * Is the stream after a blank line?
   *
   * After a final lone CR it is not known yet whether an LF belongs to it; a comment is safe there
   * all the same, except that the LF would then end an empty line of its own, which changes nothing.
   */
  get betweenEvents(): boolean {
    const tail = this.#tail;
    const last = tail.at(-1);
    if (last === CR) return tail.at(-2) === CR || (tail.at(-2) === LF && tail.length >= 2);
    if (last !== LF) return false;
    const before = tail.at(-2) === CR ? tail.at(-3) : tail.at(-2);
    return before === LF || before === CR;
  }
}

const LF = 0x0a;
const CR = 0x0d;
const TAIL_BYTES = 4;
