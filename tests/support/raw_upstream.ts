/**
 * A private server that is only a socket: it takes what comes strictly as RFC 9112 says and keeps
 * it, so that it sees the same on every runtime, and sees a smuggled request where there is one.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** One request as it came. Everything is latin1. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  /** Flat, as sent. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
  /** `"cut"` when the connection ended before the body did. */
  readonly end: "whole" | "cut";
}

/** A running server of this kind. It answers each whole request with 200 and `ok`. */
export interface RawUpstream {
  readonly url: string;
  /** What came since the last call, probes left out. */
  take(): SeenRequest[];
  close(): Promise<void>;
}

/** Starts one on loopback. */
export async function startRawUpstream(): Promise<RawUpstream> {
  let seen: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let held = "";
    const take = (text: string) => {
      held += text;
      for (;;) {
        const request = readRequest(held);
        if (request === undefined) return;
        held = held.slice(request.length);
        if (request.seen.method !== "OPTIONS" || request.seen.url.includes("asked")) {
          seen.push(request.seen);
        }
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      }
    };
    socket.on("data", (chunk: Buffer) => take(chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      const end = held.indexOf("\r\n\r\n");
      if (held !== "" && end >= 0) seen.push({ ...readHead(held, end), body: "", end: "cut" });
      else if (held !== "") seen.push(strange(`cut inside a head: ${held}`));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A TCP server has a port.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    take() {
      const taken = seen;
      seen = [];
      return taken;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function readRequest(text: string): { seen: SeenRequest; length: number } | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = readHead(text, end);
  const named = (name: string) =>
    head.rawHeaders.filter((_, at, all) => at % 2 === 1 && all[at - 1]!.toLowerCase() === name);
  const lengths = named("content-length");
  const codings = named("transfer-encoding");
  const bodyAt = end + 4;
  if (lengths.length + codings.length > 1 || lengths.some((value) => !/^\d{1,15}$/.test(value))) {
    return { seen: strange(`framed twice: ${text}`), length: text.length };
  }
  if (codings.length === 1) {
    const body = readChunks(text, bodyAt);
    if (body === undefined) return undefined;
    return { seen: { ...head, body: body.text, end: "whole" }, length: body.endsAt };
  }
  const length = Number(lengths[0] ?? 0);
  if (text.length < bodyAt + length) return undefined;
  const body = text.slice(bodyAt, bodyAt + length);
  return { seen: { ...head, body, end: "whole" }, length: bodyAt + length };
}

function readHead(text: string, end: number): Omit<SeenRequest, "body" | "end"> {
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const line = /^([A-Z]+) ([\x21-\x7e]+) HTTP\/1\.1$/.exec(first);
  const rawHeaders: string[] = [];
  for (const header of lines) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)$/.exec(header);
    if (match === null) return { method: "STRANGE", url: header, rawHeaders: [] };
    rawHeaders.push(match[1]!, match[2]!);
  }
  if (line === null) return { method: "STRANGE", url: first, rawHeaders };
  return { method: line[1]!, url: line[2]!, rawHeaders };
}

/** Chunks as undici writes them: a size in hexadecimal, no extension, no trailer. */
function readChunks(text: string, from: number): { text: string; endsAt: number } | undefined {
  let at = from;
  let body = "";
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const line = text.slice(at, lineEnd);
    if (!/^[0-9a-f]{1,8}$/i.test(line)) return { text: `STRANGE ${line}`, endsAt: text.length };
    const size = parseInt(line, 16);
    const dataAt = lineEnd + 2;
    if (text.length < dataAt + size + 2) return undefined;
    if (text.slice(dataAt + size, dataAt + size + 2) !== "\r\n") {
      return { text: "STRANGE chunk end", endsAt: text.length };
    }
    at = dataAt + size + 2;
    if (size === 0) return { text: body, endsAt: at };
    body += text.slice(dataAt, dataAt + size);
  }
}

function strange(what: string): SeenRequest {
  return { method: "STRANGE", url: what, rawHeaders: [], body: "", end: "whole" };
}
