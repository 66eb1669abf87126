/**
 * A transport inside one process: the same promises as QUIC without sockets, keys or loss.
 *
 * Certificates are not verified here, only handed over, so tests choose who the peer is.
 *
 * @module
 */

import { TunnelError } from "../../errors.ts";
import { MAX_STREAMS } from "../../limits.ts";
import type {
  Connection,
  ConnectionEnd,
  ConnectOptions,
  Listener,
  ListenOptions,
  Stream,
  StreamHandler,
  TlsMaterial,
  Transport,
} from "../transport.ts";
import { CONNECTION_LOST_STREAM_CODE } from "../transport.ts";
import { derOfPem } from "../pem.ts";
import { MemoryStream } from "./memory_stream.ts";

/** A transport whose listeners can be reached only through the same value. */
export function memoryTransport(): Transport {
  const listeners = new Map<number, MemoryListener>();
  let nextPort = 40_000;

  return {
    listen(options) {
      const port = options.port === 0 ? nextPort++ : options.port;
      if (listeners.has(port)) {
        return Promise.reject(
          new TunnelError("ADDRESS_IN_USE", `Cannot listen on ${options.host}:${port}: in use`),
        );
      }
      const listener = new MemoryListener(options, port, () => listeners.delete(port));
      listeners.set(port, listener);
      return Promise.resolve(listener);
    },
    connect(options) {
      const listener = listeners.get(options.port);
      if (listener === undefined) {
        return Promise.reject(
          new TunnelError("HANDSHAKE_TIMEOUT", `Cannot connect to port ${options.port}: no answer`),
        );
      }
      return Promise.resolve(listener.connect(options));
    },
  };
}

class MemoryListener implements Listener {
  readonly address: { readonly host: string; readonly port: number };
  readonly #options: ListenOptions;
  readonly #connections = new Set<MemoryConnection>();
  readonly #onClose: () => void;
  #open = true;
  #certPem: string;

  constructor(options: ListenOptions, port: number, onClose: () => void) {
    this.#options = options;
    this.#certPem = options.tls.certPem;
    this.#onClose = onClose;
    this.address = { host: options.host, port };
    options.signal.addEventListener("abort", () => void this.close(), { once: true });
  }

  connect(options: ConnectOptions): Connection {
    const number = ++connectionCount;
    const here = `${options.host}:${options.port}`;
    const client = new MemoryConnection(`m${number}c`, here, this.#certPem, 0);
    const server = new MemoryConnection(`m${number}s`, `memory:${number}`, options.tls.certPem, 1);
    client.pair(server);
    server.pair(client);
    this.#connections.add(server);
    void server.closed.then(() => this.#connections.delete(server));
    options.signal.addEventListener("abort", () => client.close(0, ""), { once: true });
    setImmediate(() => {
      if (this.#open) this.#options.onConnection(server);
      else server.close(0, "");
    });
    return client;
  }

  useTls(tls: TlsMaterial): void {
    this.#certPem = tls.certPem;
  }

  close(): Promise<void> {
    this.#open = false;
    this.#onClose();
    for (const connection of this.#connections) connection.close(0, "");
    return Promise.resolve();
  }
}

class MemoryConnection implements Connection {
  readonly id: string;
  readonly remote: string;
  readonly peerCertificates: readonly Uint8Array[];
  readonly closed: Promise<ConnectionEnd>;
  readonly #settle: (end: ConnectionEnd) => void;
  readonly #streams = new Set<MemoryStream>();
  #peer: MemoryConnection | undefined;
  #onStream: ((stream: Stream) => StreamHandler) | undefined;
  #waiting: MemoryStream[] = [];
  #nextId: number;
  #end: ConnectionEnd | undefined;

  constructor(id: string, remote: string, peerCertPem: string, firstId: number) {
    this.id = id;
    this.remote = remote;
    this.peerCertificates = derOfPem(peerCertPem);
    this.#nextId = firstId;
    let settle!: (end: ConnectionEnd) => void;
    this.closed = new Promise((resolve) => settle = resolve);
    this.#settle = settle;
  }

  pair(peer: MemoryConnection): void {
    this.#peer = peer;
  }

  trust(): void {}

  accept(onStream: (stream: Stream) => StreamHandler): void {
    this.#onStream = onStream;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const stream of waiting) stream.handle(onStream(stream));
  }

  openStream(handler: StreamHandler): Stream {
    const peer = this.#peer;
    if (this.#end !== undefined || peer === undefined) {
      throw new TunnelError("CONNECTION_CLOSED", "Cannot open a stream: the connection is closed");
    }
    if (this.#streams.size >= MAX_STREAMS) {
      throw new TunnelError("STREAM_LIMIT", "Cannot open a stream: the peer allows no more now");
    }
    const id = this.#nextId;
    this.#nextId += 4;
    const near = new MemoryStream(id, () => this.#streams.delete(near));
    const far = new MemoryStream(id, () => peer.#streams.delete(far));
    near.pair(far);
    far.pair(near);
    near.handle(handler);
    this.#streams.add(near);
    peer.#streams.add(far);
    if (peer.#onStream === undefined) peer.#waiting.push(far);
    // Later, as on a network: the opener has its stream in hand before the peer can answer.
    else {
      setImmediate(() => {
        if (peer.#end === undefined) far.handle(peer.#onStream!(far));
      });
    }
    return near;
  }

  close(code: number, reason: string): void {
    this.#finish({ kind: "local", code, reason });
    const peer = this.#peer;
    if (peer !== undefined) peer.#finish({ kind: "peer", code, reason });
  }

  #finish(end: ConnectionEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    setImmediate(() => {
      for (const stream of this.#streams) stream.lose(CONNECTION_LOST_STREAM_CODE);
      this.#streams.clear();
      this.#settle(end);
    });
  }
}

let connectionCount = 0;
