/**
 * The MCP server inside mcptun: what `mcptun dev` puts behind the tunnel when no upstream is named.
 *
 * It speaks both eras of the protocol and has one example of everything a tunnel must carry:
 * quick answers, progress, streams, resources that change, prompts.
 *
 * @module
 */

import { McpServer } from "@modelcontextprotocol/server";
import { type Clock, systemClock } from "../clock.ts";
import type { Logger } from "../log.ts";
import { guide } from "./guide.ts";
import { startMcpHost } from "./mcp_host.ts";
import { notebook } from "./notebook.ts";
import { streamingTools } from "./streaming_tools.ts";
import { textTools } from "./text_tools.ts";
import { timeTools } from "./time_tools.ts";

/** Where a sample server listens and what it is given. */
export interface SampleServerOptions {
  /** 0, the default, takes a free port. */
  readonly port?: number;
  readonly log: Logger;
  /** Closes the server. */
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

/** A running sample server. */
export interface SampleServer {
  /** `http://127.0.0.1:PORT/mcp`. */
  readonly url: string;
  /** Ends every session, stream and connection. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts the sample server on loopback; resolves when it listens.
 *
 * @throws {TunnelError} `ADDRESS_IN_USE` when the port is taken, `ABORTED` when `signal` already is.
 */
export async function startSampleServer(options: SampleServerOptions): Promise<SampleServer> {
  const clock = options.clock ?? systemClock;
  const registrars = [textTools(), timeTools(clock), streamingTools(clock), guide()];
  const addNotebook = notebook();

  const host = await startMcpHost({
    port: options.port,
    log: options.log,
    signal: options.signal,
    createServer(_era, bus) {
      const server = new McpServer(
        { name: "mcptun-sample", title: "mcptun sample server", version: "0.1.0" },
        {
          capabilities: {
            logging: {},
            resources: { subscribe: true, listChanged: true },
            tools: { listChanged: true },
            prompts: { listChanged: true },
          },
          instructions: "Sample server of mcptun. Read sample://welcome first.",
        },
      );
      for (const register of registrars) register(server);
      addNotebook(server, bus);
      return server;
    },
  });
  return { url: host.url, close: () => host.close() };
}
