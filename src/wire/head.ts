/**
 * The head of an exchange, in both directions (docs/wire-protocol.md, section 6).
 *
 * On the path of every exchange, so: one binary string out, one binary string in, and two regular
 * expressions over all names and all values instead of one per header. That is why a header block
 * has its lengths first, then every name, then every value.
 *
 * @module
 */

import { ERROR_TABLE, TunnelError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import { MAX_HEAD_BYTES, MAX_HEAD_FIELDS } from "../limits.ts";
import { FRAME, frameText, isCritical } from "./frame.ts";
import { HeadReader } from "./head_reader.ts";
import {
  binary,
  FIELD_TEXT,
  HOST,
  LABEL,
  latin1,
  matching,
  TARGET,
  TOKEN,
  TUNNEL_NAME,
} from "./text.ts";
import { Cursor, protocolError, varintText } from "./varint.ts";

/** Flat `[name, value, name, value]`, latin1 as node's `rawHeaders`; order and case are kept. */
export type HeaderPairs = readonly string[];

/** Whom the edge knows to be asking. */
export type Known = "user" | "edge";

/** What the edge tells the rift about a request. */
export interface RequestHead {
  readonly tunnel: string;
  readonly method: string;
  /**
   * What follows the tunnel's route in the request target: `""`, or `"/rest"` and/or `"?query"`.
   * With `base: "origin"`: a whole target that {@link WELL_KNOWN} matches.
   */
  readonly target: string;
  /** Where `target` starts at the upstream; absent: at its endpoint. Needs the feature `well-known`. */
  readonly base?: "origin" | undefined;
  readonly publicHost: string;
  readonly publicScheme: "http" | "https";
  readonly clientAddress: string;
  readonly exchangeId: string;
  /**
   * Who asks, where the edge knows: a user whom it has proved, or itself. Absent: anyone may be
   * asking, also when the edge is one that does not know this field.
   */
  readonly known?: Known | undefined;
  /** End-to-end headers only. */
  readonly headers: HeaderPairs;
}

/** What the rift tells the edge about a response. */
export interface ResponseHead {
  /** 200 to 599: the final status. */
  readonly status: number;
  readonly statusText: string;
  readonly headers: HeaderPairs;
  /** Set when the rift, not the upstream, made this answer. */
  readonly error?: ErrorCode;
}

/**
 * A whole request head frame.
 *
 * Characters of headers must be below U+0100, as node's `rawHeaders` are.
 *
 * @throws {TunnelError} `HEADERS_TOO_LARGE` above `MAX_HEAD_BYTES` or `MAX_HEAD_FIELDS`, and
 *   `BAD_REQUEST` when the target has other than visible ASCII.
 */
export function encodeRequestHead(head: RequestHead): Uint8Array {
  const { headers } = head;
  if (!TARGET.test(head.target)) {
    throw new TunnelError("BAD_REQUEST", "Cannot send request: its target is not visible ASCII");
  }
  const payload = HEADERS_KEY + headerField(headers) +
    TUNNEL_KEY + sized(head.tunnel) +
    METHOD_KEY + sized(head.method) +
    TARGET_KEY + sized(head.target) +
    HOST_KEY + sized(head.publicHost) +
    (head.publicScheme === "https" ? HTTPS_FIELD : HTTP_FIELD) +
    CLIENT_KEY + sized(head.clientAddress) +
    EXCHANGE_KEY + sized(head.exchangeId) +
    (head.base === undefined ? "" : ORIGIN_FIELD) +
    (head.known === undefined ? "" : KNOWN_KEY + sized(head.known));
  if (payload.length > MAX_HEAD_BYTES || headers.length > 2 * MAX_HEAD_FIELDS) {
    throw new TunnelError("HEADERS_TOO_LARGE", `Cannot send request head: ${SIZE_LIMITS}`);
  }
  return binary(frameText(FRAME.requestHead, payload));
}

/**
 * A whole response head frame. Characters of headers must be below U+0100.
 *
 * @throws {TunnelError} `UPSTREAM_FAILED` when the answer cannot be carried: above `MAX_HEAD_BYTES`
 *   or `MAX_HEAD_FIELDS`, or a status outside 200 to 599.
 */
export function encodeResponseHead(head: ResponseHead): Uint8Array {
  const { headers, status, statusText, error } = head;
  if (!isFinalStatus(status)) {
    throw new TunnelError("UPSTREAM_FAILED", `Cannot send response: status ${status}`);
  }
  let payload = HEADERS_KEY + headerField(headers) + STATUS_KEY + sized(varintText(status));
  if (statusText !== "") payload += STATUS_TEXT_KEY + sized(statusText);
  if (error !== undefined) payload += ERROR_KEY + sized(error);
  if (payload.length > MAX_HEAD_BYTES || headers.length > 2 * MAX_HEAD_FIELDS) {
    throw new TunnelError("UPSTREAM_FAILED", `Cannot send response head: ${SIZE_LIMITS}`);
  }
  return binary(frameText(FRAME.responseHead, payload));
}

/** Reads one request head from the front of a stream. */
export function requestHeadReader(): HeadReader<RequestHead> {
  return new HeadReader(REQUEST_CODEC, MAX_HEAD_BYTES);
}

/** Reads one response head from the front of a stream. */
export function responseHeadReader(): HeadReader<ResponseHead> {
  return new HeadReader(RESPONSE_CODEC, MAX_HEAD_BYTES);
}

/**
 * Reads the payload of a request head frame, the bytes from `start` to `end`.
 *
 * @throws {TunnelError} `PROTOCOL_ERROR`, and nothing else.
 */
export function decodeRequestHead(bytes: Uint8Array, start: number, end: number): RequestHead {
  const block = latin1(bytes, start, end);
  const cursor = new Cursor(bytes, start, end);
  let tunnel: string | undefined;
  let method: string | undefined;
  let target: string | undefined;
  let publicHost: string | undefined;
  let scheme: string | undefined;
  let clientAddress: string | undefined;
  let exchangeId: string | undefined;
  let base: string | undefined;
  let known: string | undefined;
  let headers: string[] | undefined;
  while (cursor.offset < end) {
    const key = cursor.varint();
    const length = cursor.length();
    const from = cursor.offset - start;
    const to = from + length;
    switch (key) {
      case REQUEST_FIELD.headers:
        once(headers);
        headers = readHeaders(cursor, block, start, to);
        break;
      case REQUEST_FIELD.tunnel:
        once(tunnel);
        tunnel = matching(TUNNEL_NAME, block.substring(from, to), "tunnel name");
        break;
      case REQUEST_FIELD.method:
        once(method);
        method = matching(TOKEN, block.substring(from, to), "method");
        break;
      case REQUEST_FIELD.target:
        once(target);
        target = matching(TARGET, block.substring(from, to), "target");
        break;
      case REQUEST_FIELD.publicHost:
        once(publicHost);
        publicHost = matching(HOST, block.substring(from, to), "public host");
        break;
      case REQUEST_FIELD.publicScheme:
        once(scheme);
        scheme = block.substring(from, to);
        break;
      case REQUEST_FIELD.clientAddress:
        once(clientAddress);
        clientAddress = matching(LABEL, block.substring(from, to), "client address");
        break;
      case REQUEST_FIELD.exchangeId:
        once(exchangeId);
        exchangeId = matching(LABEL, block.substring(from, to), "exchange id");
        break;
      case REQUEST_FIELD.base:
        once(base);
        base = block.substring(from, to);
        break;
      case REQUEST_FIELD.known:
        once(known);
        known = block.substring(from, to);
        break;
      default:
        skip(key);
    }
    cursor.offset = start + to;
  }
  if (
    tunnel === undefined || method === undefined || target === undefined ||
    publicHost === undefined || clientAddress === undefined || exchangeId === undefined ||
    headers === undefined
  ) throw protocolError("Cannot accept request head: a required field is missing");
  if (scheme !== "http" && scheme !== "https") {
    throw protocolError("Cannot accept public scheme: not in its allowed form");
  }
  if (base !== undefined && base !== "origin") {
    throw protocolError("Cannot accept base: not in its allowed form");
  }
  if (known !== undefined && known !== "user" && known !== "edge") {
    throw protocolError("Cannot accept known: not in its allowed form");
  }
  // Written out: a spread with a changing shape costs a new hidden class each time (V8).
  return {
    tunnel,
    method,
    target,
    base,
    publicHost,
    publicScheme: scheme,
    clientAddress,
    exchangeId,
    known,
    headers,
  };
}

/**
 * Reads the payload of a response head frame, the bytes from `start` to `end`.
 *
 * @throws {TunnelError} `PROTOCOL_ERROR`, and nothing else.
 */
export function decodeResponseHead(bytes: Uint8Array, start: number, end: number): ResponseHead {
  const block = latin1(bytes, start, end);
  const cursor = new Cursor(bytes, start, end);
  let status: number | undefined;
  let statusText: string | undefined;
  let headers: string[] | undefined;
  let error: ErrorCode | undefined;
  while (cursor.offset < end) {
    const key = cursor.varint();
    const length = cursor.length();
    const from = cursor.offset - start;
    const to = from + length;
    switch (key) {
      case RESPONSE_FIELD.headers:
        once(headers);
        headers = readHeaders(cursor, block, start, to);
        break;
      case RESPONSE_FIELD.status:
        once(status);
        status = readStatus(new Cursor(bytes, start + from, start + to));
        break;
      case RESPONSE_FIELD.statusText:
        once(statusText);
        statusText = matching(FIELD_TEXT, block.substring(from, to), "status text");
        break;
      case RESPONSE_FIELD.error:
        once(error);
        error = readErrorCode(block.substring(from, to));
        break;
      default:
        skip(key);
    }
    cursor.offset = start + to;
  }
  if (status === undefined || headers === undefined) {
    throw protocolError("Cannot accept response head: a required field is missing");
  }
  const head = { status, statusText: statusText ?? "", headers };
  return error === undefined ? head : { ...head, error };
}

/** `count`, then the two lengths of each header, then every name, then every value. */
function headerField(headers: HeaderPairs): string {
  const count = headers.length >> 1;
  let lengths = varintText(count);
  let names = "";
  let values = "";
  for (let index = 0; index < 2 * count; index += 2) {
    const name = headers[index]!;
    const value = headers[index + 1]!;
    lengths += varintText(name.length) + varintText(value.length);
    names += name;
    values += value;
  }
  return varintText(lengths.length + names.length + values.length) + lengths + names + values;
}

/** The headers of the field that starts at the cursor and ends at `to`, an offset of `block`. */
function readHeaders(cursor: Cursor, block: string, start: number, to: number): string[] {
  const count = cursor.varint();
  if (count > MAX_HEAD_FIELDS) {
    throw protocolError(`Cannot accept ${count} headers: the limit is ${MAX_HEAD_FIELDS}`);
  }
  // First the lengths, kept in place: every text is cut in the second pass, when all sums are known.
  const lengthsAt = cursor.offset;
  let nameBytes = 0;
  let valueBytes = 0;
  for (let index = 0; index < count; index++) {
    const length = cursor.varint();
    if (length === 0) throw protocolError("Cannot accept header: its name is empty");
    nameBytes += length;
    valueBytes += cursor.varint();
  }
  let nameAt = cursor.offset - start;
  let valueAt = nameAt + nameBytes;
  if (valueAt + valueBytes !== to) {
    throw protocolError("Cannot accept headers: their lengths do not add up");
  }
  if (count === 0) return [];
  matching(TOKEN, block.substring(nameAt, valueAt), "header name");
  matching(FIELD_TEXT, block.substring(valueAt, to), "header value");

  cursor.offset = lengthsAt;
  const headers: string[] = [];
  for (let index = 0; index < count; index++) {
    const nameEnd = nameAt + cursor.varint();
    const valueEnd = valueAt + cursor.varint();
    headers.push(block.substring(nameAt, nameEnd), block.substring(valueAt, valueEnd));
    nameAt = nameEnd;
    valueAt = valueEnd;
  }
  return headers;
}

function readStatus(cursor: Cursor): number {
  const status = cursor.varint();
  if (cursor.more || !isFinalStatus(status)) {
    throw protocolError("Cannot accept status: not from 200 to 599");
  }
  return status;
}

/** A newer rift may have codes that this edge does not know: they count as `INTERNAL`. */
function readErrorCode(name: string): ErrorCode {
  matching(ERROR_NAME, name, "error code");
  // Proof of the cast: the name is a key of the table.
  return Object.hasOwn(ERROR_TABLE, name) ? name as ErrorCode : "INTERNAL";
}

function isFinalStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 200 && status <= 599;
}

function sized(text: string): string {
  return varintText(text.length) + text;
}

function once(before: unknown): void {
  if (before !== undefined) throw protocolError("Cannot accept head: a field is there twice");
}

function skip(key: number): void {
  if (isCritical(key)) throw protocolError(`Cannot accept head: unknown critical field ${key}`);
}

const REQUEST_FIELD = {
  headers: 1,
  tunnel: 3,
  method: 5,
  target: 7,
  publicHost: 9,
  publicScheme: 11,
  clientAddress: 13,
  exchangeId: 15,
  base: 17,
  known: 2,
} as const;

const RESPONSE_FIELD = { headers: 1, status: 3, statusText: 2, error: 4 } as const;

const ERROR_NAME = /^[A-Z][A-Z0-9_]{0,63}$/;
const SIZE_LIMITS = `the limits are ${MAX_HEAD_BYTES} bytes and ${MAX_HEAD_FIELDS} headers`;

const REQUEST_CODEC = { frameType: FRAME.requestHead, decode: decodeRequestHead };
const RESPONSE_CODEC = { frameType: FRAME.responseHead, decode: decodeResponseHead };

const HEADERS_KEY = varintText(REQUEST_FIELD.headers);
const TUNNEL_KEY = varintText(REQUEST_FIELD.tunnel);
const METHOD_KEY = varintText(REQUEST_FIELD.method);
const TARGET_KEY = varintText(REQUEST_FIELD.target);
const HOST_KEY = varintText(REQUEST_FIELD.publicHost);
const HTTP_FIELD = varintText(REQUEST_FIELD.publicScheme) + sized("http");
const HTTPS_FIELD = varintText(REQUEST_FIELD.publicScheme) + sized("https");
const CLIENT_KEY = varintText(REQUEST_FIELD.clientAddress);
const EXCHANGE_KEY = varintText(REQUEST_FIELD.exchangeId);
const ORIGIN_FIELD = varintText(REQUEST_FIELD.base) + sized("origin");
const KNOWN_KEY = varintText(REQUEST_FIELD.known);
const STATUS_KEY = varintText(RESPONSE_FIELD.status);
const STATUS_TEXT_KEY = varintText(RESPONSE_FIELD.statusText);
const ERROR_KEY = varintText(RESPONSE_FIELD.error);
