/** What the private role is given, as the types it needs itself. @module */

import type { Clock } from "../clock.ts";
import type { TunnelError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { Secret } from "../runtime/secret.ts";
import type { TlsMaterial, Transport } from "../transport/transport.ts";

/** A tunnel and the private server behind it. */
export interface Expose {
  readonly tunnel: string;
  /** `http:` or `https:`. For `mcp` the endpoint itself, for `http` the base of all targets. */
  readonly upstream: string;
  readonly protocol: "mcp" | "http";
  /**
   * Value of `Authorization` for the upstream, instead of what a client sends: only on requests of
   * users whom the edge has proved.
   */
  readonly authorization?: Secret | undefined;
}

/** A new certificate of this rift and its key, PEM; the key in PKCS #8. */
export interface RenewedMaterial {
  readonly certPem: string;
  readonly keyPem: string;
  /** Wall clock, ms. */
  readonly expiresAtMs: number;
}

/** What a rift is doing. */
export type RiftState = "connecting" | "connected" | "waiting" | "closed";

/** Options of `startRift`. */
export interface RiftOptions {
  readonly transport: Transport;
  /** The edge's listener for rifts. */
  readonly address: { readonly host: string; readonly port: number };
  /** The name in the edge's certificate. */
  readonly serverName: string;
  /** The credential. Its name and lifetime are read from its certificate. */
  readonly tls: TlsMaterial;
  readonly exposes: readonly Expose[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Unique for this process; a random one when not given. */
  readonly instance?: string | undefined;
  /** Name and version of the program, told to the edge. */
  readonly software?: string | undefined;
  /** Time to open a connection to an upstream, ms. Default 5 s. */
  readonly upstreamConnectTimeoutMs?: number | undefined;
  /** Time an upstream may take for the head of an answer, ms; 0, the default, is without end. */
  readonly upstreamHeaderTimeoutMs?: number | undefined;
  /** Time running exchanges are given on close, ms. Default 10 s. */
  readonly drainMs?: number | undefined;
  /** Streams after which a fresh connection takes over. Default `CONNECTION_STREAMS`. */
  readonly connectionStreams?: number | undefined;
  /** Between 0 and 1; for the spread of retries. */
  readonly random?: (() => number) | undefined;
  /**
   * The credential was renewed: keep this in place of the certificate and key of `tls`. The rift
   * itself uses it from now on; what this throws is logged.
   */
  readonly onRenewed?: ((material: RenewedMaterial) => void | Promise<void>) | undefined;
  /**
   * Another credential of this rift than the one in use, when there is one now; whoever gives it
   * counts it as in use from then on. Asked by {@link Rift.refresh}, when the edge says that the one
   * in use ends early, and before the rift ends because it is refused. Never rejects.
   */
  readonly freshCredential?: (() => Promise<TlsMaterial | undefined>) | undefined;
  readonly onState?: ((state: RiftState, detail: string) => void) | undefined;
}

/** A running rift. */
export interface Rift {
  /** Settles at the first registration of any tunnel; rejects when the rift ends before. */
  readonly ready: Promise<void>;
  /** Settles when the rift has ended; never rejects. */
  readonly closed: Promise<RiftEnd>;
  /**
   * Asks `freshCredential`, and moves to what it gives over a connection of its own: what runs on
   * the one before may finish. Never rejects.
   */
  refresh(): Promise<void>;
  /** Says goodbye, lets running exchanges finish for `drainMs`, then closes. Idempotent. */
  close(): Promise<void>;
}

/** Why a rift ended. */
export interface RiftEnd {
  readonly reason: "closed" | "fatal";
  readonly error?: TunnelError;
}
