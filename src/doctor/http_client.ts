/**
 * Asks one HTTP question: bounded in size and time, over a connection of its own, following nothing.
 *
 * Uses `node:http` on both runtimes, not `fetch`: redirects, headers and network errors are to be
 * seen as they are.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";

import type { Clock } from "../clock.ts";
import { networkProblem } from "./network_problem.ts";

/** What every question of a check shares. */
export interface HttpClientOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** For one whole question. */
  readonly timeoutMs: number;
  /** PEM; `undefined` leaves it to the runtime. */
  readonly roots?: readonly string[] | undefined;
  /** Takes secrets out of what comes back: a server may repeat what it was sent. */
  readonly redact: (text: string) => string;
  readonly userAgent: string;
}

/** One question. */
export interface Question {
  readonly method: "GET" | "POST" | "DELETE" | "OPTIONS";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** More than this of an answer is not read. */
  readonly maxBytes: number;
  /** Sees the body as it comes, to say when to stop; what is shown is read from the answer. */
  readonly onText?: (text: string) => "enough" | "more";
}

/** An answer, read to its end or to a bound. */
export interface HttpAnswer {
  readonly kind: "answer";
  readonly status: number;
  /** Lower-case names; every value that was there, in order. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
  /** The body is longer than `maxBytes`. */
  readonly cut: boolean;
}

/** No answer. */
export interface HttpFailure {
  readonly kind: "failed";
  readonly problem: string;
  readonly hint: string;
}

/** Asks questions. Keeps nothing open between them. */
export class HttpClient {
  readonly #options: HttpClientOptions;
  #pin: { readonly hostname: string; readonly address: string } | undefined;

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /** From now on this name is reached at this address, which is known to answer. */
  pin(hostname: string, address: string): void {
    this.#pin = { hostname, address };
  }

  /** Never rejects. */
  ask(question: Question): Promise<HttpAnswer | HttpFailure> {
    const { clock, signal, timeoutMs, redact } = this.#options;
    return new Promise((resolve) => {
      let settled = false;
      let stage: "connect" | "body" = "connect";
      const settle = (outcome: HttpAnswer | HttpFailure): void => {
        if (settled) return;
        settled = true;
        timer.cancel();
        signal.removeEventListener("abort", onAbort);
        resolve(outcome);
        request.destroy();
      };
      const failed = (problem: string, hint: string): void =>
        settle({ kind: "failed", problem, hint });
      const onAbort = (): void => failed("Interrupted", "run it again");
      const request = this.#start(question);
      const timer = clock.setTimer(timeoutMs, () =>
        stage === "connect"
          ? failed(
            `No answer within ${timeoutMs} ms`,
            "something on the way, or the server itself, is slow or holds requests back; --timeout waits longer",
          )
          : failed(
            `The answer did not end within ${timeoutMs} ms`,
            "it comes too slowly, or never ends; --timeout waits longer",
          ));
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      request.on("error", (error) => {
        const { problem, hint } = networkProblem(error);
        failed(redact(problem), hint);
      });
      request.on("response", (response) => {
        stage = "body";
        this.#read(question, response, settle);
      });
      request.end(question.body);
    });
  }

  #start({ url, method, headers, body }: Question) {
    const { roots, userAgent } = this.#options;
    const name = bareHost(url);
    const secure = url.protocol === "https:";
    const length = body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
    return (secure ? httpsRequest : httpRequest)({
      host: this.#pin?.hostname === name ? this.#pin.address : name,
      port: portOf(url),
      method,
      path: `${url.pathname}${url.search}`,
      // No keep-alive: a connection that went stale between two steps would look like a finding.
      agent: false,
      headers: {
        Host: url.host,
        "User-Agent": userAgent,
        "Accept-Encoding": "identity",
        ...headers,
        ...length,
      },
      ...(secure && isIP(name) === 0 ? { servername: name } : {}),
      ...(secure && roots !== undefined ? { ca: [...roots] } : {}),
    });
  }

  #read(
    { maxBytes, onText }: Question,
    response: IncomingMessage,
    settle: (outcome: HttpAnswer | HttpFailure) => void,
  ): void {
    const { redact } = this.#options;
    const decoder = new TextDecoder();
    const parts: string[] = [];
    let bytes = 0;
    const done = (cut: boolean): void =>
      settle({
        kind: "answer",
        status: response.statusCode ?? 0,
        headers: headersOf(response.rawHeaders, redact),
        body: redact(parts.join("")),
        cut,
      });
    const broken = (): void =>
      settle({
        kind: "failed",
        problem: `The answer (${response.statusCode ?? 0}) broke off after ${bytes} bytes`,
        hint: "the server, or a proxy on the way, cut the connection: look into its log",
      });
    response.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
      if (bytes > maxBytes) return done(true);
      const text = decoder.decode(chunk, { stream: true });
      parts.push(text);
      if (onText?.(text) === "enough") done(false);
    });
    response.on("end", () => done(false));
    response.on("error", broken);
    // One runtime closes an empty answer before it ends it. After "end" this changes nothing.
    response.on("close", () => response.complete ? done(false) : broken());
  }
}

/** The host of a URL as a name or address, without the brackets of IPv6. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

/** The port of a URL, its scheme's when it names none. */
export function portOf(url: URL): number {
  return url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
}

/** The first value of a header. */
export function headerOf(answer: HttpAnswer, name: string): string | undefined {
  return answer.headers.get(name)?.[0];
}

/** The media type of an answer, without its parameters, lower case. */
export function mediaTypeOf(answer: HttpAnswer): string {
  return (headerOf(answer, "content-type") ?? "").split(";")[0]!.trim().toLowerCase();
}

function headersOf(raw: readonly string[], redact: (text: string) => string) {
  const headers = new Map<string, string[]>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const value = redact(raw[at + 1]!);
    const before = headers.get(name);
    if (before === undefined) headers.set(name, [value]);
    else before.push(value);
  }
  return headers;
}
