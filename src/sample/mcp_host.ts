/**
 * Serves one MCP server at `http://127.0.0.1:PORT/mcp` in both eras of the protocol.
 *
 * Modern requests (2026-07-28) are stateless: one server instance each. Legacy requests belong to a
 * session, see legacy_sessions.ts. Loopback only: `Host` and `Origin` must name this machine.
 *
 * @module
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  createMcpHandler,
  type EventStore,
  InMemoryServerEventBus,
  isLegacyRequest,
  type McpHttpHandler,
  type McpServer,
  type ServerEventBus,
} from "@modelcontextprotocol/server";
import {
  localhostHostValidation,
  localhostOriginValidation,
  type NodeIncomingMessageLike,
  toWebRequest,
} from "@modelcontextprotocol/node";
import { TunnelError } from "../errors.ts";
import { SAMPLE_MAX_REQUEST_BYTES, SAMPLE_MAX_SESSIONS, SAMPLE_MAX_STREAMS } from "../limits.ts";
import type { Logger } from "../log.ts";
import { sendAnswer } from "./http_answer.ts";
import { LegacySessions } from "./legacy_sessions.ts";

/** The era a server instance is made for. */
export type Era = "modern" | "legacy";

/** What is served, and where. */
export interface McpHostOptions {
  /** Makes the instance for one modern request or one legacy session. `bus` carries change events to all clients. */
  readonly createServer: (era: Era, bus: ServerEventBus) => McpServer;
  /** 0, the default, takes a free port. */
  readonly port?: number | undefined;
  readonly maxSessions?: number | undefined;
  readonly maxRequestBytes?: number | undefined;
  /** Makes broken legacy streams resumable when given. */
  readonly createEventStore?: (() => EventStore) | undefined;
  readonly log: Logger;
  /** Closes the host. */
  readonly signal: AbortSignal;
}

/** A running host. */
export interface McpHost {
  /** `http://127.0.0.1:PORT/mcp`. */
  readonly url: string;
  /** Legacy sessions that are open now. */
  readonly sessions: () => number;
  /** Ends every session, stream and connection. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a host; resolves when it listens.
 *
 * @throws {TunnelError} `ADDRESS_IN_USE` when the port is taken, `ABORTED` when `signal` already is.
 */
export async function startMcpHost(options: McpHostOptions): Promise<McpHost> {
  const { log, signal } = options;
  if (signal.aborted) throw new TunnelError("ABORTED", "Cannot start the MCP host: aborted");

  const maxRequestBytes = options.maxRequestBytes ?? SAMPLE_MAX_REQUEST_BYTES;
  const onError = (error: Error) => log.debug("MCP server complained", { problem: error.message });
  const bus = new InMemoryServerEventBus(onError);
  const modern = createMcpHandler(({ era }) => options.createServer(era, bus), {
    legacy: "reject",
    bus,
    maxSubscriptions: SAMPLE_MAX_STREAMS,
    maxRequestBodySize: maxRequestBytes,
    onerror: onError,
  });
  const legacy = new LegacySessions({
    createServer: () => options.createServer("legacy", bus),
    bus,
    maxSessions: options.maxSessions ?? SAMPLE_MAX_SESSIONS,
    maxRequestBytes,
    createEventStore: options.createEventStore,
    onError,
  });

  const front = frontDoor({ modern, legacy, maxRequestBytes, onError });
  const server = createServer((request, response) => {
    // `front` settles every request itself and never rejects.
    void front(request, response);
  });
  await listen(server, options.port ?? 0);

  let closing: Promise<void> | undefined;
  const close = () => {
    signal.removeEventListener("abort", onAbort);
    return closing ??= shutDown(server, modern, legacy);
  };
  const onAbort = () => {
    // Whoever aborts and wants to know of the end calls `close` too.
    void close().catch(onError);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, // a TCP listener's address is never a path
    sessions: () => legacy.size,
    close,
  };
}

interface FrontDoor {
  readonly modern: McpHttpHandler;
  readonly legacy: LegacySessions;
  readonly maxRequestBytes: number;
  readonly onError: (error: Error) => void;
}

function frontDoor({ modern, legacy, maxRequestBytes, onError }: FrontDoor) {
  const hostIsLocal = localhostHostValidation();
  const originIsLocal = localhostOriginValidation();
  const bodyLimit = { maxRequestBodySize: maxRequestBytes };

  const answer = async (request: IncomingMessage, signal: AbortSignal): Promise<Response> => {
    const [path] = (request.url ?? "/").split("?");
    if (path !== "/mcp") return new Response("Not found\n", { status: 404 });
    // The adapter's type differs only in optional properties that may hold undefined here.
    const incoming = request as NodeIncomingMessageLike;
    const web = await toWebRequest(incoming, undefined, { ...bodyLimit, signal });
    return await isLegacyRequest(web, undefined, bodyLimit)
      ? await legacy.fetch(web)
      : await modern.fetch(web);
  };

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (!hostIsLocal(request, response) || !originIsLocal(request, response)) return;
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    try {
      await sendAnswer(response, await answer(request, gone.signal));
    } catch (error) {
      onError(error instanceof Error ? error : new Error(String(error)));
      if (response.headersSent) {
        response.destroy();
        return;
      }
      // `toWebRequest` marks a body over the limit with `status`.
      const tooLarge = error instanceof Error && "status" in error && error.status === 413;
      response.writeHead(tooLarge ? 413 : 500, { connection: "close" }).end();
    }
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const code = cause.code === "EADDRINUSE" ? "ADDRESS_IN_USE" : "INTERNAL";
      reject(new TunnelError(code, `Cannot listen on 127.0.0.1:${port}`, { cause }));
    });
    server.listen(port, "127.0.0.1", resolve);
  });
}

async function shutDown(
  server: Server,
  modern: McpHttpHandler,
  legacy: LegacySessions,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  await Promise.all([modern.close(), legacy.close()]);
  server.closeAllConnections();
  await closed;
}
