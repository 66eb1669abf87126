/**
 * QUIC variable-length integers (RFC 9000, section 16): 1, 2, 4 or 8 bytes, up to 2^62-1.
 *
 * Values above 2^53-1 are refused: no field of the protocol needs them, and a JavaScript number
 * cannot hold them.
 *
 * @module
 */

import { TunnelError } from "../errors.ts";

/** Bytes the longest integer takes. */
export const MAX_VARINT_BYTES = 8;

/** Bytes of the integer whose first byte is `first`. */
export function varintBytes(first: number): number {
  return 1 << (first >> 6);
}

/**
 * Reads integers from the front of a block, and keeps the place.
 *
 * The block is not copied; `end` bounds every read.
 */
export class Cursor {
  readonly bytes: Uint8Array;
  offset: number;
  readonly end: number;

  constructor(bytes: Uint8Array, offset = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  /** True while bytes are left. */
  get more(): boolean {
    return this.offset < this.end;
  }

  /**
   * Reads one integer.
   *
   * @throws {TunnelError} `PROTOCOL_ERROR` when the block ends inside it, or above 2^53-1.
   */
  varint(): number {
    const { bytes, offset, end } = this;
    const first = offset < end ? bytes[offset]! : -1;
    if (first >= 0 && first < 0x40) {
      this.offset = offset + 1;
      return first;
    }
    if (first >= 0x40 && first < 0x80 && offset + 2 <= end) {
      this.offset = offset + 2;
      return ((first & 0x3f) << 8) | bytes[offset + 1]!;
    }
    return this.#longVarint(first);
  }

  /**
   * Reads a length and checks that so many bytes are left.
   *
   * @throws {TunnelError} `PROTOCOL_ERROR`.
   */
  length(): number {
    const length = this.varint();
    if (length > this.end - this.offset) {
      throw protocolError("Cannot read value: the length is beyond the end of the block");
    }
    return length;
  }

  /** Reads a length and that many bytes, as a view. @throws {TunnelError} `PROTOCOL_ERROR`. */
  value(): Uint8Array {
    const length = this.length();
    const value = this.bytes.subarray(this.offset, this.offset + length);
    this.offset += length;
    return value;
  }

  #longVarint(first: number): number {
    const size = varintBytes(first);
    if (first < 0 || this.offset + size > this.end) {
      throw protocolError("Cannot read integer: the block ends inside it");
    }
    // Multiplication, not shifts: bitwise operators stop at 32 bits.
    let value = first & 0x3f;
    for (let index = 1; index < size; index++) {
      value = value * 256 + this.bytes[this.offset + index]!;
    }
    if (value > Number.MAX_SAFE_INTEGER) {
      throw protocolError("Cannot read integer: it is above 2^53-1");
    }
    this.offset += size;
    return value;
  }
}

/**
 * The shortest encoding of `value` as a binary string, one character per byte.
 *
 * @throws {RangeError} When `value` is not an integer from 0 to 2^53-1.
 */
export function varintText(value: number): string {
  if (value >= 0 && value < 0x40 && Number.isInteger(value)) return ONE_BYTE[value]!;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot encode integer: ${value} is not from 0 to 2^53-1`);
  }
  if (value < 0x4000) return String.fromCharCode(0x40 | (value >> 8), value & 0xff);
  if (value < 0x4000_0000) {
    return String.fromCharCode(
      0x80 | (value >>> 24),
      (value >>> 16) & 0xff,
      (value >>> 8) & 0xff,
      value & 0xff,
    );
  }
  const high = Math.floor(value / 0x1_0000_0000);
  const low = value >>> 0;
  return String.fromCharCode(
    0xc0 | (high >>> 24),
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  );
}

/** The one error of everything that reads bytes of the peer. */
export function protocolError(message: string): TunnelError {
  return new TunnelError("PROTOCOL_ERROR", message);
}

const ONE_BYTE: readonly string[] = Array.from(
  { length: 0x40 },
  (_, value) => String.fromCharCode(value),
);
