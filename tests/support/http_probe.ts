/** Small HTTP helpers for tunnel tests: a scripted upstream, and a client that streams. @module */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { Agent, createServer, request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A server on loopback. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Starts an HTTP server; `port` 0 takes a free one. */
export async function startServer(listener: RequestListener, port = 0): Promise<TestServer> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    // Tests open thousands of connections at once.
    server.listen({ port, host: "127.0.0.1", backlog: 4_096 }, resolve);
  });
  // A TCP server has a port.
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A whole answer. */
export interface Answer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: IncomingMessage["headers"];
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** What to send. */
export interface Question {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: Uint8Array | string;
  readonly signal?: AbortSignal;
}

/** A request that has been started; the caller writes and ends it. */
export interface OpenRequest {
  readonly request: ClientRequest;
  /** Settles with the head of the answer. */
  readonly response: Promise<IncomingMessage>;
}

/** Starts a request on a connection of its own. */
export function openRequest(url: string, question: Question = {}): OpenRequest {
  const { method = "GET", headers = {}, signal } = question;
  const request = httpRequest(url, {
    method,
    // Proof of the cast: only the readonly mark differs.
    headers: headers as Record<string, string | string[]>,
    agent: new Agent({ keepAlive: false }),
    ...(signal === undefined ? {} : { signal }),
  });
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    request.on("error", reject);
  });
  response.catch(() => {});
  return { request, response };
}

/** Asks and reads the whole answer. @throws When the answer is cut. */
export async function ask(url: string, question: Question = {}): Promise<Answer> {
  const { body } = question;
  const length = body === undefined ? undefined : Buffer.byteLength(body);
  const headers = { ...question.headers };
  if (length !== undefined) headers["content-length"] ??= String(length);
  const { request, response } = openRequest(url, { ...question, headers });
  request.end(body);
  return await readAnswer(await response);
}

/** Reads an answer to its end. @throws When it is cut. */
export async function readAnswer(message: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    message.on("data", (chunk: Buffer) => chunks.push(chunk));
    message.on("end", () => {
      if (message.complete) resolve();
      else reject(new Error("The answer was cut"));
    });
    message.on("error", reject);
    message.on("close", () => reject(new Error("The answer was cut")));
  });
  return {
    status: message.statusCode ?? 0,
    statusText: message.statusMessage ?? "",
    headers: message.headers,
    rawHeaders: message.rawHeaders,
    body: Buffer.concat(chunks),
  };
}

/** Reads a whole request body. */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
  });
}

/** Answers with JSON. */
export function answerJson(response: ServerResponse, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": String(body.length),
  });
  response.end(body);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes that do not repeat early, the same for the same size. */
export function patternBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 0x9e3779b9;
  for (let index = 0; index < length; index++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + index | 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** A promise that a callback settles. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => resolve = settle);
  return { promise, resolve };
}
