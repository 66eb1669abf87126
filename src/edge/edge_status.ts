/** What an edge says about itself: plain data, made when asked. @module */

import type { ListenerStats } from "../transport/transport.ts";

/** What an edge is doing. Times are wall clock, ms. */
export interface EdgeStatus {
  readonly edgeId: string;
  readonly url: string;
  /** Where rifts dial. */
  readonly tunnelAddress: { readonly host: string; readonly port: number };
  readonly startedAtMs: number;
  readonly clientConnections: number;
  /** In flight now. */
  readonly exchanges: number;
  readonly tunnels: readonly TunnelStatus[];
  /** Every connection of a rift, also of one that serves no tunnel yet. */
  readonly rifts: readonly RiftStatus[];
  /** Requests that reached no tunnel, by error code, since the start. */
  readonly refused: Readonly<Record<string, number>>;
  /** Connections of rifts that were refused, by reason code, since the start. */
  readonly refusedRifts: Readonly<Record<string, number>>;
  /** Strangers at the listener for rifts; `undefined` when its transport cannot say. */
  readonly newcomers?: ListenerStats | undefined;
}

/** One declared tunnel. */
export interface TunnelStatus {
  readonly name: string;
  readonly url: string;
  readonly protocol: "mcp" | "http";
  readonly auth: "edge" | "upstream";
  /** Aware: every message is read and judged. */
  readonly mode: "transparent" | "aware";
  readonly rifts: readonly RiftStatus[];
  /** Names of rifts that are connected and will serve it once their private server answers. */
  readonly waiting: readonly string[];
  /** In flight now. */
  readonly exchanges: number;
  /** Of these, answers that are event streams. */
  readonly eventStreams: number;
  /** Finished exchanges and refused requests by {@link Outcome}, since the start. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Exchanges that began in the last 60 s. */
  readonly startedLastMinute: number;
  /** Time from the request to the head of the answer. */
  readonly latency: LatencyStatus;
}

/** A histogram. */
export interface LatencyStatus {
  readonly count: number;
  readonly sumMs: number;
  /** Answers within each bound of `LATENCY_BOUNDS_MS`; not cumulative, the last is what is above. */
  readonly buckets: readonly number[];
}

/** One connection of a rift. */
export interface RiftStatus {
  /** Name of its credential. */
  readonly name: string;
  /** Serial number of its credential. */
  readonly serial: string;
  readonly connection: string;
  readonly remote: string;
  readonly software: string;
  readonly connectedAtMs: number;
  readonly expiresAtMs: number;
  /** In rotation: heartbeats come, and it has not said goodbye. */
  readonly healthy: boolean;
  /** In flight on this connection. */
  readonly exchanges: number;
}

/** What came of asking a private server, through its tunnel, whether it is there. */
export type ProbeResult =
  | { readonly answered: true; readonly tookMs: number }
  | { readonly answered: false; readonly reason: string };

/** Bounds of the latency histogram, ms. */
export const LATENCY_BOUNDS_MS: readonly number[] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000];
