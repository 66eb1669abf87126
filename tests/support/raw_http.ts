/** HTTP over a bare socket: what a well-behaved client library would never send. @module */

import { Buffer } from "node:buffer";
import { connect } from "node:net";
import type { Socket } from "node:net";

/** A parsed answer. Header names are lower case. */
export interface RawAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A client connection that is driven byte by byte. Everything is latin1. */
export class RawClient {
  readonly socket: Socket;
  /** Settles when the socket is closed; `"error"` after a reset. */
  readonly closed: Promise<"end" | "error">;
  #received = "";
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#received += chunk.toString("latin1");
      this.#wake?.();
    });
    this.closed = new Promise((resolve) => {
      let failed = false;
      socket.on("error", () => failed = true);
      socket.on("close", () => {
        this.#ended = true;
        this.#wake?.();
        resolve(failed ? "error" : "end");
      });
    });
  }

  static open(url: string): Promise<RawClient> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawClient(socket));
      });
    });
  }

  get received(): string {
    return this.#received;
  }

  send(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"));
  }

  /** Waits until `found` is true of what was received. @throws When the socket closes before. */
  async until(found: (received: string) => boolean): Promise<string> {
    while (!found(this.#received)) {
      if (this.#ended) throw new Error(`Socket closed after ${JSON.stringify(this.#received)}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#received;
  }

  /** The next answer with a `Content-Length`; it is taken off what was received. */
  async answer(): Promise<RawAnswer> {
    await this.until((received) => wholeAnswer(received) !== undefined);
    const whole = wholeAnswer(this.#received);
    if (whole === undefined) throw new Error("No answer");
    this.#received = this.#received.slice(whole.length);
    return whole.answer;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** Sends one request and reads one answer. */
export async function rawRequest(url: string, text: string): Promise<RawAnswer> {
  const client = await RawClient.open(url);
  try {
    client.send(text);
    return await client.answer();
  } finally {
    client.destroy();
  }
}

function wholeAnswer(text: string): { answer: RawAnswer; length: number } | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const match = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(first);
  if (match === null) throw new Error(`Not an answer: ${JSON.stringify(text)}`);
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  const status = Number(match[1]);
  const bodyAt = end + 4;
  const bodyLength = status === 204 || status === 304 || status < 200
    ? 0
    : Number(headers.get("content-length") ?? 0);
  if (text.length < bodyAt + bodyLength) return undefined;
  const body = text.slice(bodyAt, bodyAt + bodyLength);
  const answer = { status, statusText: match[2] ?? "", headers, body };
  return { answer, length: bodyAt + bodyLength };
}
