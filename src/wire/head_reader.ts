/**
 * Reads the one head frame at the front of an exchange's stream; what follows it is body.
 *
 * @module
 */

import { PartialFrame, readFrameHeader } from "./frame.ts";
import { protocolError } from "./varint.ts";

/** How one kind of head is told and read. */
export interface HeadCodec<T> {
  readonly frameType: number;
  /** Reads the payload between the two offsets. @throws {TunnelError} `PROTOCOL_ERROR` only. */
  decode(bytes: Uint8Array, start: number, end: number): T;
}

/** A head, and the bytes of the body that came with it (possibly none). */
export interface HeadAndRest<T> {
  readonly head: T;
  /** A view of the chunk that was pushed last. */
  readonly rest: Uint8Array;
}

/**
 * Collects chunks until the head is whole.
 *
 * A first chunk that holds the whole head is read in place, without a copy.
 */
export class HeadReader<T> {
  readonly #codec: HeadCodec<T>;
  readonly #maxBytes: number;
  #partial: PartialFrame | undefined;

  /** @param maxBytes Largest payload of the frame. */
  constructor(codec: HeadCodec<T>, maxBytes: number) {
    this.#codec = codec;
    this.#maxBytes = maxBytes;
  }

  /**
   * Takes the next bytes of the stream. Not to be called again after the head was returned.
   *
   * @returns The head and what follows it, or `undefined` while the head is not whole.
   * @throws {TunnelError} `PROTOCOL_ERROR`, and nothing else.
   */
  push(chunk: Uint8Array): HeadAndRest<T> | undefined {
    const partial = this.#partial;
    if (partial === undefined) {
      const end = this.#end(chunk);
      if (end === undefined || end > chunk.length) {
        this.#partial = new PartialFrame(this.#maxBytes);
        this.#partial.append(chunk);
        return undefined;
      }
      return this.#read(chunk, end, chunk, end);
    }
    const before = partial.held.length;
    partial.append(chunk);
    const held = partial.held;
    const end = this.#end(held);
    if (end === undefined || end > held.length) return undefined;
    this.#partial = undefined;
    return this.#read(held, end, chunk, end - before);
  }

  /** Bytes reserved for a head that is not whole yet. */
  get reservedBytes(): number {
    return this.#partial?.reservedBytes ?? 0;
  }

  #read(bytes: Uint8Array, end: number, chunk: Uint8Array, restAt: number): HeadAndRest<T> {
    return {
      head: this.#codec.decode(bytes, this.#payloadAt, end),
      rest: restAt === chunk.length ? NOTHING : chunk.subarray(restAt),
    };
  }

  #payloadAt = 0;

  /** Where the frame at the front of `bytes` ends, once its header is there. */
  #end(bytes: Uint8Array): number | undefined {
    const header = readFrameHeader(bytes, 0, this.#maxBytes);
    if (header === undefined) return undefined;
    if (header.type !== this.#codec.frameType) {
      throw protocolError(`Cannot accept frame of type ${header.type}: a head is expected`);
    }
    this.#payloadAt = header.headerBytes;
    return header.headerBytes + header.payloadBytes;
  }
}

const NOTHING = new Uint8Array(0);
