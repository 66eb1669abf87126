/**
 * Connections to one private server.
 *
 * `undici`'s dispatch, with its callbacks, is the cheapest client there is for Node that keeps
 * connections (docs/decisions/0016-undici.md). It never repeats a request it has begun to write.
 *
 * @module
 */

import { Pool } from "undici";
import type { Dispatcher } from "undici";

import { MAX_HEAD_BYTES, MAX_UPSTREAM_CONNECTIONS } from "../limits.ts";

/** Limits of time for one upstream. */
export interface UpstreamTimeouts {
  readonly connectMs: number;
  /** 0 is without end. */
  readonly headMs: number;
}

/** The connections to one origin. */
export interface Upstream {
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void;
  /** Ends every connection at once. Never rejects. */
  close(): Promise<void>;
}

/** Opens connections to `origin` when they are needed. */
export function openUpstream(origin: string, timeouts: UpstreamTimeouts): Upstream {
  const pool = new Pool(origin, {
    connections: MAX_UPSTREAM_CONNECTIONS,
    // One request at a time: with pipelining a broken one would take others with it.
    pipelining: 1,
    connect: { timeout: timeouts.connectMs, noDelay: true },
    headersTimeout: timeouts.headMs,
    // Event streams are silent for hours.
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEAD_BYTES,
    allowH2: false,
  });
  // Each request is told of its own failure.
  pool.on("connectionError", ignore);
  return {
    dispatch: (options, handler) => void pool.dispatch(options, handler),
    close: () => pool.destroy().catch(ignore),
  };
}

function ignore(): void {}
