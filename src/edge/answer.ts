/**
 * Ends an answer so that the client can read it, also when its request is still on the way.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";

import type { Clock } from "../clock.ts";
import type { ErrorCode } from "../errors.ts";
import { LINGER_MS } from "../limits.ts";
import { errorResponse } from "./error_response.ts";
import type { ErrorDetail } from "./error_response.ts";

/**
 * Connections that end with the answer that was decided last: nothing behind it is served, since
 * nobody could be told what became of it (RFC 9112, section 9.6).
 */
const ending = new WeakSet<object>();

/** Marks the connection as one that ends with the answer to this request. */
export function endsWith(request: IncomingMessage): void {
  ending.add(request.socket);
}

/** Has a request before this one on its connection been answered with the end of it? */
export function isBehindEnd(request: IncomingMessage): boolean {
  return ending.has(request.socket);
}

/** Answers with an error; the head must not have been sent. */
export function answerError(
  request: IncomingMessage,
  response: ServerResponse,
  clock: Clock,
  code: ErrorCode,
  extra?: ErrorDetail,
): void {
  const { status, headers, body } = errorResponse(code, extra);
  // What the client still sends belongs to the refused request: it must not be read as another one.
  if (!isWhole(request)) {
    headers.push("Connection", "close");
    endsWith(request);
  }
  response.writeHead(status, headers);
  endAnswer(request, response, clock, body);
}

/**
 * Ends the answer with `chunk`.
 *
 * Closing a socket with unread bytes makes the kernel send a reset, which can take the answer away
 * from a client that has not read it yet (RFC 9112, section 9.6). So what still comes is read and
 * dropped for a while, and only then the answer is ended.
 */
export function endAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  clock: Clock,
  chunk: Uint8Array,
): void {
  if (isWhole(request) || request.destroyed) {
    response.end(chunk);
    return;
  }
  if (chunk.length > 0) response.write(chunk);
  else response.flushHeaders();
  const finish = (): void => {
    timer.cancel();
    request.off("end", finish);
    response.off("close", finish);
    response.end();
    if (!request.complete || isBehindEnd(request)) request.socket.destroySoon();
  };
  const timer = clock.setTimer(LINGER_MS, finish, "no");
  request.once("end", finish);
  response.once("close", finish);
  request.resume();
}

/** Has everything of the request come? Without a body its head is all of it. */
function isWhole(request: IncomingMessage): boolean {
  if (request.complete) return true;
  const length = request.headers["content-length"];
  return request.headers["transfer-encoding"] === undefined &&
    (length === undefined || Number(length) === 0);
}
