/**
 * What the texts of the protocol may be, and how they are read.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { MAX_REASON_BYTES } from "../limits.ts";
import { protocolError } from "./varint.ts";

/** RFC 9110, 5.6.2: header names and methods. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/**
 * RFC 9110, 5.5: tab, space, visible and obs-text. No control character, so no CR, LF and NUL: what
 * node refuses to send is refused here first.
 */
export const FIELD_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;
/** A tunnel's name. */
export const TUNNEL_NAME = /^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$/;
/** What follows a tunnel's route: nothing, or a path or query of visible ASCII. */
export const TARGET = /^(?:[/?][\x21-\x7e]*)?$/;
/**
 * Ways for a path to leave the base of its route, or to be read as another path further on: empty
 * and dot segments, also with a parameter, and the encoded dot, slash, backslash and NUL. Edge and
 * rift each ask, with the same rule: neither relies on the other.
 */
export const UNSAFE_PATH = /\/\/|\/\.{1,2}(?:[/;]|$)|%(?:2e|2f|5c|00)|\\/i;
/**
 * The documents that OAuth clients look for at the root of a host (RFC 9728, 3; RFC 8414, 3) and,
 * in the older form of OpenID Connect Discovery, below an issuer's own path. Edge and rift each
 * ask. Group 1 is the document, group 2 or 3 the path it is about; `""` is the whole host.
 */
export const WELL_KNOWN =
  /^(?:\/\.well-known\/(oauth-protected-resource|oauth-authorization-server|openid-configuration)((?:\/[^?]*)?)|(\/[^?]+)\/\.well-known\/openid-configuration)$/;
/** A Host value that went through the front door: a name or address and an optional port. */
export const HOST = /^[A-Za-z0-9._:[\]-]{1,261}$/;
/** Ids and addresses that are shown and compared, not interpreted. */
export const LABEL = /^[\x21-\x7e]{1,64}$/;
/** A feature of the protocol. */
export const FEATURE = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** The text a binary string stands for, without a copy of the bytes. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  const buffer = bytes instanceof Buffer
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString("latin1", start, end);
}

/** The bytes of a binary string: every character is one byte. */
export function binary(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** `text` when it has the form `pattern`. @throws {TunnelError} `PROTOCOL_ERROR`. */
export function matching(pattern: RegExp, text: string, what: string): string {
  // The value stays out of the message: it is the peer's, and may be long or hostile.
  if (!pattern.test(text)) throw protocolError(`Cannot accept ${what}: not in its allowed form`);
  return text;
}

/**
 * UTF-8 text for people, without control characters, at most `MAX_REASON_BYTES`.
 *
 * @throws {TunnelError} `PROTOCOL_ERROR`.
 */
export function readProse(bytes: Uint8Array, what: string): string {
  if (bytes.length > MAX_REASON_BYTES) {
    throw protocolError(
      `Cannot accept ${what} of ${bytes.length} bytes: the limit is ${MAX_REASON_BYTES} bytes`,
    );
  }
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    // The decoder has one failure only: bytes that are not UTF-8.
    throw protocolError(`Cannot accept ${what}: not UTF-8`);
  }
  if (UNPRINTABLE.test(text)) {
    throw protocolError(`Cannot accept ${what}: it has a control character`);
  }
  return text;
}

/**
 * Any text made fit to be sent as a reason: control characters become spaces, and it is cut after
 * the last whole character within `MAX_REASON_BYTES`.
 */
export function fitProse(text: string): string {
  const clean = text.slice(0, MAX_REASON_BYTES).replace(UNPRINTABLE_ALL, " ");
  if (Buffer.byteLength(clean) <= MAX_REASON_BYTES) return clean;
  let kept = "";
  let bytes = 0;
  for (const character of clean) {
    bytes += Buffer.byteLength(character);
    if (bytes > MAX_REASON_BYTES) break;
    kept += character;
  }
  return kept;
}

/** The UTF-8 form of `text` as a binary string. */
export function utf8Binary(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// Controls, and the invisible characters that reorder or break lines in a terminal or a log.
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;
const UNPRINTABLE_ALL = new RegExp(UNPRINTABLE.source, "gu");
