/**
 * Connection ids by which an edge tells the first packets of its own rifts from those of a flood.
 *
 * Who sends a first packet cannot be known yet, and its address may be shared with whoever floods.
 * But the sender chooses its connection id (RFC 9000, 5.1), and a rift puts a mac in it, under a key
 * made of the CA certificate: every credential holds it, and no handshake shows it, since TLS sends
 * the leaf alone. It decides who is served first, and nothing else: the certificate says who it is.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

import { MEMBER_ID_MS } from "../../limits.ts";
import { derOfPem } from "../pem.ts";

const TIME_BYTES = 4;
const NONCE_BYTES = 4;
/** With time and nonce the 20 bytes of a connection id. */
const MAC_BYTES = 12;

/** Makes and checks the ids of one CA. */
export class MemberIds {
  readonly #key: Uint8Array;

  /** @param caPem The CA of the tunnel's certificates; the first one when it holds several. */
  constructor(caPem: string) {
    const der = derOfPem(caPem)[0] ?? new Uint8Array(0);
    this.#key = createHash("sha256").update("mcptun member id\0").update(der).digest();
  }

  /** A new id. @param wallMs Wall clock: an id that was overheard is good for a while only. */
  make(wallMs: number): Uint8Array {
    const head = Buffer.alloc(TIME_BYTES + NONCE_BYTES);
    head.writeUInt32BE(secondOf(wallMs));
    randomBytes(NONCE_BYTES).copy(head, TIME_BYTES);
    return Buffer.concat([head, this.#mac(head)]);
  }

  /** Was it made with the same CA, and lately? The peer's clock may be off by `MEMBER_ID_MS`. */
  check(id: Uint8Array, wallMs: number): boolean {
    if (id.length !== TIME_BYTES + NONCE_BYTES + MAC_BYTES) return false;
    const bytes = Buffer.from(id.buffer, id.byteOffset, id.byteLength);
    const apartS = Math.abs(bytes.readUInt32BE() - secondOf(wallMs));
    if (apartS * 1_000 > MEMBER_ID_MS) return false;
    const head = bytes.subarray(0, TIME_BYTES + NONCE_BYTES);
    return timingSafeEqual(bytes.subarray(head.length), this.#mac(head));
  }

  #mac(head: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key).update(head).digest().subarray(0, MAC_BYTES);
  }
}

/** Whole seconds since the Unix epoch, as far as four bytes go. */
function secondOf(wallMs: number): number {
  return Math.max(0, Math.floor(wallMs / 1_000)) % 2 ** 32;
}
