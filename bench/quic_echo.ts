/**
 * The QUIC core alone, without HTTP: what the tunnel could reach at best.
 *
 *     quic_echo listen MATERIAL.json          opens the streams and measures, as the edge does
 *     quic_echo connect MATERIAL.json PORT    answers them, as the rift does
 *
 * `listen` prints {"port":N}, then answers one JSON command per line of stdin:
 * {"kind":"echo","inFlight":N,"bytes":N,"seconds":S} and {"kind":"down"|"up","bytes":N,"count":N}.
 * The first byte of a stream says what the other side does with it.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";

import { systemClock } from "../src/clock.ts";
import { silentLogger } from "../src/log.ts";
import { quicTransport } from "../src/transport/quic/quic_transport.ts";
import type { Connection, Stream, StreamHandler, TlsMaterial } from "../src/transport/transport.ts";

const ECHO = 0x65;
const DOWN = 0x64;
const UP = 0x75;
const CHUNK_BYTES = 65_536;
const TRANSFER_TIMEOUT_MS = 60_000;

interface Material {
  readonly serverName: string;
  readonly server: TlsMaterial;
  readonly client: TlsMaterial;
}

interface Command {
  readonly kind: "echo" | "down" | "up";
  readonly bytes: number;
  readonly inFlight?: number;
  readonly seconds?: number;
  readonly count?: number;
}

const [role, materialFile, port] = process.argv.slice(2);
const material: Material = JSON.parse(readFileSync(materialFile ?? "", "utf8"));
const endpoint = {
  host: "127.0.0.1",
  clock: systemClock,
  log: silentLogger,
  signal: new AbortController().signal,
};
await (role === "listen" ? listen() : connect());

async function connect(): Promise<void> {
  const connection = await quicTransport().connect({
    ...endpoint,
    port: Number(port),
    tls: material.client,
    serverName: material.serverName,
  });
  connection.accept(answer);
  process.stdin.on("end", () => process.exit(0)).resume();
  await connection.closed;
  process.exit(0);
}

async function listen(): Promise<void> {
  let onConnection!: (connection: Connection) => void;
  const connected = new Promise<Connection>((resolve) => onConnection = resolve);
  const tls = material.server;
  const listener = await quicTransport().listen({ ...endpoint, port: 0, tls, onConnection });
  print({ port: listener.address.port });
  const connection = await connected;
  print({ connected: true });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const command: Command = JSON.parse(line);
      print(
        command.kind === "echo" ? await echo(connection, command) : await bulk(connection, command),
      );
    } catch (error) {
      print({ error: (error as Error).message });
    }
  }
  process.exit(0);
}

/** The answering side of every stream. */
function answer(stream: Stream): StreamHandler {
  let kind: number | undefined;
  let bytes = 0;
  let sendMore = () => {};
  return {
    onData(chunk, fin) {
      kind ??= chunk[0];
      bytes += chunk.length;
      if (kind === ECHO) {
        if (fin) stream.end(chunk);
        else if (!stream.write(chunk)) stream.pause();
      } else if (fin && kind === UP) {
        stream.end(numberBytes(bytes));
      } else if (fin && kind === DOWN) {
        sendMore = sender(stream, new DataView(chunk.buffer, chunk.byteOffset).getUint32(1));
        sendMore();
      }
    },
    onDrain() {
      if (kind === ECHO) stream.resume();
      else sendMore();
    },
    onStopped() {},
    onAbort() {},
  };
}

/** Keeps `inFlight` echoes going for a time; one stream each, as one exchange each. */
async function echo(connection: Connection, command: Command): Promise<object> {
  const { inFlight = 1, seconds = 1, bytes } = command;
  const body = new Uint8Array(bytes).fill(ECHO);
  const latenciesMs: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1_000;
  let failures = 0;
  const one = () =>
    new Promise<void>((resolve) => {
      const from = performance.now();
      let received = 0;
      const done = () => {
        latenciesMs.push(performance.now() - from);
        if (received !== bytes) failures++;
        resolve();
      };
      const stream = connection.openStream({
        onData(chunk, fin) {
          received += chunk.length;
          if (fin) done();
        },
        onDrain() {},
        onStopped() {},
        onAbort: done,
      });
      stream.end(body.slice()); // the stream owns what it is given
    });
  const lane = async () => {
    while (performance.now() < end) await one();
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const took = (performance.now() - start) / 1_000;
  const sorted = latenciesMs.sort((a, b) => a - b);
  return {
    requests: sorted.length,
    rate: sorted.length / took,
    p50Ms: sorted[Math.floor(sorted.length * 0.5)],
    p99Ms: sorted[Math.floor(sorted.length * 0.99)],
    failures,
  };
}

/** Moves `bytes` over one stream, `count` times; the first byte sent is part of an upload's count. */
async function bulk(connection: Connection, command: Command): Promise<object> {
  const { kind, bytes, count = 1 } = command;
  const seconds: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const moved = await transfer(connection, kind === "down" ? DOWN : UP, bytes);
    if (moved !== bytes) throw new Error(`${moved} of ${bytes} bytes moved`);
    seconds.push((performance.now() - start) / 1_000);
  }
  return { seconds };
}

function transfer(connection: Connection, kind: number, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let received = 0;
    let last: Uint8Array = new Uint8Array(0);
    let sendMore = () => {};
    const timer = setTimeout(() => reject(new Error("transfer stalled")), TRANSFER_TIMEOUT_MS);
    const stream = connection.openStream({
      onData(chunk, fin) {
        received += chunk.length;
        if (chunk.length > 0) last = chunk;
        if (!fin) return;
        clearTimeout(timer);
        resolve(kind === DOWN ? received : new DataView(last.buffer, last.byteOffset).getUint32(1));
      },
      onDrain: () => sendMore(),
      onStopped() {},
      onAbort: (code) => reject(new Error(`aborted with ${code}`)),
    });
    if (kind === DOWN) return stream.end(numberBytes(bytes, DOWN));
    sendMore = sender(stream, bytes, UP);
    sendMore();
  });
}

/** Gives a function that writes until the stream says wait; called again on drain. */
function sender(stream: Stream, bytes: number, fill = DOWN): () => void {
  let left = bytes;
  return () => {
    while (left > 0) {
      const chunk = new Uint8Array(Math.min(left, CHUNK_BYTES)).fill(fill);
      left -= chunk.length;
      if (left === 0) stream.end(chunk);
      else if (!stream.write(chunk)) return;
    }
  };
}

function numberBytes(value: number, kind = UP): Uint8Array {
  const bytes = new Uint8Array(5);
  bytes[0] = kind;
  new DataView(bytes.buffer).setUint32(1, value);
  return bytes;
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
