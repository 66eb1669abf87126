/** What the public role is given, as the types it needs itself. @module */

import type { Clock } from "../clock.ts";
import type { Family } from "../mcp/methods.ts";
import type { Logger } from "../log.ts";
import type { Decision } from "../policy/decide.ts";
import type { Target } from "../policy/target.ts";
import type { ClientAuthentication, Principal } from "../principal.ts";
import type { TlsMaterial, Transport } from "../transport/transport.ts";

/** The `[edge]` table, as far as this folder uses it. */
export interface EdgeSettings {
  /** `host:port` of the public listener. */
  readonly listen: string;
  /** `host:port` of the listener for rifts. */
  readonly tunnelListen: string;
  /** Values of `Host` that path-matched tunnels answer to, besides loopback names. */
  readonly hosts: readonly string[];
  /** `scheme://host[:port]` that clients use, when it is not the listener's own. */
  readonly publicUrl?: string | undefined;
  readonly behindProxy: boolean;
  /** IP addresses and CIDR networks of that proxy; empty: every peer. */
  readonly trustedProxies: readonly string[];
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  /** Concurrent exchanges of one tunnel. */
  readonly maxExchanges: number;
  /** Concurrent event streams of one principal, or of one address on tunnels without. */
  readonly maxEventStreams: number;
  readonly drainMs: number;
}

/** One `[[tunnel]]`. */
export interface TunnelSettings {
  readonly name: string;
  /** Matched by this `Host` alone; `undefined`: by path on the edge's own hosts. */
  readonly host?: string | undefined;
  readonly path: string;
  readonly protocol: "mcp" | "http";
  /** `"edge"`: only requests with a principal get in. */
  readonly auth: "edge" | "upstream";
  /** Passes the client's `Authorization` on; never done with `auth: "edge"`. */
  readonly forwardAuthorization: boolean;
  readonly origins: readonly string[];
  /** Aware: every message is read and judged; needs `auth: "edge"` and protocol `mcp`. */
  readonly mode: "transparent" | "aware";
  readonly rules: { readonly onDeny?: "hide" | "explain" | undefined };
  /** Families of requests that the private server may make of clients. */
  readonly serverRequests: readonly Family[];
  /** Silence after which a comment goes out on an event stream, ms; 0 is never. */
  readonly sseKeepaliveMs: number;
}

/** A rift whose certificate was checked. */
export interface VerifiedRift {
  readonly name: string;
  /** Serial number of the certificate, lower-case hexadecimal. */
  readonly serial: string;
  /** When the credential ends, wall clock, ms. */
  readonly expiresAtMs: number;
  /** When the credential may be renewed, wall clock, ms; `Infinity` when not; else any time. */
  readonly renewableAtMs?: number | undefined;
  mayClaim(tunnel: string): boolean;
}

/** A new certificate for a rift that is connected, and what it may do from now on. */
export interface RenewedRift {
  readonly rift: VerifiedRift;
  /** DER. */
  readonly certificate: Uint8Array;
}

/** Decides about rifts. A refusal is a {@link TunnelError} `REFUSED` without a cause. */
export interface RiftAuthority {
  /**
   * Who is behind a chain that the handshake has checked?
   *
   * @param certificates DER, leaf first.
   * @throws {TunnelError} `REFUSED` with the reason that the rift is told; with a cause when it is
   *   the edge that cannot tell now.
   */
  verify(certificates: readonly Uint8Array[]): Promise<VerifiedRift>;
  /** What holds now for the credential of a rift that is connected. @throws as `verify`. */
  recheck(rift: VerifiedRift): Promise<VerifiedRift>;
  /**
   * A successor of the rift's credential, for a key that the rift has made.
   *
   * @param publicKey SubjectPublicKeyInfo, DER.
   * @throws as `verify`.
   */
  renew(rift: VerifiedRift, publicKey: Uint8Array): Promise<RenewedRift>;
}

/** What was decided about one message of a client. */
export interface JudgedMessage {
  readonly tunnel: string;
  readonly principal: Principal;
  readonly method: string;
  /** What decided: the first thing that is not allowed, or the last that is. */
  readonly target: Target;
  readonly decision: Decision;
}

/** Decides by the rules in force now. Never throws. */
export interface PolicyDecider {
  decide(tunnel: string, principal: Principal, target: Target): Decision;
}

/** A certificate and key for HTTPS, and the CAs of client certificates; all PEM. */
export interface PublicTls {
  readonly certPem: string;
  readonly keyPem: string;
  readonly clientCaPem?: string | undefined;
}

/** Options of `startEdge`. */
export interface EdgeOptions {
  readonly config: EdgeSettings;
  readonly tunnels: readonly TunnelSettings[];
  readonly transport: Transport;
  /** Certificate of the listener for rifts. */
  readonly tls: TlsMaterial;
  readonly rifts: RiftAuthority;
  /** Needed as soon as a tunnel has `auth: "edge"`. */
  readonly clientAuth?: ClientAuthentication | undefined;
  /** Needed as soon as a tunnel is aware. */
  readonly policy?: PolicyDecider | undefined;
  /** Told of every message that an aware tunnel was asked to carry. */
  readonly onJudged?: ((judged: JudgedMessage) => void) | undefined;
  /** Headers, lower case, in which a trusted proxy names user and groups. */
  readonly proxyHeaders?:
    | { readonly user: string; readonly groups?: string | undefined }
    | undefined;
  /** When given, the public listener speaks TLS. */
  readonly publicTls?: PublicTls | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Name of this edge, told to rifts. */
  readonly edgeId: string;
}
