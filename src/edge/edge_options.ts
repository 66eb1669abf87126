/** What the public role is given, as the types it needs itself. @module */

import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { TlsMaterial, Transport } from "../transport/transport.ts";

/** The `[edge]` table, as far as this folder uses it. */
export interface EdgeSettings {
  /** `host:port` of the public listener. */
  readonly listen: string;
  /** `host:port` of the listener for rifts. */
  readonly tunnelListen: string;
  /** Values of `Host` that path-matched tunnels answer to, besides loopback names. */
  readonly hosts: readonly string[];
  readonly behindProxy: boolean;
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly maxConnections: number;
  /** Concurrent exchanges of one tunnel. */
  readonly maxExchanges: number;
  readonly drainMs: number;
}

/** One `[[tunnel]]`. */
export interface TunnelSettings {
  readonly name: string;
  /** Matched by this `Host` alone; `undefined`: by path on the edge's own hosts. */
  readonly host?: string | undefined;
  readonly path: string;
  readonly protocol: "mcp" | "http";
  readonly origins: readonly string[];
  /** Silence after which a comment goes out on an event stream, ms; 0 is never. */
  readonly sseKeepaliveMs: number;
}

/** A rift whose certificate was checked. */
export interface VerifiedRift {
  readonly name: string;
  readonly serial: string;
  /** When the credential ends, wall clock, ms. */
  readonly expiresAtMs: number;
  mayClaim(tunnel: string): boolean;
}

/** Tells who holds a user token; `undefined` for nobody. */
export interface UserTokenCheck {
  check(authorization: string | undefined): { readonly user: string } | undefined;
}

/** Options of `startEdge`. */
export interface EdgeOptions {
  readonly config: EdgeSettings;
  readonly tunnels: readonly TunnelSettings[];
  readonly transport: Transport;
  /** Certificate of the listener for rifts. */
  readonly tls: TlsMaterial;
  /** @throws {TunnelError} `REFUSED` with the reason that the rift is told. */
  readonly verifyRift: (certificates: readonly Uint8Array[]) => Promise<VerifiedRift>;
  /** When given, every request needs a token, and the token is not passed on. */
  readonly userTokens?: UserTokenCheck | undefined;
  /** When given, the public listener speaks TLS. */
  readonly publicTls?: { readonly certPem: string; readonly keyPem: string } | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Name of this edge, told to rifts. */
  readonly edgeId: string;
}
