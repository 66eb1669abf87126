/**
 * The public HTTP listener: sockets, their limits, certificates, and what cannot be parsed.
 *
 * @module
 */

import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Server as HttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import {
  CLIENT_KEEP_ALIVE_MS,
  CLIENT_SOCKET_BUFFER_BYTES,
  LINGER_MS,
  SPARE_CLIENT_SOCKETS,
} from "../limits.ts";
import { addressGroup } from "../runtime/address_group.ts";
import { endsWith } from "./answer.ts";
import { peerAddress, type ProxyTrust } from "./client_address.ts";
import type { EdgeSettings, PublicTls } from "./edge_options.ts";
import { rawErrorResponse } from "./error_response.ts";
import { Turns } from "./turns.ts";

/** Why a socket is one too many. */
export type Surplus = "TOO_MANY_CONNECTIONS" | "TOO_MANY_FROM_ADDRESS";

/** What the listener is made from. */
export interface PublicServerOptions {
  readonly config: EdgeSettings;
  readonly tls: PublicTls | undefined;
  readonly trust: ProxyTrust;
  readonly clock: Clock;
  /** `surplus` is set on sockets above a limit: each is answered once, so that the client learns why. */
  readonly onRequest: (
    request: IncomingMessage,
    response: ServerResponse,
    surplus: Surplus | undefined,
  ) => void;
  /** Bytes came that are no request. */
  readonly onUnparsed: (code: ErrorCode) => void;
}

/** The listener of one edge. */
export class PublicServer {
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #clock: Clock;
  readonly #onUnparsed: PublicServerOptions["onUnparsed"];
  readonly #surplus = new WeakMap<Socket, Surplus>();
  readonly #turns: Turns;
  readonly #perAddress = new Map<string, number>();
  #config: EdgeSettings;
  #trust: ProxyTrust;
  #clientCaPem: string | undefined;
  /** Sockets whose client certificate was checked against the CAs that are in force. */
  #checkedSockets = new WeakSet<object>();
  /** The CAs that a handshake began under, by the client's address and port. */
  readonly #caOfHandshake = new Map<string, string | undefined>();

  constructor(options: PublicServerOptions) {
    this.#config = options.config;
    this.#trust = options.trust;
    this.#clock = options.clock;
    this.#onUnparsed = options.onUnparsed;
    this.#clientCaPem = options.tls?.clientCaPem;
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      const surplus = this.#surplus.get(request.socket);
      if (surplus !== undefined) {
        response.setHeader("Connection", "close");
        endsWith(request);
      }
      options.onRequest(request, response, surplus);
    };
    const turns = new Turns(onRequest);
    this.#turns = turns;
    this.#server = makeServer(
      options.config,
      options.tls,
      (request, response) => turns.take(request, response),
    );
    this.#server.on("connection", this.#onConnection);
    this.#server.on("secureConnection", this.#onSecure);
    this.#server.on("clientError", this.#onClientError);
    // Without a listener node would drop the socket without a word. There is none for upgrades:
    // then they come as plain requests, and the front door decides.
    this.#server.on("connect", (_request: IncomingMessage, socket: Duplex) => {
      this.#end(socket, "METHOD_REFUSED");
    });
  }

  /** Starts to listen. @throws {TunnelError} `ADDRESS_IN_USE` and `CONFIG_INVALID`. */
  listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        const code = error.code === "EADDRINUSE" ? "ADDRESS_IN_USE" : "CONFIG_INVALID";
        const problem = code === "ADDRESS_IN_USE"
          ? "the port is in use; stop what has it, or set another (edge.listen, --listen)"
          : error.message;
        const text = `Cannot listen on "${this.#config.listen}": ${problem}`;
        reject(new TunnelError(code, text, { cause: error }));
      };
      this.#server.once("error", onError);
      this.#server.listen(address.port, address.host, () => {
        this.#server.off("error", onError);
        this.#server.on("error", ignore);
        // A public listener has a port: it is not a pipe.
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Limits of sockets from now on. */
  useSettings(config: EdgeSettings, trust: ProxyTrust): void {
    this.#config = config;
    this.#trust = trust;
    // Node reads it for each connection, though its types do not tell. A runtime that does not still
    // has the front door, which counts for itself.
    (this.#server as { maxHeaderSize?: number }).maxHeaderSize = config.maxHeaderBytes;
    this.#server.headersTimeout = config.headerTimeoutMs;
    this.#server.maxConnections = config.maxConnections + SPARE_CLIENT_SOCKETS;
  }

  /**
   * The certificate of handshakes from now on; running connections keep theirs, but what a client
   * certificate proved counts only under the CAs it was checked against.
   *
   * @throws {Error} When the certificate and key cannot be used; then the ones before stay.
   */
  useTls(tls: PublicTls): void {
    // Proof of the cast: the caller has made it with a certificate.
    (this.#server as HttpsServer).setSecureContext(contextOf(tls));
    if (tls.clientCaPem === this.#clientCaPem) return;
    this.#clientCaPem = tls.clientCaPem;
    this.#checkedSockets = new WeakSet();
  }

  /** Does the TLS layer's word on this socket's client certificate still count? */
  isChecked(socket: object): boolean {
    return this.#checkedSockets.has(socket);
  }

  /** Takes no more connections; resolves when the last one is gone. */
  stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    return stopped;
  }

  /** Ends what is left. */
  destroy(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  readonly #onConnection = (socket: Socket): void => {
    this.sockets.add(socket);
    const handshake = handshakeOf(socket);
    this.#caOfHandshake.set(handshake, this.#clientCaPem);
    const address = peerAddress(socket.remoteAddress);
    // All clients of a proxy come from its address.
    const group = this.#trust.trusts(address) ? undefined : addressGroup(address);
    const before = group === undefined ? 0 : this.#perAddress.get(group) ?? 0;
    if (group !== undefined) this.#perAddress.set(group, before + 1);
    socket.on("close", () => {
      this.sockets.delete(socket);
      this.#caOfHandshake.delete(handshake);
      if (group === undefined) return;
      const left = (this.#perAddress.get(group) ?? 1) - 1;
      if (left > 0) this.#perAddress.set(group, left);
      else this.#perAddress.delete(group);
    });
    const { maxConnections, maxConnectionsPerAddress } = this.#config;
    // Far over its share, an address gets no answer: to write one costs more than to hang up.
    if (before >= maxConnectionsPerAddress + SPARE_CLIENT_SOCKETS) return void socket.destroy();
    if (before >= maxConnectionsPerAddress) this.#surplus.set(socket, "TOO_MANY_FROM_ADDRESS");
    else if (this.sockets.size > maxConnections) this.#surplus.set(socket, "TOO_MANY_CONNECTIONS");
  };

  readonly #onSecure = (socket: Socket): void => {
    // One that began before the CAs changed was checked against those that are gone.
    const begunUnder = this.#caOfHandshake.get(handshakeOf(socket));
    if (begunUnder === this.#clientCaPem) this.#checkedSockets.add(socket);
    const { maxConnections, maxConnectionsPerAddress } = this.#config;
    const group = addressGroup(peerAddress(socket.remoteAddress));
    if ((this.#perAddress.get(group) ?? 0) > maxConnectionsPerAddress) {
      this.#surplus.set(socket, "TOO_MANY_FROM_ADDRESS");
    } else if (this.sockets.size > maxConnections) {
      this.#surplus.set(socket, "TOO_MANY_CONNECTIONS");
    }
  };

  /** Answers a request that the parser gave up on. */
  readonly #onClientError = (error: NodeJS.ErrnoException, socket: Duplex): void => {
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    switch (error.code) {
      case "HPE_HEADER_OVERFLOW":
        return this.#end(
          socket,
          "HEADERS_TOO_LARGE",
          `the limit is ${this.#config.maxHeaderBytes} bytes`,
        );
      case "ERR_HTTP_REQUEST_TIMEOUT":
        return this.#end(
          socket,
          "REQUEST_TIMEOUT",
          `the limit is ${this.#config.headerTimeoutMs} ms for the headers`,
        );
      default:
        return this.#end(socket, "BAD_REQUEST");
    }
  };

  /** Writes an answer to a bare socket, when it may, and gives the client the time to read it. */
  #end(socket: Duplex, code: ErrorCode, detail?: string): void {
    socket.on("error", ignore);
    if (socket.writableEnded) return;
    this.#onUnparsed(code);
    const allow = code === "METHOD_REFUSED" ? "" : undefined;
    if (this.#turns.mayAnswer(socket)) socket.end(rawErrorResponse(code, { detail, allow }));
    else socket.end();
    socket.resume();
    const timer = this.#clock.setTimer(LINGER_MS, () => socket.destroy(), "no");
    socket.on("close", () => timer.cancel());
  }
}

function makeServer(
  config: EdgeSettings,
  tls: PublicTls | undefined,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const serverOptions: ServerOptions = {
    insecureHTTPParser: false,
    maxHeaderSize: config.maxHeaderBytes,
    headersTimeout: config.headerTimeoutMs,
    // Bodies have their own timer, by progress (BodyWatch): long uploads are fine.
    requestTimeout: 0,
    // Node looks for headers that take too long at this interval, so it adds to the time they get.
    connectionsCheckingInterval: Math.min(Math.ceil(config.headerTimeoutMs / 8), 5_000),
    keepAliveTimeout: CLIENT_KEEP_ALIVE_MS,
    noDelay: true,
    highWaterMark: CLIENT_SOCKET_BUFFER_BYTES,
    // The front door answers this itself, with a body.
    requireHostHeader: false,
  };
  const server: Server = tls === undefined
    ? createHttpServer(serverOptions, onRequest)
    : createHttpsServer(
      {
        ...serverOptions,
        ...contextOf(tls),
        // One that has none, or a bad one, may still show a token: the gate decides.
        requestCert: tls.clientCaPem !== undefined,
        rejectUnauthorized: false,
        handshakeTimeout: config.headerTimeoutMs,
      },
      onRequest,
    );
  // Node would silently leave out headers above its own count; ours is checked at the front door.
  server.maxHeadersCount = 0;
  server.maxConnections = config.maxConnections + SPARE_CLIENT_SOCKETS;
  // The front door comes first; it says 100 when the request is admitted.
  server.on("checkContinue", onRequest);
  server.on("checkExpectation", onRequest);
  return server;
}

function contextOf({ certPem, keyPem, clientCaPem }: PublicTls) {
  return { cert: certPem, key: keyPem, ...(clientCaPem === undefined ? {} : { ca: clientCaPem }) };
}

/** The same for the TCP socket and the TLS socket over it. */
function handshakeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Errors of sockets are followed by `close`. */
function ignore(): void {}
