/**
 * Sessions of the legacy era (MCP 2025-03-26 to 2025-11-25): one server instance per session.
 *
 * The table is bounded: a new session above the bound ends the one unused for longest, whose client
 * gets 404 on its next request and starts over, as the protocol asks of it.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import {
  type EventStore,
  isInitializeRequest,
  type McpServer,
  type ServerEventBus,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import { followChanges } from "./changes.ts";

/** What every session is made from. */
export interface LegacySessionsOptions {
  readonly createServer: () => McpServer;
  readonly bus: ServerEventBus;
  readonly maxSessions: number;
  readonly maxRequestBytes: number;
  /** Makes broken streams resumable when given: one store per session. */
  readonly createEventStore?: (() => EventStore) | undefined;
  readonly onError: (error: Error) => void;
}

interface Session {
  readonly server: McpServer;
  readonly transport: WebStandardStreamableHTTPServerTransport;
}

/** The sessions of one endpoint. `close` ends them all. */
export class LegacySessions {
  readonly #options: LegacySessionsOptions;
  /** Least recently used first. */
  readonly #sessions = new Map<string, Session>();

  constructor(options: LegacySessionsOptions) {
    this.#options = options;
  }

  /** Sessions that are open now. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Answers one request of the legacy era. */
  async fetch(request: Request): Promise<Response> {
    const id = request.headers.get("mcp-session-id");
    if (id !== null) {
      const session = this.#sessions.get(id);
      if (session === undefined) return refusal(404, -32001, "Session not found");
      this.#sessions.delete(id);
      this.#sessions.set(id, session);
      return session.transport.handleRequest(request);
    }
    if (request.method !== "POST" || !(await opensSession(request))) {
      return refusal(400, -32000, "Bad Request: Mcp-Session-Id header is required");
    }
    return await this.#open(request);
  }

  /** Ends every session. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map(({ server }) => server.close()));
  }

  async #open(request: Request): Promise<Response> {
    const { createServer, bus, maxRequestBytes, createEventStore, onError } = this.#options;
    const server = createServer();
    const stopFollowing = followChanges(server, bus, onError);
    const eventStore = createEventStore?.();
    let sessionId: string | undefined;
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      maxRequestBodySize: maxRequestBytes,
      ...(eventStore === undefined ? {} : { eventStore, retryInterval: 100 }),
      onsessioninitialized: (id) => {
        sessionId = id;
        this.#sessions.set(id, { server, transport });
        this.#endOldest();
      },
    });
    server.server.onclose = () => {
      stopFollowing();
      if (sessionId !== undefined) this.#sessions.delete(sessionId);
    };
    server.server.onerror = onError;
    await server.connect(transport);
    const answer = await transport.handleRequest(request);
    if (sessionId === undefined) await server.close();
    return answer;
  }

  #endOldest(): void {
    if (this.#sessions.size <= this.#options.maxSessions) return;
    const [oldest] = this.#sessions;
    if (oldest === undefined) return;
    this.#sessions.delete(oldest[0]);
    oldest[1].server.close().catch(this.#options.onError);
  }
}

async function opensSession(request: Request): Promise<boolean> {
  try {
    const body: unknown = await request.clone().json();
    return Array.isArray(body) ? body.some(isInitializeRequest) : isInitializeRequest(body);
  } catch {
    // Not JSON: the transport has the right answer for it.
    return true;
  }
}

function refusal(status: number, code: number, message: string): Response {
  return Response.json({ jsonrpc: "2.0", id: null, error: { code, message } }, { status });
}
