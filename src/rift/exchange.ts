/**
 * One exchange on the private side: a stream from the edge, a request to the upstream.
 *
 * Nothing is retried and nothing waits for a whole body. A small request whose end came with its
 * first bytes goes to the upstream in one piece.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";

import type { Dispatcher } from "undici";

import { quicOf, TunnelError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import { REQUEST_START_BYTES } from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Stream, StreamHandler } from "../transport/transport.ts";
import { encodeResponseHead, requestHeadReader } from "../wire/head.ts";
import type { RequestHead } from "../wire/head.ts";
import { RequestBody } from "./request_body.ts";
import type { UpstreamTarget } from "./target.ts";
import type { UpstreamCredential } from "./upstream_credential.ts";
import { upstreamHeaders } from "./upstream_headers.ts";
import type { Upstream } from "./upstream.ts";

/** A tunnel as exchanges see it. */
export interface ExposedTunnel {
  readonly upstream: Upstream;
  readonly target: UpstreamTarget;
  /** What the upstream is shown instead of the client's own `Authorization`; absent: nothing. */
  readonly credential?: UpstreamCredential | undefined;
}

/** What all exchanges of a rift share. */
export interface RiftExchangeContext {
  /** `undefined` for a tunnel that this rift does not serve. */
  readonly find: (tunnel: string) => ExposedTunnel | undefined;
  readonly log: Logger;
  /** Called exactly once per exchange. */
  readonly onEnd: () => void;
}

/** Answers one stream that the edge opened. */
export class RiftExchange implements StreamHandler {
  readonly #context: RiftExchangeContext;
  readonly #stream: Stream;
  readonly #reader = requestHeadReader();
  #head: RequestHead | undefined;
  #tunnel: ExposedTunnel | undefined;
  /** Body bytes that came before the request was started. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #requestWhole = false;
  #started = false;
  #body: RequestBody | undefined;
  #abortUpstream: ((error?: Error) => void) | undefined;
  #resumeUpstream: (() => void) | undefined;
  #headSent = false;
  #paused = false;
  #over = false;

  constructor(context: RiftExchangeContext, stream: Stream) {
    this.#context = context;
    this.#stream = stream;
  }

  // --- The stream from the edge ---

  onData(chunk: Uint8Array, fin: boolean): void {
    if (this.#over) return;
    if (fin) this.#requestWhole = true;
    if (this.#head !== undefined) return this.#bodyData(chunk);
    try {
      const read = this.#reader.push(chunk);
      if (read === undefined) {
        if (fin) throw new TunnelError("PROTOCOL_ERROR", "Stream ended inside its head");
        return;
      }
      this.#head = read.head;
      this.#tunnel = this.#context.find(read.head.tunnel);
      if (this.#tunnel === undefined) return this.#answerError("TUNNEL_OFFLINE");
      this.#bodyData(read.rest);
    } catch (error) {
      this.#context.log.warn("Cannot read exchange", { error: String(error) });
      this.#cut("PROTOCOL_ERROR");
    }
  }

  onDrain(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#resumeUpstream?.();
  }

  /** The edge wants no more of the answer: there is no one left to answer to. */
  onStopped(): void {
    this.#cut("ABORTED");
  }

  onAbort(): void {
    if (this.#over) return;
    this.#end();
    this.#dropUpstream();
  }

  #bodyData(chunk: Uint8Array): void {
    if (this.#started) {
      if (this.#body === undefined) return;
      this.#body.feed(chunk);
      if (this.#requestWhole) this.#body.finish();
      return;
    }
    if (chunk.length > 0) {
      this.#early.push(chunk);
      this.#earlyBytes += chunk.length;
    }
    if (this.#requestWhole || this.#earlyBytes >= REQUEST_START_BYTES) this.#start();
    // The rest of a small request is often in the same turn, and one piece is one write.
    else if (this.#early.length <= 1) process.nextTick(startLate, this);
  }

  /** Starts the request with what is there. Called by {@link startLate} also when it has started. */
  startNow(): void {
    if (!this.#started && !this.#over) this.#start();
  }

  #start(): void {
    const head = this.#head;
    const tunnel = this.#tunnel;
    if (head === undefined || tunnel === undefined) return;
    this.#started = true;
    const early = this.#early;
    this.#early = [];
    try {
      const options: Dispatcher.DispatchOptions = {
        path: head.base === "origin"
          ? tunnel.target.wellKnownPath(head.target)
          : tunnel.target.pathOf(head.target),
        // Any token is a method; the type lists the common ones.
        method: head.method as Dispatcher.HttpMethod,
        headers: upstreamHeaders(head, tunnel.credential?.for(head)),
        body: this.#requestWhole ? whole(early) : this.#streamBody(early),
      };
      tunnel.upstream.dispatch(options, new UpstreamCall(this));
    } catch (error) {
      const code = error instanceof TunnelError ? error.code : "INTERNAL";
      if (code === "INTERNAL") {
        this.#context.log.warn("Cannot call upstream", { error: String(error) });
      }
      this.#answerError(code);
    }
  }

  #streamBody(early: readonly Uint8Array[]): RequestBody {
    const body = new RequestBody(this.#stream);
    this.#body = body;
    body.on("error", ignore);
    // Whoever destroys it wants no more: the upstream answered early, or the request failed.
    body.on("close", this.#onBodyClose);
    for (const chunk of early) body.feed(chunk);
    return body;
  }

  readonly #onBodyClose = (): void => {
    if (this.#requestWhole || this.#over && !this.#headSent) return;
    this.#stream.stopReading(quicOf("ABORTED"));
  };

  // --- The request to the upstream ---

  upstreamStarted(abort: (error?: Error) => void): void {
    if (this.#over) abort();
    else this.#abortUpstream = abort;
  }

  /** @returns false to hold the upstream back until `resume`. */
  upstreamHead(
    status: number,
    rawHeaders: Buffer[],
    resume: () => void,
    statusText: string,
  ): boolean {
    // Interim answers end here: the edge has sent its own 100, and no client waits for others.
    if (status < 200 || this.#over) return true;
    const headers: string[] = [];
    for (const text of rawHeaders) headers.push(text.toString("latin1"));
    this.#resumeUpstream = resume;
    let bytes: Uint8Array;
    try {
      bytes = encodeResponseHead({ status, statusText, headers });
    } catch (error) {
      this.#context.log.warn("Upstream answer cannot be carried", { error: String(error) });
      this.#answerError("UPSTREAM_FAILED");
      return true;
    }
    this.#headSent = true;
    return this.#write(bytes);
  }

  /** @returns false to hold the upstream back until it is resumed. */
  upstreamData(chunk: Buffer): boolean {
    return this.#over || this.#write(chunk);
  }

  upstreamEnd(): void {
    if (this.#over) return;
    this.#stream.end();
    this.#end();
  }

  upstreamFailed(error: Error): void {
    if (this.#over) return;
    const code = this.#headSent || this.#abortUpstream !== undefined
      ? "UPSTREAM_FAILED"
      : "UPSTREAM_UNREACHABLE";
    this.#context.log.warn("Upstream failed", {
      tunnel: this.#head?.tunnel,
      exchange: this.#head?.exchangeId,
      code,
      error: error.message,
    });
    if (this.#headSent) this.#cut("UPSTREAM_FAILED");
    else this.#answerError(code);
  }

  #write(chunk: Uint8Array): boolean {
    if (this.#stream.write(chunk)) return !this.#paused;
    this.#paused = true;
    return false;
  }

  // --- Ends ---

  /** Tells the edge which error to show. */
  #answerError(code: ErrorCode): void {
    if (this.#over) return;
    const head = { status: 502, statusText: "", headers: [], error: code } as const;
    this.#stream.end(encodeResponseHead(head));
    this.#end();
    if (!this.#requestWhole) this.#stream.stopReading(quicOf("ABORTED"));
    this.#dropUpstream();
  }

  #cut(code: ErrorCode): void {
    if (this.#over) return;
    this.#stream.abort(quicOf(code));
    this.#end();
    this.#dropUpstream();
  }

  #dropUpstream(): void {
    this.#abortUpstream?.();
    this.#body?.destroy();
  }

  #end(): void {
    this.#over = true;
    this.#early = [];
    this.#context.onEnd();
  }
}

/** The callbacks of undici; of its own because both sides call theirs `onData`. */
class UpstreamCall implements Dispatcher.DispatchHandler {
  readonly #exchange: RiftExchange;

  constructor(exchange: RiftExchange) {
    this.#exchange = exchange;
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#exchange.upstreamStarted(abort);
  }

  onHeaders(status: number, headers: Buffer[], resume: () => void, statusText: string): boolean {
    return this.#exchange.upstreamHead(status, headers, resume, statusText);
  }

  onData(chunk: Buffer): boolean {
    return this.#exchange.upstreamData(chunk);
  }

  onComplete(): void {
    this.#exchange.upstreamEnd();
  }

  onError(error: Error): void {
    this.#exchange.upstreamFailed(error);
  }
}

function startLate(exchange: RiftExchange): void {
  exchange.startNow();
}

/** One buffer, without a copy when there is one chunk. */
function whole(chunks: readonly Uint8Array[]): Buffer | null {
  const [first] = chunks;
  if (first === undefined) return null;
  if (chunks.length > 1) return Buffer.concat(chunks);
  return Buffer.from(first.buffer, first.byteOffset, first.length);
}

function ignore(): void {}
