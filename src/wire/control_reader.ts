/**
 * Splits the control stream into messages.
 *
 * @module
 */

import { MAX_CONTROL_FRAME_BYTES } from "../limits.ts";
import { decodeControl } from "./control.ts";
import type { ControlMessage } from "./control.ts";
import { PartialFrame, readFrameHeader } from "./frame.ts";
import { protocolError } from "./varint.ts";

/** Reads messages from chunks of any size, and holds at most one frame. */
export class ControlReader {
  readonly #partial = new PartialFrame(MAX_CONTROL_FRAME_BYTES);
  #broken = false;

  /**
   * Takes the next bytes of the stream.
   *
   * @returns The messages that are whole now; unknown optional ones are left out.
   * @throws {TunnelError} `PROTOCOL_ERROR`, and nothing else; then also on every later call.
   */
  push(chunk: Uint8Array): ControlMessage[] {
    if (this.#broken) throw protocolError("Cannot read control stream: it is broken");
    const messages: ControlMessage[] = [];
    try {
      let left = chunk;
      do {
        left = this.#step(left, messages);
      } while (left.length > 0);
    } catch (error) {
      this.#broken = true;
      this.#partial.clear();
      throw error;
    }
    return messages;
  }

  /** Bytes reserved for a message that is not whole yet. */
  get reservedBytes(): number {
    return this.#partial.reservedBytes;
  }

  /** Reads every whole frame of `chunk`, keeps the rest, and says what it had no room for. */
  #step(chunk: Uint8Array, messages: ControlMessage[]): Uint8Array {
    const partial = this.#partial;
    if (partial.held.length === 0) {
      const used = readFrames(chunk, messages);
      if (used < chunk.length) partial.append(chunk.subarray(used));
      return NOTHING;
    }
    // One held frame is completed first. The bound of `partial` is above the largest frame, so a
    // frame is whole, or refused, before it is full.
    const taken = partial.append(chunk);
    const held = partial.held;
    const used = readFrames(held, messages);
    if (used === 0) return NOTHING;
    const kept = held.slice(used);
    partial.clear();
    if (kept.length > 0) partial.append(kept);
    return chunk.subarray(taken);
  }
}

/** Reads whole frames from the front of `bytes`, and says where the first that is not whole starts. */
function readFrames(bytes: Uint8Array, messages: ControlMessage[]): number {
  let offset = 0;
  for (;;) {
    const header = readFrameHeader(bytes, offset, MAX_CONTROL_FRAME_BYTES);
    if (header === undefined) return offset;
    const start = offset + header.headerBytes;
    const end = start + header.payloadBytes;
    if (end > bytes.length) return offset;
    const message = decodeControl(header.type, bytes.subarray(start, end));
    if (message !== undefined) messages.push(message);
    offset = end;
  }
}

const NOTHING = new Uint8Array(0);
