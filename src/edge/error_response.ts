/**
 * Answers that the edge gives itself: a status from the error table and a JSON-RPC error body.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { STATUS_CODES } from "node:http";

import { ERROR_TABLE } from "../errors.ts";
import type { ErrorCode, ErrorFacts } from "../errors.ts";
import { RETRY_AFTER_S } from "../limits.ts";

/** A whole answer. */
export interface ErrorResponse {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer;
}

/** What an answer may say besides its code. */
export interface ErrorDetail {
  /** Goes after the fixed sentence: a limit, or what is wrong. Never a cause or a path. */
  readonly detail?: string | undefined;
  /** Methods, for 405. */
  readonly allow?: string | undefined;
  /** Flat pairs to add. */
  readonly headers?: readonly string[] | undefined;
}

/** The answer for `code`; codes that have no HTTP status are internal errors to a client. */
export function errorResponse(code: ErrorCode, extra: ErrorDetail = {}): ErrorResponse {
  const known: ErrorFacts = ERROR_TABLE[code];
  const shown: ErrorCode = known.http === undefined ? "INTERNAL" : code;
  const facts: ErrorFacts = ERROR_TABLE[shown];
  const status = facts.http ?? ERROR_TABLE.INTERNAL.http;
  const message = extra.detail === undefined
    ? facts.sentence
    : `${facts.sentence}: ${extra.detail}`;
  const body = Buffer.from(JSON.stringify({
    jsonrpc: "2.0",
    id: null,
    error: { code: status >= 500 ? -32_603 : -32_600, message, data: { code: shown } },
  }));
  const headers = [
    "Content-Type",
    "application/json",
    "Content-Length",
    String(body.length),
    "Cache-Control",
    "no-store",
  ];
  const more = extra.headers ?? [];
  if ((status === 503 || status === 429) && !more.includes("Retry-After")) {
    headers.push("Retry-After", String(RETRY_AFTER_S));
  }
  // A 401 must have one (RFC 9110, 15.5.2).
  if (status === 401 && !more.includes("WWW-Authenticate")) {
    headers.push("WWW-Authenticate", "Bearer");
  }
  headers.push(...more);
  if (extra.allow !== undefined) headers.push("Allow", extra.allow);
  return { status, headers, body };
}

/** The same as bytes for a socket whose request could not be parsed; it closes the connection. */
export function rawErrorResponse(code: ErrorCode, extra: ErrorDetail = {}): Buffer {
  const { status, headers, body } = errorResponse(code, extra);
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nConnection: close\r\n`;
  for (let index = 0; index < headers.length; index += 2) {
    head += `${headers[index]}: ${headers[index + 1]}\r\n`;
  }
  return Buffer.concat([Buffer.from(`${head}\r\n`, "latin1"), body]);
}
