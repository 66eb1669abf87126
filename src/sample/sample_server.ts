/**
 * The MCP server inside mcptun: what `mcptun dev` puts behind the tunnel when no upstream is named.
 *
 * It speaks both eras of the protocol and has one example of everything a tunnel must carry:
 * quick answers, progress, streams, resources that change, prompts.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";

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
  // Loading the MCP library takes about 300 ms, which no other command has to pay.
  const { openSampleServer } = await import("./sample_parts.ts");
  return await openSampleServer(options);
}
