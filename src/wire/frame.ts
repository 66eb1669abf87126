/**
 * Frames: `type varint, length varint, payload` (docs/wire-protocol.md, section 3).
 *
 * @module
 */

import { Cursor, MAX_VARINT_BYTES, protocolError, varintBytes, varintText } from "./varint.ts";

/** Every frame type. Odd: a receiver must know it. Even: one that does not skips it. */
export const FRAME = {
  hello: 0x01,
  welcome: 0x03,
  refusal: 0x05,
  claim: 0x07,
  claimed: 0x09,
  release: 0x0b,
  heartbeat: 0x0d,
  heartbeatAck: 0x0f,
  goodbye: 0x11,
  renew: 0x13,
  renewed: 0x15,
  renewRefused: 0x17,
  ending: 0x18,
  requestHead: 0x21,
  responseHead: 0x23,
} as const;

/** What stands before a payload. */
export interface FrameHeader {
  readonly type: number;
  readonly payloadBytes: number;
  readonly headerBytes: number;
}

/** Whether a receiver that does not know this frame type or field key must refuse it. */
export function isCritical(typeOrKey: number): boolean {
  return typeOrKey % 2 === 1;
}

/**
 * Reads the header at `offset`.
 *
 * @param maxPayloadBytes Largest payload accepted.
 * @returns `undefined` while the bytes are too few to hold one.
 * @throws {TunnelError} `PROTOCOL_ERROR` when the announced length is above the limit; raised
 *   before any payload is buffered.
 */
export function readFrameHeader(
  bytes: Uint8Array,
  offset: number,
  maxPayloadBytes: number,
): FrameHeader | undefined {
  if (offset >= bytes.length) return undefined;
  const typeBytes = varintBytes(bytes[offset]!);
  const lengthAt = offset + typeBytes;
  if (lengthAt >= bytes.length) return undefined;
  const headerBytes = typeBytes + varintBytes(bytes[lengthAt]!);
  if (offset + headerBytes > bytes.length) return undefined;

  const cursor = new Cursor(bytes, offset, offset + headerBytes);
  const type = cursor.varint();
  const payloadBytes = cursor.varint();
  if (payloadBytes > maxPayloadBytes) {
    throw protocolError(
      `Cannot accept frame of ${payloadBytes} bytes: the limit is ${maxPayloadBytes} bytes`,
    );
  }
  return { type, payloadBytes, headerBytes };
}

/** One frame as a binary string. */
export function frameText(type: number, payload: string): string {
  return varintText(type) + varintText(payload.length) + payload;
}

/**
 * Bytes of a frame that is not complete yet.
 *
 * Grows with what arrived, never with what a length announces, and never past `maxBytes`.
 */
export class PartialFrame {
  #bytes: Uint8Array = EMPTY;
  #length = 0;
  readonly #maxBytes: number;

  /** @param maxPayloadBytes Largest payload; a header is allowed on top. */
  constructor(maxPayloadBytes: number) {
    this.#maxBytes = maxPayloadBytes + 2 * MAX_VARINT_BYTES;
  }

  /** What is held, as a view that the next `append` may invalidate. */
  get held(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Bytes reserved, for the tests of the bound. */
  get reservedBytes(): number {
    return this.#bytes.length;
  }

  /** Takes bytes up to the bound, and says how many it took. */
  append(chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, this.#maxBytes - this.#length);
    const needed = this.#length + taken;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(this.#maxBytes, Math.max(2 * needed, MIN_BYTES)));
      grown.set(this.held);
      this.#bytes = grown;
    }
    this.#bytes.set(taken === chunk.length ? chunk : chunk.subarray(0, taken), this.#length);
    this.#length = needed;
    return taken;
  }

  /** Forgets everything and frees the memory. */
  clear(): void {
    this.#bytes = EMPTY;
    this.#length = 0;
  }
}

const EMPTY = new Uint8Array(0);
const MIN_BYTES = 256;
