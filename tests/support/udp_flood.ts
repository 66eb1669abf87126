/** Datagrams that a hostile host sends to an edge's port, and many sockets to send them from. @module */

import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";

import type { UdpAddress, UdpSocket } from "../../src/runtime/udp_socket.ts";
import { openUdp } from "../../src/runtime/udp_socket.ts";

const ID_BYTES = 20;
const INITIAL_BYTES = 1_200;
/** So many that an Initial with them is above `INITIAL_BYTES`, and below any MTU. */
const FRAMES_BYTES = 1_120;
const LONG_INITIAL = 0xc0;
const LONG_RETRY = 0xf0;
const VERSION_1 = Buffer.from([0, 0, 0, 1]);
/** RFC 9001, 5.8: a Retry ends with this much of an integrity tag. */
const RETRY_TAG_BYTES = 16;

/**
 * An Initial with a well-formed header and a payload that no key fits (RFC 9000, 17.2.2).
 *
 * @param to The id it is addressed to: any at first, the Retry's afterwards.
 * @param sourceId The id of the one that sends it.
 */
export function bogusInitial(
  to: Uint8Array,
  token: Uint8Array,
  sourceId: Uint8Array = anyId(),
): Uint8Array {
  const head = Buffer.concat([
    Buffer.from([LONG_INITIAL]),
    VERSION_1,
    Buffer.from([ID_BYTES]),
    to,
    Buffer.from([sourceId.length]),
    sourceId,
    varint(token.length),
    token,
  ]);
  const left = INITIAL_BYTES - head.length - 2;
  return Buffer.concat([head, varint(left), randomBytes(left)]);
}

/** A ClientHello in its CRYPTO frame, and the source id that its parameters name. */
export interface Hello {
  readonly frames: Uint8Array;
  readonly sourceId: Uint8Array;
}

/** Takes the ClientHello out of a client's first datagram, whose Initial has no token. */
export function helloOf(datagram: Uint8Array): Hello {
  const bytes = Buffer.from(datagram);
  const to = bytes.subarray(6, 6 + bytes[5]!);
  const sourceAt = 6 + to.length + 1;
  const sourceId = Buffer.from(bytes.subarray(sourceAt, sourceAt + bytes[sourceAt - 1]!));
  const lengthAt = sourceAt + sourceId.length + 1; // behind a token length of 0
  const length = (bytes[lengthAt]! & 0x3f) << 8 | bytes[lengthAt + 1]!;
  const numberAt = lengthAt + 2;
  const keys = initialKeys(to);
  const mask = maskOf(keys, bytes.subarray(numberAt + 4, numberAt + 4 + TAG_BYTES));
  bytes[0]! ^= mask[0]! & 0x0f;
  const numberBytes = (bytes[0]! & 3) + 1;
  for (let at = 0; at < numberBytes; at++) bytes[numberAt + at]! ^= mask[1 + at]!;
  const payloadAt = numberAt + numberBytes;
  const payloadEnd = numberAt + length;
  const number = bytes.readUIntBE(numberAt, numberBytes);
  const opened = createDecipheriv("aes-128-gcm", keys.key, nonceOf(keys, number));
  opened.setAAD(bytes.subarray(0, payloadAt));
  opened.setAuthTag(bytes.subarray(payloadEnd - TAG_BYTES, payloadEnd));
  const frames = opened.update(bytes.subarray(payloadAt, payloadEnd - TAG_BYTES));
  opened.final();
  return { frames, sourceId };
}

/** A whole Initial with `hello`, protected as RFC 9001, 5 says, to the id that a Retry gave. */
export function realInitial(to: Uint8Array, token: Uint8Array, hello: Hello): Uint8Array {
  const numberBytes = 4;
  const frames = Buffer.alloc(Math.max(hello.frames.length, FRAMES_BYTES)); // PADDING is 0
  frames.set(hello.frames);
  const head = Buffer.concat([
    Buffer.from([LONG_INITIAL | numberBytes - 1]),
    VERSION_1,
    Buffer.from([ID_BYTES]),
    to,
    Buffer.from([hello.sourceId.length]),
    hello.sourceId,
    varint(token.length),
    token,
    varint(numberBytes + frames.length + TAG_BYTES),
    Buffer.alloc(numberBytes),
  ]);
  const keys = initialKeys(to);
  const sealed = createCipheriv("aes-128-gcm", keys.key, nonceOf(keys, 0));
  sealed.setAAD(head);
  const body = Buffer.concat([sealed.update(frames), sealed.final()]);
  const packet = Buffer.concat([head, body, sealed.getAuthTag()]);
  const mask = maskOf(keys, packet.subarray(head.length, head.length + TAG_BYTES));
  packet[0]! ^= mask[0]! & 0x0f;
  for (let at = 0; at < numberBytes; at++) {
    packet[head.length - numberBytes + at]! ^= mask[1 + at]!;
  }
  return packet;
}

/** What a Retry asks for, when `bytes` are one. */
export function readRetry(
  bytes: Uint8Array,
): { readonly id: Uint8Array; readonly token: Uint8Array } | undefined {
  if (((bytes[0] ?? 0) & LONG_RETRY) !== LONG_RETRY) return undefined;
  let at = 5;
  at += 1 + bytes[at]!;
  const length = bytes[at]!;
  const id = Buffer.from(bytes.subarray(at + 1, at + 1 + length));
  at += 1 + length;
  return { id, token: Buffer.from(bytes.subarray(at, bytes.length - RETRY_TAG_BYTES)) };
}

/** Bytes that mean nothing, of any length and with any first byte. */
export function garbage(): Uint8Array {
  const [high = 0, low = 0] = randomBytes(2);
  return randomBytes(1 + (high << 8 | low) % 1_400);
}

/** A new connection id. */
export function anyId(): Uint8Array {
  return randomBytes(ID_BYTES);
}

/** Sockets at each of `hosts`, `perHost` ports at each. */
export async function openMany(
  hosts: readonly string[],
  perHost: number,
  onDatagram: (bytes: Uint8Array, socket: number, from: UdpAddress) => void,
): Promise<UdpSocket[]> {
  const all = hosts.flatMap((host) => Array<string>(perHost).fill(host));
  return await Promise.all(all.map((host, index) =>
    openUdp({
      host,
      port: 0,
      onDatagram: (bytes, from) => onDatagram(bytes, index, from),
      onError() {},
    })
  ));
}

interface InitialKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  readonly hp: Uint8Array;
}

/** RFC 9001, 5.2: the keys of a client's Initial follow from the id it is addressed to. */
function initialKeys(to: Uint8Array): InitialKeys {
  const initial = createHmac("sha256", INITIAL_SALT).update(to).digest();
  const client = expandLabel(initial, "client in", 32);
  return {
    key: expandLabel(client, "quic key", 16),
    iv: expandLabel(client, "quic iv", 12),
    hp: expandLabel(client, "quic hp", 16),
  };
}

/** RFC 8446, 7.1, for one block of output. */
function expandLabel(secret: Uint8Array, label: string, length: number): Uint8Array {
  const name = `tls13 ${label}`;
  const info = Buffer.concat([
    Buffer.from([0, length, name.length]),
    Buffer.from(name),
    Buffer.from([0, 1]),
  ]);
  return createHmac("sha256", secret).update(info).digest().subarray(0, length);
}

/** RFC 9001, 5.4.3. */
function maskOf({ hp }: InitialKeys, sample: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-128-ecb", hp, null);
  cipher.setAutoPadding(false);
  return cipher.update(sample);
}

function nonceOf({ iv }: InitialKeys, number: number): Uint8Array {
  const nonce = Buffer.from(iv);
  nonce[nonce.length - 1]! ^= number;
  return nonce;
}

/** RFC 9001, 5.2. */
const INITIAL_SALT = Buffer.from("38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "hex");
const TAG_BYTES = 16;

/** RFC 9000, 16, in two bytes. */
function varint(value: number): Uint8Array {
  return Buffer.from([0x40 | value >> 8, value & 0xff]);
}
