/**
 * The public role: an HTTP server for clients, a listener for rifts, and what connects them.
 *
 * @module
 */

import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";

import type { Timer } from "../clock.ts";
import { isLoopback } from "../config/value.ts";
import { quicOf, TunnelError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import {
  ANSWER_STALL_MS,
  CLIENT_KEEP_ALIVE_MS,
  CLIENT_SOCKET_BUFFER_BYTES,
  LINGER_MS,
  SPARE_CLIENT_SOCKETS,
} from "../limits.ts";
import { answerError } from "./answer.ts";
import type { Listener, TlsMaterial } from "../transport/transport.ts";
import { HostTable, parseAuthority, parseListen } from "./authority.ts";
import { BodyWatch } from "./body_watch.ts";
import type { EdgeOptions, TunnelSettings } from "./edge_options.ts";
import { rawErrorResponse } from "./error_response.ts";
import { type ExchangeContext, startExchange } from "./exchange.ts";
import { type Admitted, FrontDoor } from "./front_door.ts";
import { memoryRegistry } from "./registry.ts";
import { RiftSession } from "./rift_session.ts";
import type { SessionContext } from "./rift_session.ts";
import { Router } from "./router.ts";

/** A running edge. */
export interface Edge {
  /** Base URL of the public listener, with the real port. */
  readonly url: string;
  /** Where the listener for rifts is bound. */
  readonly tunnelAddress: { readonly host: string; readonly port: number };
  /** The URL a client uses for a tunnel. @throws {RangeError} For a tunnel that is not declared. */
  tunnelUrl(name: string): string;
  /** The certificate that rifts are shown from now on. @throws {TunnelError} `CREDENTIAL_INVALID`. */
  useTunnelTls(tls: TlsMaterial): void;
  status(): EdgeStatus;
  /** Settles when a rift serves the tunnel; rejects when `signal` aborts. */
  waitForTunnel(name: string, signal: AbortSignal): Promise<void>;
  /** Stops taking requests, lets running ones finish for `drainMs`, then cuts. Idempotent. */
  close(): Promise<void>;
}

/** What an edge is doing. */
export interface EdgeStatus {
  readonly clientSockets: number;
  readonly exchanges: number;
  readonly tunnels: readonly {
    readonly name: string;
    readonly rifts: readonly string[];
    readonly exchanges: number;
  }[];
}

/**
 * Starts both listeners.
 *
 * @throws {TunnelError} `ADDRESS_IN_USE` and `CONFIG_INVALID`.
 */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { config, clock, log } = options;
  const publicAddress = parseListen(config.listen);
  const tunnelAddress = parseListen(config.tunnelListen);
  const scheme = options.publicTls === undefined ? "http" : "https";
  const loopback = isLoopback(publicAddress.host);
  if (scheme === "http" && !loopback && !config.behindProxy) {
    throw new TunnelError(
      "CONFIG_INVALID",
      `Cannot serve plain HTTP on "${config.listen}": set tls_cert and tls_key, ` +
        "listen on a loopback address, or set behind_proxy = true",
    );
  }

  const registry = memoryRegistry();
  const tunnels: ServedTunnel[] = options.tunnels.map((settings) => ({ settings, exchanges: 0 }));
  const sessionContext: SessionContext = {
    edgeId: options.edgeId,
    tunnels: new Map(options.tunnels.map((settings) => [settings.name, settings])),
    registry,
    rifts: options.rifts,
    sessions: new Set(),
    clock,
    log,
  };
  const bodyWatch = new BodyWatch(clock, config.bodyTimeoutMs);
  const answerWatch = new BodyWatch(clock, ANSWER_STALL_MS);
  const exchangeContext: ExchangeContext = {
    clock,
    log,
    bodyWatch,
    answerWatch,
    maxBodyBytes: config.maxBodyBytes,
    bodyTimeoutMs: config.bodyTimeoutMs,
  };
  const exchangePrefix = clock.wallNow().toString(36);
  let exchangeCount = 0;
  let exchanges = 0;
  let closing: Promise<void> | undefined;
  let onIdle: (() => void) | undefined;
  let frontDoor: FrontDoor<ServedTunnel> | undefined;
  const sockets = new Set<Socket>();
  /** Sockets above the limit: they are answered once, so that the client learns why. */
  const surplus = new WeakSet<Socket>();

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    const refuse = (code: ErrorCode, detail?: string, allow?: string): void => {
      request.on("error", ignore);
      response.on("error", ignore);
      answerError(request, response, clock, code, { detail, allow });
    };
    if (surplus.has(request.socket)) {
      response.setHeader("Connection", "close");
      return refuse("TOO_MANY_CONNECTIONS", `the limit is ${config.maxConnections}`);
    }
    const method = request.method ?? "";
    const verdict = frontDoor!.judge({
      method,
      url: request.url ?? "",
      rawHeaders: request.rawHeaders,
    });
    if (!verdict.admitted) {
      log.debug("Request refused", { code: verdict.code, detail: verdict.detail });
      return refuse(verdict.code, verdict.detail, verdict.allow);
    }
    if (verdict.tunnel.settings.auth === "upstream") return forward(request, response, verdict);
    const { headers } = verdict;
    const asked = options.clientAuth?.authenticate({
      tunnel: verdict.tunnel.settings.name,
      authorization: headers.authorizations === 1 ? headers.authorization : undefined,
      certificate: undefined,
      proxyUser: undefined,
      proxyGroups: undefined,
    });
    void Promise.resolve(asked).then((result) => {
      if (result?.outcome !== "authenticated") return refuse("UNAUTHENTICATED");
      forward(request, response, verdict);
    });
  }

  function forward(
    request: IncomingMessage,
    response: ServerResponse,
    verdict: Admitted<ServedTunnel>,
  ): void {
    const refuse = (code: ErrorCode, detail?: string): void => {
      answerError(request, response, clock, code, { detail });
    };
    const { tunnel, headers } = verdict;
    const link = registry.pick(tunnel.settings.name);
    if (link === undefined || closing !== undefined) return refuse("TUNNEL_OFFLINE");
    if (tunnel.exchanges >= config.maxExchanges) {
      return refuse("STREAM_LIMIT", `the limit is ${config.maxExchanges}`);
    }
    tunnel.exchanges++;
    exchanges++;
    link.exchangeStarted();
    startExchange(exchangeContext, {
      request,
      response,
      settings: tunnel.settings,
      connection: link.connection,
      body: verdict.body,
      waits: verdict.waits,
      head: {
        tunnel: tunnel.settings.name,
        method: request.method ?? "",
        target: verdict.target,
        publicHost: forwardedHost(headers.forwardedHost) ?? headers.host,
        publicScheme: forwardedScheme(headers.forwardedProto) ?? scheme,
        clientAddress: clientAddress(request),
        exchangeId: `${exchangePrefix}-${(++exchangeCount).toString(36)}`,
        headers: tunnel.settings.auth === "upstream"
          ? headers.endToEnd
          : headers.endToEnd.filter((_, at, all) =>
            all[at - at % 2]!.toLowerCase() !== "authorization"
          ),
      },
      onEnd: () => {
        tunnel.exchanges--;
        exchanges--;
        link.exchangeEnded();
        if (exchanges === 0) onIdle?.();
      },
    });
  }

  const server = createServer(options, onRequest);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    // One per exchange that waits its turn, and ours.
    socket.setMaxListeners(0);
    socket.on("close", () => sockets.delete(socket));
    if (sockets.size > config.maxConnections) surplus.add(socket);
  });
  server.on("secureConnection", (socket: Socket) => {
    socket.setMaxListeners(0);
    if (sockets.size > config.maxConnections) surplus.add(socket);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    refuseUnparsed(options, error, socket);
  });
  // Without a listener node would drop the socket without a word. There is none for upgrades: then
  // they come as plain requests, and the front door decides.
  server.on("connect", (_request: IncomingMessage, socket: Duplex) => {
    endSocket(options, socket, "METHOD_REFUSED");
  });

  await listenPublic(server, publicAddress, config.listen);
  // A public listener has a port: it is not a pipe.
  const port = (server.address() as AddressInfo).port;
  let listener: Listener;
  try {
    const hosts = new HostTable({ scheme, port, loopback }, config.hosts);
    frontDoor = new FrontDoor<ServedTunnel>({
      router: new Router(hosts, tunnels),
      limits: config,
      behindProxy: config.behindProxy,
    });
    listener = await options.transport.listen({
      host: tunnelAddress.host,
      port: tunnelAddress.port,
      tls: options.tls,
      clock,
      log,
      // Not `options.signal`: running exchanges must be able to finish first.
      signal: new AbortController().signal,
      onConnection: (connection) => void new RiftSession(sessionContext, connection),
    });
  } catch (error) {
    server.close();
    throw error;
  }
  const tunnelListener = listener;
  const authority = publicAddress.host.includes(":")
    ? `[${publicAddress.host}]:${port}`
    : `${publicAddress.host}:${port}`;

  async function shutDown(): Promise<void> {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    for (const session of sessionContext.sessions) session.drain(config.drainMs);
    if (exchanges > 0 && config.drainMs > 0) {
      await new Promise<void>((resolve) => {
        const timer: Timer = clock.setTimer(config.drainMs, resolve);
        onIdle = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    bodyWatch.close();
    answerWatch.close();
    for (const session of sessionContext.sessions) {
      session.connection.close(quicOf("CONNECTION_CLOSED"), "The edge is closing");
    }
    await tunnelListener.close();
    for (const socket of sockets) socket.destroy();
    await stopped;
  }

  const close = (): Promise<void> => closing ??= shutDown();
  if (options.signal.aborted) await close();
  // `close` never rejects.
  else options.signal.addEventListener("abort", () => void close(), { once: true });
  log.info("Edge is listening", {
    url: `${scheme}://${authority}`,
    rifts: `${tunnelListener.address.host}:${tunnelListener.address.port}`,
  });

  return {
    url: `${scheme}://${authority}`,
    tunnelAddress: tunnelListener.address,
    tunnelUrl(name) {
      const settings = sessionContext.tunnels.get(name);
      if (settings === undefined) throw new RangeError(`No tunnel is named "${name}"`);
      const { host } = settings;
      const base = host === undefined
        ? authority
        : parseAuthority(host)?.port === undefined
        ? `${host}:${port}`
        : host;
      return `${scheme}://${base}${settings.path}`;
    },
    useTunnelTls: (tls) => tunnelListener.useTls(tls),
    status: () => ({
      clientSockets: sockets.size,
      exchanges,
      tunnels: tunnels.map(({ settings, exchanges: running }) => ({
        name: settings.name,
        rifts: registry.links(settings.name).filter((link) => link.healthy).map((link) =>
          link.rift
        ),
        exchanges: running,
      })),
    }),
    waitForTunnel: (name, signal) => registry.wait(name, signal),
    close,
  };
}

/** A declared tunnel and what it carries now. */
interface ServedTunnel {
  readonly settings: TunnelSettings;
  exchanges: number;
}

function createServer(
  options: EdgeOptions,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const { config, publicTls } = options;
  const serverOptions: ServerOptions = {
    insecureHTTPParser: false,
    maxHeaderSize: config.maxHeaderBytes,
    headersTimeout: config.headerTimeoutMs,
    // Bodies have their own timer, by progress (BodyWatch): long uploads are fine.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(config.headerTimeoutMs, 30_000),
    keepAliveTimeout: CLIENT_KEEP_ALIVE_MS,
    noDelay: true,
    highWaterMark: CLIENT_SOCKET_BUFFER_BYTES,
    // The front door answers this itself, with a body.
    requireHostHeader: false,
  };
  const server: Server = publicTls === undefined
    ? createHttpServer(serverOptions, onRequest)
    : createHttpsServer(
      {
        ...serverOptions,
        cert: publicTls.certPem,
        key: publicTls.keyPem,
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

function listenPublic(
  server: Server,
  address: { readonly host: string; readonly port: number },
  text: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const code = error.code === "EADDRINUSE" ? "ADDRESS_IN_USE" : "CONFIG_INVALID";
      const problem = code === "ADDRESS_IN_USE"
        ? "the port is in use; stop what has it, or set another (edge.listen, --listen)"
        : error.message;
      reject(new TunnelError(code, `Cannot listen on "${text}": ${problem}`, { cause: error }));
    };
    server.once("error", onError);
    server.listen(address.port, address.host, () => {
      server.off("error", onError);
      server.on("error", ignore);
      resolve();
    });
  });
}

/** Answers a request that the parser gave up on. */
function refuseUnparsed(options: EdgeOptions, error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const { maxHeaderBytes, headerTimeoutMs } = options.config;
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return endSocket(
        options,
        socket,
        "HEADERS_TOO_LARGE",
        `the limit is ${maxHeaderBytes} bytes`,
      );
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return endSocket(
        options,
        socket,
        "REQUEST_TIMEOUT",
        `the limit is ${headerTimeoutMs} ms for the headers`,
      );
    default:
      return endSocket(options, socket, "BAD_REQUEST");
  }
}

/** Writes an answer to a bare socket and gives the client the time to read it. */
function endSocket(options: EdgeOptions, socket: Duplex, code: ErrorCode, detail?: string): void {
  socket.on("error", ignore);
  if (socket.writableEnded) return;
  socket.end(rawErrorResponse(code, { detail, allow: code === "METHOD_REFUSED" ? "" : undefined }));
  socket.resume();
  const timer = options.clock.setTimer(LINGER_MS, () => socket.destroy(), "no");
  socket.on("close", () => timer.cancel());
}

function clientAddress(request: IncomingMessage): string {
  const address = request.socket.remoteAddress;
  if (address === undefined) return "unknown";
  return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}

/** What the operator's proxy says the client asked for; ignored when it is not a host. */
function forwardedHost(value: string | undefined): string | undefined {
  return value !== undefined && FORWARDED_HOST.test(value) ? value : undefined;
}

function forwardedScheme(value: string | undefined): "http" | "https" | undefined {
  return value === "http" || value === "https" ? value : undefined;
}

/** Errors of sockets are followed by `close`. */
function ignore(): void {}

const FORWARDED_HOST = /^[A-Za-z0-9._:[\]-]{1,261}$/;
