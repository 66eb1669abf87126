/**
 * What the operator's listener asks of an edge. The shapes are those of `edge/edge_status.ts`,
 * declared again because folders of one level do not import each other.
 *
 * @module
 */

import type { ListenerStats } from "../transport/transport.ts";

/** Whom an admin listener speaks for. */
export interface AdminSource {
  status(): AdminStatus;
  /** Asks a private server through its tunnel whether it is there. `signal` gives it up. */
  probe(tunnel: string, signal: AbortSignal): Promise<ProbeOutcome>;
  reload(): ReloadStatus;
  /** `undefined` when the edge keeps no records. */
  audit(): AdminAudit | undefined;
}

/** The audit trail. Counts are since the start of the edge, `records` of the trail. */
export interface AdminAudit {
  /** Absent when none is written, and the counts below are 0. */
  readonly file?: string | undefined;
  readonly records: number;
  /** Records that wait for the disk. */
  readonly waiting: number;
  readonly lost: number;
  /** What keeps records from being written now, for operators. */
  readonly problem?: string | undefined;
  /** Are new exchanges refused meanwhile? */
  readonly blocks: boolean;
  /** Absent when nothing is exported. */
  readonly export?: AdminAuditExport | undefined;
}

/** The records that go to a collector of OpenTelemetry. */
export interface AdminAuditExport {
  readonly endpoint: string;
  readonly exported: number;
  /** On their way. */
  readonly waiting: number;
  /** Found no room to wait. */
  readonly dropped: number;
  /** Not taken by the collector. */
  readonly failed: number;
}

/** The configuration in force. */
export interface ReloadStatus {
  /** When it was loaded, wall clock, ms. */
  readonly loadedAtMs: number;
  /** What was wrong with a file that was refused since; empty when there is none. */
  readonly problems: readonly string[];
}

/** What an edge is doing. Times are wall clock, ms; counts are since the start. */
export interface AdminStatus {
  readonly edgeId: string;
  readonly url: string;
  readonly tunnelAddress: { readonly host: string; readonly port: number };
  readonly startedAtMs: number;
  readonly clientConnections: number;
  /** In flight now. */
  readonly exchanges: number;
  readonly tunnels: readonly AdminTunnel[];
  /** Every connection of a rift, also of one that serves no tunnel yet. */
  readonly rifts: readonly AdminRift[];
  /** Requests that reached no tunnel, by error code. */
  readonly refused: Readonly<Record<string, number>>;
  /** Connections of rifts that were refused, by reason code. */
  readonly refusedRifts: Readonly<Record<string, number>>;
  /** Strangers at the listener for rifts; `undefined` when its transport cannot say. */
  readonly newcomers?: ListenerStats | undefined;
}

/** One declared tunnel. */
export interface AdminTunnel {
  readonly name: string;
  readonly url: string;
  readonly protocol: "mcp" | "http";
  readonly mode: "transparent" | "aware";
  readonly auth: "edge" | "upstream";
  readonly rifts: readonly AdminRift[];
  /** Names of rifts that are connected and will serve it once their private server answers. */
  readonly waiting: readonly string[];
  /** In flight now. */
  readonly exchanges: number;
  readonly eventStreams: number;
  /** `2xx` and the like, a lower case error code, or `aborted`. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly startedLastMinute: number;
  readonly latency: AdminLatency;
}

/** Time to the head of the answer. `buckets` are not cumulative; the last one has no bound. */
export interface AdminLatency {
  readonly count: number;
  readonly sumMs: number;
  readonly buckets: readonly number[];
}

/** One connection of a rift. */
export interface AdminRift {
  readonly name: string;
  readonly serial: string;
  readonly connection: string;
  readonly remote: string;
  readonly software: string;
  readonly connectedAtMs: number;
  readonly expiresAtMs: number;
  readonly healthy: boolean;
  readonly exchanges: number;
}

/** What came of a probe. */
export type ProbeOutcome =
  | { readonly answered: true; readonly tookMs: number }
  | { readonly answered: false; readonly reason: string };

/** Bounds of the latency histogram, ms: a test compares them with the edge's. */
export const LATENCY_BOUNDS_MS: readonly number[] = [1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000];
