/**
 * The operator's own listener: a Unix socket in the state directory, and a loopback port on
 * request. It shares nothing with the public listener.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import process from "node:process";
import type { Duplex } from "node:stream";

import type { Clock, Timer } from "../clock.ts";
import { isLoopback, joinAddress } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import {
  ADMIN_ANSWER_MS,
  ADMIN_HEADER_BYTES,
  ADMIN_IDLE_MS,
  ADMIN_MAX_CONNECTIONS,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Secret } from "../runtime/secret.ts";
import { type DoorRules, judgeAdmin } from "./admin_door.ts";
import { type AdminPage, AdminPages, refusalPage } from "./admin_pages.ts";
import type { AdminSource } from "./admin_source.ts";
import { fitsSocket, listenOnSocket } from "./unix_socket.ts";

/** What to start. */
export interface AdminOptions {
  /** Its folder must be private. Left out on Windows, and when the path is too long for a socket. */
  readonly socketPath?: string | undefined;
  /** Loopback only. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined;
  /** Asked for over TCP. Without one, nobody sees status and metrics there. */
  readonly token?: Secret | undefined;
  readonly source: AdminSource;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Closes everything. */
  readonly signal: AbortSignal;
}

/** A running admin listener. */
export interface AdminListener {
  /** Where it listens, when it has a socket. */
  readonly socketPath: string | undefined;
  /** Its base URL, when it has a port. */
  readonly url: string | undefined;
  /** Cuts every connection and removes the socket. Idempotent; takes no time to speak of. */
  close(): Promise<void>;
}

/**
 * Listens on what the options name; nothing stays open when it throws.
 *
 * @throws {TunnelError} `ADDRESS_IN_USE`, `STATE_UNUSABLE`, and `CONFIG_INVALID` for an address that
 * is not loopback.
 */
export async function startAdmin(options: AdminOptions): Promise<AdminListener> {
  const { listen, log, signal } = options;
  if (listen !== undefined && !isLoopback(listen.host)) {
    throw new TunnelError(
      "CONFIG_INVALID",
      `Cannot listen on "${joinAddress(listen)}": the admin listener is for loopback only ` +
        "(set admin.listen to 127.0.0.1 or [::1])",
    );
  }
  const context: Context = { ...options, pages: new AdminPages(options) };
  const open: Listening[] = [];
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    closing ??= (async () => {
      signal.removeEventListener("abort", onAbort);
      context.pages.close();
      await Promise.all(open.map((one) => one.close()));
    })();
  const onAbort = (): void => void close(); // never rejects
  try {
    const socket = await openSocket(context);
    if (socket !== undefined) open.push(socket);
    const port = listen === undefined ? undefined : await openPort(context, listen);
    if (port !== undefined) open.push(port);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) await close();
    const socketPath = socket?.where;
    const url = port === undefined ? undefined : `http://${port.where}`;
    if (open.length > 0) log.info("Admin is listening", { socket: socketPath, url });
    return { socketPath, url, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Context extends AdminOptions {
  readonly pages: AdminPages;
}

interface Listening {
  /** The path or `host:port`. */
  readonly where: string;
  close(): Promise<void>;
}

async function openSocket(context: Context): Promise<Listening | undefined> {
  const { socketPath, log } = context;
  // Node's pipes there have no file permissions to rely on.
  if (socketPath === undefined || process.platform === "win32") return undefined;
  if (!fitsSocket(socketPath)) {
    log.warn("Admin socket left out: its path is longer than a socket may have", {
      path: socketPath,
    });
    return undefined;
  }
  const rules: DoorRules = { hosts: new Set(["localhost"]), operator: "anyone" };
  const { server, cut } = createAdminServer(context, () => rules);
  try {
    await listenOnSocket(server, socketPath);
  } catch (error) {
    await stopServer(server, cut);
    throw error;
  }
  return { where: socketPath, close: () => stopServer(server, cut) };
}

async function openPort(
  context: Context,
  listen: { readonly host: string; readonly port: number },
): Promise<Listening> {
  let rules: DoorRules = { hosts: new Set(), operator: { token: context.token } };
  const { server, cut } = createAdminServer(context, () => rules);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === "EADDRINUSE";
      const problem = inUse
        ? "the port is in use; stop what has it, or set another (admin.listen)"
        : cause.message;
      reject(
        new TunnelError(
          inUse ? "ADDRESS_IN_USE" : "CONFIG_INVALID",
          `Cannot listen on "${joinAddress(listen)}": ${problem}`,
          { cause },
        ),
      );
    });
    server.listen(listen.port, listen.host, resolve);
  });
  // A TCP server has a port.
  const { port } = server.address() as AddressInfo;
  const names = new Set(["localhost", "127.0.0.1", "::1", listen.host]);
  const hosts = [...names].map((host) => joinAddress({ host, port }));
  // Clients leave out the port that is http's own.
  if (port === 80) hosts.push(...[...names].map((host) => host.includes(":") ? `[${host}]` : host));
  rules = { hosts: new Set(hosts), operator: { token: context.token } };
  return {
    where: joinAddress({ host: listen.host, port }),
    close: () => stopServer(server, cut),
  };
}

/** A server with every bound of its own, and what cuts its connections. */
function createAdminServer(
  context: Context,
  rulesOfNow: () => DoorRules,
): { readonly server: Server; readonly cut: () => void } {
  const { clock, log, pages } = context;
  /** Every connection has a timer at every time. */
  const timers = new Map<Socket, Timer>();
  const answers = new WeakMap<Socket, ServerResponse>();
  const allow = (socket: Socket, timeMs: number): void => {
    timers.get(socket)?.cancel();
    timers.set(socket, clock.setTimer(timeMs, () => socket.destroy(), "no"));
  };

  const server = createServer({
    maxHeaderSize: ADMIN_HEADER_BYTES,
    // The door answers this itself.
    requireHostHeader: false,
    // All three are our timers': they hold on both runtimes and for silent connections too.
    headersTimeout: 0,
    requestTimeout: 0,
    keepAliveTimeout: 0,
  });
  server.on("connection", (socket: Socket) => {
    socket.on("error", ignore);
    if (timers.size >= ADMIN_MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    socket.on("close", () => {
      timers.get(socket)?.cancel();
      timers.delete(socket);
    });
    allow(socket, ADMIN_IDLE_MS);
  });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    response.on("error", ignore);
    if (!timers.has(socket)) {
      socket.destroy();
      return;
    }
    // One question at a time: else a pipeline would be an unbounded queue.
    if (answers.get(socket)?.writableEnded === false) {
      socket.destroy();
      return;
    }
    answers.set(socket, response);
    allow(socket, ADMIN_ANSWER_MS);
    response.on("close", () => {
      if (timers.has(socket)) allow(socket, ADMIN_IDLE_MS);
    });
    // `answerTo` does not reject.
    void answerTo({ pages, log }, request, rulesOfNow()).then((page) => {
      send(request, response, page);
    });
  });
  // Without a listener of its own, node would leave the socket to nobody.
  server.on("connect", (_request: IncomingMessage, socket: Duplex) => socket.destroy());
  const cut = (): void => {
    for (const socket of timers.keys()) socket.destroy();
  };
  return { server, cut };
}

async function answerTo(
  { pages, log }: Pick<Context, "pages" | "log">,
  request: IncomingMessage,
  rules: DoorRules,
): Promise<AdminPage> {
  try {
    const verdict = judgeAdmin({
      method: request.method ?? "",
      url: request.url ?? "",
      rawHeaders: request.rawHeaders,
    }, rules);
    if (verdict.admitted) return await pages.page(verdict);
    log.debug("Admin request refused", { code: verdict.code });
    return refusalPage(verdict.code, verdict.detail);
  } catch (error) {
    log.error("Cannot answer an admin request", { error: String(error) });
    return refusalPage("INTERNAL");
  }
}

function send(request: IncomingMessage, response: ServerResponse, page: AdminPage): void {
  const body = Buffer.from(page.body, "utf8");
  response.writeHead(page.status, {
    "Content-Type": page.type,
    "Content-Length": String(body.length),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...page.headers,
    // What follows a refused request may be its body: it must not be read as another request.
    ...(page.status >= 400 && page.status < 500 ? { Connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

async function stopServer(server: Server, cut: () => void): Promise<void> {
  const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
  cut();
  await stopped;
}

function ignore(): void {
  // The connection is over; its `close` follows.
}
