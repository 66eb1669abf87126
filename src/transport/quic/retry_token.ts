/**
 * Address validation by Retry (RFC 9000, 8.1.2): a newcomer must show that it receives at the
 * address it sends from before anything is stored for it. The token carries what the server needs
 * to go on, so a flood of first packets costs no memory.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";

import { RETRY_TOKEN_MS } from "../../limits.ts";
import type { UdpAddress } from "../../runtime/udp_socket.ts";

const MAC_BYTES = 16;
const TIME_BYTES = 6;

/** What a Retry token binds together. */
export interface RetryFacts {
  readonly from: UdpAddress;
  /** The connection id of the client's first packet; the handshake must name it (RFC 9000, 7.3). */
  readonly originalId: Uint8Array;
  /** The connection id that the Retry packet gave, to which the second packet is addressed. */
  readonly retryId: Uint8Array;
}

/** Makes and checks tokens with a key that lives as long as the endpoint. */
export class RetryTokens {
  readonly #key: Uint8Array;

  /** @param key At least 32 random bytes. */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** A token for `facts`, good for `RETRY_TOKEN_MS` from `nowMs` (wall clock). */
  make(facts: RetryFacts, nowMs: number): Uint8Array {
    const time = Buffer.alloc(TIME_BYTES);
    time.writeUIntBE(nowMs + RETRY_TOKEN_MS, 0, TIME_BYTES);
    const mac = this.#mac(facts, time);
    return Buffer.concat([mac, time, facts.originalId]);
  }

  /** @returns The original connection id, or `undefined` when the token is not ours, not for this address and id, or too old. */
  check(
    token: Uint8Array,
    from: UdpAddress,
    retryId: Uint8Array,
    nowMs: number,
  ): Uint8Array | undefined {
    if (token.length < MAC_BYTES + TIME_BYTES) return undefined;
    const mac = token.subarray(0, MAC_BYTES);
    const time = Buffer.from(token.subarray(MAC_BYTES, MAC_BYTES + TIME_BYTES));
    const originalId = token.subarray(MAC_BYTES + TIME_BYTES);
    if (!timingSafeEqual(mac, this.#mac({ from, originalId, retryId }, time))) return undefined;
    if (time.readUIntBE(0, TIME_BYTES) < nowMs) return undefined;
    return originalId;
  }

  #mac(facts: RetryFacts, time: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key)
      .update(`${facts.from.host} ${facts.from.port} ${facts.originalId.length} `)
      .update(time)
      .update(facts.originalId)
      .update(facts.retryId)
      .digest()
      .subarray(0, MAC_BYTES);
  }
}
