/**
 * Memory for outgoing datagrams. They are cut from a slab, because the socket may hold one after
 * `send` returned, and an allocation for each would cost more than the cut.
 *
 * @module
 */

import { Buffer } from "node:buffer";

const SLAB_BYTES = 131_072;
/** Above `UDP_PAYLOAD_BYTES`. */
const SLOT_BYTES = 2_048;
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let used = 0;

/** Room for one datagram. */
export function nextSlot(): Uint8Array {
  if (used + SLOT_BYTES > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    used = 0;
  }
  return slab.subarray(used, used + SLOT_BYTES);
}

/** The first `length` bytes of the last slot, now the caller's. */
export function takeSlot(length: number): Uint8Array {
  const datagram = slab.subarray(used, used + length);
  used += length;
  return datagram;
}
