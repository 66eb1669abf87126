/**
 * One HTTP request and its answer, carried by one stream.
 *
 * On the path of every byte: no promise, no copy and no object per chunk. Bodies go through with
 * back-pressure both ways, and nothing is retried: a repeated `tools/call` is a second call.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

import type { Clock } from "../clock.ts";
import type { Slotted } from "../churn_set.ts";
import { errorCodeOfQuic, quicOf } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import { CLIENT_SOCKET_BUFFER_BYTES, ONE_WRITE_BYTES } from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Connection, Stream, StreamHandler } from "../transport/transport.ts";
import { CONNECTION_LOST_STREAM_CODE } from "../transport/transport.ts";
import { encodeRequestHead, responseHeadReader } from "../wire/head.ts";
import type { RequestHead, ResponseHead } from "../wire/head.ts";
import type { Authenticated } from "../principal.ts";
import { answerError, endAnswer } from "./answer.ts";
import type { BodyWatch, Watch, WatchedBody } from "./body_watch.ts";
import type { AnswerFilter, BodyPlan } from "./aware/answer_filter.ts";
import type { JudgedBody } from "./aware/judged_body.ts";
import { ChunkOverhead } from "./chunk_overhead.ts";
import { corsHeaders } from "./cors.ts";
import type { EdgeSettings, TunnelSettings } from "./edge_options.ts";
import type { ErrorDetail } from "./error_response.ts";
import { answerable, lowerCase, openFailure, riftError } from "./exchange_failure.ts";
import type { CarriedBytes } from "./exchange_record.ts";
import { readResponseHeaders, withoutHeader } from "./request_headers.ts";
import type { Outcome } from "./served_tunnel.ts";
import { SseKeepalive } from "./sse_keepalive.ts";

/** What all exchanges of an edge share. */
export interface ExchangeContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly bodyWatch: BodyWatch;
  /** Answers that a client does not read: they hold a window of the tunnel. */
  readonly answerWatch: BodyWatch;
  /** Those in force now. */
  limits: Pick<EdgeSettings, "maxBodyBytes" | "bodyTimeoutMs">;
}

/** What one exchange is made of. */
export interface ExchangeStart {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly settings: TunnelSettings;
  readonly connection: Connection;
  readonly head: RequestHead;
  readonly body: "none" | "sized" | "chunked";
  /** The whole body, when it was read before. */
  readonly wholeBody?: JudgedBody | undefined;
  /** Takes out of the answer what the client may not see. */
  readonly filter?: AnswerFilter | undefined;
  readonly waits: "no" | "for_continue";
  /** Who it is for; `undefined` where the private server asks. */
  readonly client: Authenticated | undefined;
  /** The page whose answer it is. */
  readonly origin: string | undefined;
  /** Tells the client the exchange's id, under which records have it. */
  readonly tellsId: boolean;
  readonly observer: ExchangeObserver;
}

/** Told what becomes of an exchange. */
export interface ExchangeObserver {
  /**
   * The head of the private server's answer is there; at most once.
   *
   * @returns why it must not go out all the same.
   */
  answered(eventStream: boolean): ErrorCode | undefined;
  /** The edge answers, or cuts, by itself. */
  failed(code: ErrorCode): void;
  /** Called exactly once. */
  ended(outcome: Outcome, carried: CarriedBytes): void;
}

/** A running exchange. */
export interface RunningExchange extends Slotted {
  readonly client: Authenticated | undefined;
  /** As they were when it began. */
  readonly settings: TunnelSettings;
  readonly request: IncomingMessage;
  /** Ends it now: the client learns that its proof is not good any more. */
  cut(): void;
}

/** Opens a stream for an admitted request and carries it to its end. */
export function startExchange(context: ExchangeContext, start: ExchangeStart): RunningExchange {
  const exchange = new Exchange(context, start);
  exchange.open();
  return exchange;
}

class Exchange implements StreamHandler, WatchedBody, RunningExchange {
  readonly client: Authenticated | undefined;
  readonly settings: TunnelSettings;
  readonly request: IncomingMessage;
  slot = -1;
  progressAtMs: number | undefined = 0;
  receivedBytes = 0;
  #watch: Watch | undefined;
  #overhead: ChunkOverhead | undefined;
  readonly #context: ExchangeContext;
  readonly #start: ExchangeStart;
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #reader = responseHeadReader();
  #stream: Stream | undefined;
  /** Nothing of the request is to be sent any more: all was, or the rift wants no more. */
  #requestDone: boolean;
  #headSent = false;
  /** The answer has no body, whatever its headers say. */
  #bodyless = false;
  #contentLength: number | undefined;
  #answerBytes = 0;
  /** Of the body, as it went to the client. */
  #sentBytes = 0;
  #waitsForDrain = false;
  #drainHooked = false;
  /** The last of the answer, which waits for the client to read what is before it. */
  #tail: Uint8Array | undefined;
  #stalledAnswer: Watch | undefined;
  #keepalive: SseKeepalive | undefined;
  /** What the filter does with the body; without one it passes. */
  #plan: BodyPlan = "pass";
  /** The head of an answer that waits for its whole body. */
  #heldHead: HeldHead | undefined;
  /** The stream is finished or given up: nothing from it counts any more. */
  #streamDone = false;
  #ended = false;
  #outcome: Outcome = "aborted";

  constructor(context: ExchangeContext, start: ExchangeStart) {
    this.#context = context;
    this.#start = start;
    this.client = start.client;
    this.settings = start.settings;
    this.request = start.request;
    this.#response = start.response;
    this.#socket = start.request.socket;
    this.#requestDone = start.body === "none" || start.wholeBody !== undefined;
  }

  open(): void {
    const { connection, head, body, waits } = this.#start;
    this.#response.on("close", this.#onClose);
    // An answer that waits behind another one on the same connection gets no `close` of its own.
    this.#socket.on("close", this.#onClose);
    let bytes: Uint8Array;
    try {
      bytes = encodeRequestHead(head);
      this.#stream = connection.openStream(this);
    } catch (error) {
      return this.#fail(openFailure(error));
    }
    if (waits === "for_continue") this.#response.writeContinue();
    if (this.#requestDone) {
      const { wholeBody } = this.#start;
      if (wholeBody === undefined) this.#stream.end(bytes);
      // One write, so one flush, for the usual small call.
      else if (wholeBody.length <= ONE_WRITE_BYTES) {
        this.#stream.end(Buffer.concat([bytes, wholeBody.take()]));
        wholeBody.release();
      } else {
        this.#stream.write(bytes);
        if (this.#stream.write(wholeBody.take())) this.#endWholeBody();
        // The queue of the stream holds it: `onDrain` tells when not any more.
        else this.#requestDone = false;
      }
      return;
    }
    if (body === "chunked") this.#overhead = new ChunkOverhead(this.request);
    this.#stream.write(bytes);
    this.progressAtMs = this.#context.clock.now();
    this.#watch = this.#context.bodyWatch.add(this);
    this.request.on("data", this.#onBody);
    this.request.on("end", this.#onBodyEnd);
  }

  // --- The request's body, from the client ---

  readonly #onBody = (chunk: Buffer): void => {
    this.receivedBytes += chunk.length;
    const { maxBodyBytes } = this.#context.limits;
    if (this.receivedBytes > maxBodyBytes) {
      this.#stopBody();
      return this.#fail("BODY_TOO_LARGE", { detail: `the limit is ${maxBodyBytes} bytes` });
    }
    if (this.#overhead?.isTooMuch(this.receivedBytes) === true) {
      this.#stopBody();
      return this.#fail("BODY_TOO_LARGE", { detail: "its chunks are mostly not content" });
    }
    if (this.#requestDone || this.#stream!.write(chunk)) {
      this.progressAtMs = this.#context.clock.now();
    } else {
      this.progressAtMs = undefined;
      this.request.pause();
    }
  };

  readonly #onBodyEnd = (): void => {
    this.#context.bodyWatch.delete(this.#watch);
    if (this.#requestDone) return;
    this.#requestDone = true;
    this.#stream!.end();
  };

  onStalled(): void {
    this.#stopBody();
    const detail = `the limit is ${this.#context.limits.bodyTimeoutMs} ms without progress`;
    this.#fail("REQUEST_TIMEOUT", { detail });
  }

  onDrain(): void {
    if (this.#requestDone) return;
    if (this.#start.wholeBody !== undefined) return this.#endWholeBody();
    this.progressAtMs = this.#context.clock.now();
    this.request.resume();
  }

  /** The rift wants no more of the body: the rest is read and dropped, in the same limits. */
  onStopped(): void {
    this.#start.wholeBody?.release();
    this.#requestDone = true;
    this.progressAtMs = this.#context.clock.now();
    this.request.resume();
  }

  /** What is still queued of it is small. */
  #endWholeBody(): void {
    this.#requestDone = true;
    this.#stream!.end();
    this.#start.wholeBody?.release();
  }

  #stopBody(): void {
    this.#requestDone = true;
    this.#context.bodyWatch.delete(this.#watch);
    this.request.off("data", this.#onBody);
  }

  // --- The answer, from the rift ---

  onData(chunk: Uint8Array, fin: boolean): void {
    if (this.#streamDone) return;
    if (this.#heldHead !== undefined) return this.#holdBody(chunk, fin);
    if (this.#headSent) return this.#body(chunk, fin);
    let read: { readonly head: ResponseHead; readonly rest: Uint8Array } | undefined;
    try {
      read = this.#reader.push(chunk);
    } catch (error) {
      this.#context.log.warn("Rift sent a head that cannot be read", { error: String(error) });
      return this.#fail("UPSTREAM_FAILED");
    }
    if (read === undefined) {
      if (fin) this.#fail("UPSTREAM_FAILED");
      return;
    }
    if (read.head.error !== undefined) return this.#fail(riftError(read.head.error));
    const problem = this.#readHead(read.head);
    if (problem !== undefined) return this.#fail(problem);
    if (this.#heldHead !== undefined) return this.#holdBody(read.rest, fin);
    if (this.#bodyless) return this.#finish(NOTHING);
    if (fin || read.rest.length > 0) return this.#body(read.rest, fin);
    // The body often comes in the same turn; if not, the head must not wait for it.
    process.nextTick(flushHead, this.#response);
  }

  onAbort(code: number): void {
    if (this.#streamDone) return;
    this.#streamDone = true;
    if (code === CONNECTION_LOST_STREAM_CODE) {
      this.#fail("CONNECTION_LOST", { detail: "the outcome is unknown" });
    } else {
      this.#fail(errorCodeOfQuic(code) ?? "UPSTREAM_FAILED");
    }
  }

  /** Reads the head and, unless the body decides about it, sends it on; or says why it cannot. */
  #readHead(head: ResponseHead): ErrorCode | undefined {
    const { settings } = this;
    const { origin, observer, filter } = this.#start;
    const headers = readResponseHeaders(head.headers, {
      cors: origin === undefined ? "theirs" : "ours",
      auth: settings.auth,
    });
    if (headers === undefined) return "UPSTREAM_FAILED";
    if (head.status === 401 && settings.auth === "edge") {
      // Passed on, it would send the client to fetch a token that the edge never asked for.
      this.#context.log.warn("Private server wants a credential of its own", {
        tunnel: settings.name,
        mend: "set authorization_file in the rift's [[rift.expose]]",
      });
      return "UPSTREAM_FAILED";
    }
    this.#outcome = `${Math.floor(head.status / 100)}xx`;
    const refusal = observer.answered(headers.eventStream !== "no");
    if (refusal !== undefined) return refusal;
    this.#contentLength = headers.contentLength;
    this.#bodyless = head.status === 204 || head.status === 304 ||
      this.#start.head.method === "HEAD";
    if (filter !== undefined) {
      this.#plan = filter.plan({
        status: head.status,
        contentType: headers.contentType,
        isEncoded: headers.isEncoded,
        hasBody: !this.#bodyless && headers.contentLength !== 0,
        sessionId: headers.mcpSessionId,
      }, this.#emitEvents);
      if (this.#plan === "refuse") return "UPSTREAM_FAILED";
    }
    // What is taken out of the events makes them shorter; without content there is no length
    // (RFC 9110, section 8.6).
    if (
      headers.contentLength !== undefined && (this.#plan === "events" || head.status === 204)
    ) headers.endToEnd = withoutHeader(headers.endToEnd, "content-length");
    if (origin !== undefined) headers.endToEnd.push(...corsHeaders(origin));
    if (this.#start.tellsId) headers.endToEnd.push(EXCHANGE_HEADER, this.#start.head.exchangeId);
    if (this.#plan === "whole") {
      this.#heldHead = {
        status: head.status,
        statusText: head.statusText,
        headers: headers.endToEnd,
      };
      return undefined;
    }
    this.#headSent = true;
    this.#response.writeHead(head.status, head.statusText, headers.endToEnd);
    const { sseKeepaliveMs } = settings;
    // With a length, a comment would push the upstream's own bytes beyond it.
    const mayGrow = headers.eventStream === "plain" && headers.contentLength === undefined;
    if (sseKeepaliveMs > 0 && mayGrow && !this.#bodyless) {
      this.#startKeepalive(sseKeepaliveMs);
    }
    return undefined;
  }

  #body(chunk: Uint8Array, fin: boolean): void {
    if (!this.#fits(chunk, fin)) return this.#fail("UPSTREAM_FAILED");
    if (this.#plan === "events") return this.#filterEvents(chunk, fin);
    if (fin) return this.#finish(chunk);
    this.#send(chunk);
  }

  /** Is the body, so far, as long as its head says? */
  #fits(chunk: Uint8Array, fin: boolean): boolean {
    this.#answerBytes += chunk.length;
    const length = this.#contentLength;
    // Bytes beyond the length would be read as the next answer on this client's connection.
    if (length === undefined) return true;
    if (this.#answerBytes <= length && (!fin || this.#answerBytes === length)) return true;
    this.#context.log.warn("Rift sent a body that is not as long as its head says");
    return false;
  }

  /** Keeps a JSON answer until it is whole, and sends what the client may see of it. */
  #holdBody(chunk: Uint8Array, fin: boolean): void {
    const { filter } = this.#start;
    const head = this.#heldHead;
    if (filter === undefined || head === undefined) return this.#fail("INTERNAL");
    if (!this.#fits(chunk, fin) || !filter.hold(chunk)) return this.#fail("UPSTREAM_FAILED");
    if (!fin) return;
    const whole = filter.whole();
    if (whole === undefined) return this.#fail("UPSTREAM_FAILED");
    this.#headSent = true;
    this.#heldHead = undefined;
    let { headers } = head;
    if (this.#contentLength !== whole.length) {
      if (this.#contentLength !== undefined) headers = withoutHeader(headers, "content-length");
      headers.push("Content-Length", String(whole.length));
    }
    this.#contentLength = this.#answerBytes = whole.length;
    this.#response.writeHead(head.status, head.statusText, headers);
    this.#finish(whole);
  }

  #filterEvents(chunk: Uint8Array, fin: boolean): void {
    try {
      this.#start.filter?.push(chunk);
    } catch {
      // The filter has told why; after the head the cut must be visible.
      return this.#fail("UPSTREAM_FAILED");
    }
    if (!this.#waitsForDrain) this.#start.filter?.written();
    if (fin) this.#finish(NOTHING);
  }

  readonly #emitEvents = (bytes: Uint8Array): void => {
    if (!this.#streamDone) this.#send(bytes);
  };

  #send(chunk: Uint8Array): void {
    this.#sentBytes += chunk.length;
    this.#keepalive?.sent(chunk);
    if (this.#response.write(chunk)) return;
    if (this.#waitsForDrain) return;
    this.#stream!.pause();
    this.#waitForDrain();
  }

  #waitForDrain(): void {
    this.#waitsForDrain = true;
    this.#watchAnswer();
    if (this.#drainHooked) return;
    this.#drainHooked = true;
    this.#response.on("drain", this.#onDrained);
  }

  /** From now on the client has its time to read. */
  #watchAnswer(): void {
    this.#forgetStall();
    this.#stalledAnswer = this.#context.answerWatch.add({
      progressAtMs: this.#context.clock.now(),
      onStalled: this.#onAnswerStalled,
    });
  }

  /** The client has read nothing for the whole time: the cut must be visible. */
  readonly #onAnswerStalled = (): void => {
    this.#context.log.debug("Client does not read", { exchange: this.#start.head.exchangeId });
    this.#start.observer.failed("REQUEST_TIMEOUT");
    this.#abortStream();
    this.#response.destroy();
  };

  readonly #onDrained = (): void => {
    if (!this.#waitsForDrain) return;
    this.#waitsForDrain = false;
    this.#forgetStall();
    this.#start.filter?.written();
    if (this.#tail !== undefined) this.#sendTail();
    else if (!this.#streamDone) this.#stream!.resume();
  };

  #forgetStall(): void {
    this.#context.answerWatch.delete(this.#stalledAnswer);
    this.#stalledAnswer = undefined;
  }

  #finish(chunk: Uint8Array): void {
    this.#streamDone = true;
    this.#sentBytes += chunk.length;
    this.#keepalive?.close();
    if (this.#bodyless) {
      // The rift ends its side with the head; a body that came all the same is not read.
      this.#stream!.stopReading(quicOf("ABORTED"));
    }
    if (this.#waitsForDrain || chunk.length > CLIENT_SOCKET_BUFFER_BYTES) {
      this.#tail = chunk;
      if (!this.#waitsForDrain) this.#sendTail();
      return;
    }
    this.#end(chunk);
  }

  /** In pieces, so that it shows whether the client still reads. */
  #sendTail(): void {
    let rest = this.#tail ?? NOTHING;
    while (rest.length > CLIENT_SOCKET_BUFFER_BYTES) {
      const isTaken = this.#response.write(rest.subarray(0, CLIENT_SOCKET_BUFFER_BYTES));
      rest = rest.subarray(CLIENT_SOCKET_BUFFER_BYTES);
      if (isTaken) continue;
      this.#tail = rest;
      return this.#waitForDrain();
    }
    this.#tail = undefined;
    this.#end(rest);
  }

  #end(chunk: Uint8Array): void {
    this.#writeEnd(chunk);
    // What has not left yet may be left unread as well.
    if (!this.#response.writableFinished && !this.#ended) this.#watchAnswer();
  }

  #writeEnd(chunk: Uint8Array): void {
    const { request } = this;
    if (!request.complete) return endAnswer(request, this.#response, this.#context.clock, chunk);
    const inOneWrite = this.#answerBytes === chunk.length && this.#contentLength !== undefined &&
      chunk.length > 0 && chunk.length <= ONE_WRITE_BYTES;
    if (!inOneWrite) {
      this.#response.end(chunk.length > 0 ? chunk : undefined);
      return;
    }
    // As one latin1 string, head and body leave in a single write instead of a gathering one.
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    this.#response.end(bytes.toString("latin1"), "latin1");
  }

  #startKeepalive(silenceMs: number): void {
    const response = this.#response;
    this.#keepalive = new SseKeepalive(this.#context.clock, silenceMs, {
      get ready() {
        return !response.writableNeedDrain && !response.destroyed;
      },
      write: (comment) => void response.write(comment),
    });
  }

  // --- Ends ---

  /** Answers with an error while that is possible; after the head, the cut must be visible. */
  #fail(code: ErrorCode, extra?: ErrorDetail): void {
    this.#abortStream();
    this.#keepalive?.close();
    const response = this.#response;
    if (response.destroyed || response.writableEnded) return;
    this.#start.observer.failed(answerable(code));
    if (this.#headSent) {
      this.#outcome = lowerCase(answerable(code));
      this.#context.log.debug("Exchange was cut", { code, exchange: this.#start.head.exchangeId });
      response.destroy();
      return;
    }
    this.#headSent = true;
    this.#outcome = lowerCase(answerable(code));
    this.#context.log.debug("Exchange failed", { code, exchange: this.#start.head.exchangeId });
    const { origin, tellsId, head } = this.#start;
    const headers = origin === undefined ? [] : corsHeaders(origin);
    if (tellsId) headers.push(EXCHANGE_HEADER, head.exchangeId);
    answerError(this.request, response, this.#context.clock, answerable(code), {
      ...extra,
      headers,
    });
  }

  cut(): void {
    this.#fail("UNAUTHENTICATED");
  }

  /** The response is over: finished, or the client went away. */
  readonly #onClose = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#keepalive?.close();
    this.#start.filter?.close();
    this.#socket.off("close", this.#onClose);
    this.#context.bodyWatch.delete(this.#watch);
    this.#forgetStall();
    if (!this.#streamDone || !this.#requestDone) this.#abortStream();
    const bytesIn = this.#start.wholeBody?.length ?? this.receivedBytes;
    this.#start.observer.ended(this.#outcome, { in: bytesIn, out: this.#sentBytes });
  };

  #abortStream(): void {
    this.#streamDone = true;
    this.#requestDone = true;
    this.#stream?.abort(quicOf("ABORTED"));
  }
}

interface HeldHead {
  readonly status: number;
  readonly statusText: string;
  readonly headers: string[];
}

function flushHead(response: ServerResponse): void {
  if (!response.writableEnded && !response.destroyed) response.flushHeaders();
}

/** Carries the exchange's id to the client. */
export const EXCHANGE_HEADER = "Mcptun-Exchange";
const NOTHING = new Uint8Array(0);
