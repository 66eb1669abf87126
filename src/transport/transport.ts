/**
 * Authenticated connections that carry many streams: what edge and rift know of the network.
 *
 * Two implementations: `quic/` (UDP) and `memory/` (tests). Streams are callbacks, not web streams:
 * a small exchange must cost no promise and no copy per chunk.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";

/**
 * What the owner of a stream is told. Exactly one end: `onData` with `fin` ends the receiving half;
 * `onAbort` ends both halves, at most once, and nothing comes after it.
 */
export interface StreamHandler {
  /** Bytes in order. The receiver owns `chunk`. `chunk` may be empty when `fin` is true. */
  onData(chunk: Uint8Array, fin: boolean): void;
  /** The send queue is empty enough again after `write` returned false. */
  onDrain(): void;
  /** The peer does not want more of what this side sends; later writes are dropped. Its own bytes still come. */
  onStopped(code: number): void;
  /** The peer reset the stream, or the connection ended (`CONNECTION_LOST_STREAM_CODE`). */
  onAbort(code: number): void;
}

/** The code `onAbort` is given when not the peer but the end of the connection took the stream. */
export const CONNECTION_LOST_STREAM_CODE = -1;

/** One bidirectional stream. */
export interface Stream {
  /** Unique within its connection. */
  readonly id: number;
  /**
   * Queues bytes for sending; the stream owns `chunk` from here on.
   *
   * @returns false when the queue is above `STREAM_QUEUE_BYTES`: stop until `onDrain`.
   *   Nothing is dropped, the bound is kept by the caller.
   */
  write(chunk: Uint8Array): boolean;
  /** Sends `chunk`, if given, and the end of this half. Later writes are dropped. */
  end(chunk?: Uint8Array): void;
  /** Stops `onData`; the peer is held back by flow control, not by a buffer here. */
  pause(): void;
  /** Starts `onData` again. */
  resume(): void;
  /** Tells the peer to send no more, and drops what still comes. The sending half goes on. */
  stopReading(code: number): void;
  /** Aborts both halves now. No handler is called afterwards. Idempotent. */
  abort(code: number): void;
}

/** Why a connection ended. */
export interface ConnectionEnd {
  readonly kind: "local" | "peer" | "idle_timeout" | "handshake_timeout" | "transport_error";
  /** Application code of a close by either side; else 0, or the QUIC transport error. */
  readonly code: number;
  /** The reason text of a close, bounded and printable; or what went wrong, for the local log. */
  readonly reason: string;
}

/** One mutually authenticated connection. */
export interface Connection {
  /** Unique in this process, for logs. */
  readonly id: string;
  /** The peer's address, `host:port`. */
  readonly remote: string;
  /** The peer's certificate chain, DER, leaf first. Never empty. */
  readonly peerCertificates: readonly Uint8Array[];
  /**
   * The owner lets this peer in: its certificate is not only from the right CA, but good. From then
   * on a flood of strangers does not keep others at its address out. Idempotent.
   */
  trust(): void;
  /** Who answers streams that the peer opens. Until it is set, they wait. */
  accept(onStream: (stream: Stream) => StreamHandler): void;
  /** @throws {TunnelError} `STREAM_LIMIT` when the peer allows no more now, `CONNECTION_CLOSED` after the end. */
  openStream(handler: StreamHandler): Stream;
  /** Ends the connection with an application code and a short reason (at most 100 bytes are sent). Idempotent. */
  close(code: number, reason: string): void;
  /** Settles when the connection has ended; never rejects. */
  readonly closed: Promise<ConnectionEnd>;
}

/** A certificate, its key and the only CA trusted for the peer, all PEM; the key in PKCS #8. */
export interface TlsMaterial {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** Why a newcomer gets no connection. */
export type DropReason =
  /** Not QUIC, of no connection that is left, or with no key that fits. */
  | "garbage"
  /** A Retry token that is not ours, not for this address, or too old. */
  | "bad_token"
  /** More first packets than may be answered with a Retry. */
  | "retry_rate"
  /** More handshakes than may begin in this time. */
  | "handshake_rate"
  /** An unfinished handshake that gave way to a newer one from its address. */
  | "address_full"
  /** An unfinished handshake that gave way because all together were too many. */
  | "table_full"
  /** As many connections as one endpoint holds. */
  | "connections_full";

/** What a listener holds and has turned away. */
export interface ListenerStats {
  /** Connections, with those whose handshake is not done and those that are closing. */
  readonly connections: number;
  /** Of these, those whose handshake is not done. */
  readonly handshakes: number;
  /** Since the start. */
  readonly dropped: Readonly<Record<DropReason, number>>;
}

/** A bound endpoint that takes connections. */
export interface Listener {
  /** Where the transport can say. */
  readonly stats?: ListenerStats;
  /** The bound address; `port` is the real one when 0 was asked for. */
  readonly address: { readonly host: string; readonly port: number };
  /**
   * The certificate of handshakes from now on; running connections keep theirs.
   *
   * @throws {TunnelError} `CREDENTIAL_INVALID`, and then the one before stays in use.
   */
  useTls(tls: TlsMaterial): void;
  /** Closes every connection and the socket. Idempotent. */
  close(): Promise<void>;
}

/** What both directions of a transport need. */
export interface EndpointOptions {
  readonly tls: TlsMaterial;
  readonly clock: Clock;
  readonly log: Logger;
  /** Closes everything that came from this call. */
  readonly signal: AbortSignal;
}

/** Options of {@link Transport.listen}. */
export interface ListenOptions extends EndpointOptions {
  readonly host: string;
  readonly port: number;
  /** Called once per connection whose handshake is complete, so whose certificate is verified. */
  readonly onConnection: (connection: Connection) => void;
}

/** Options of {@link Transport.connect}. */
export interface ConnectOptions extends EndpointOptions {
  readonly host: string;
  readonly port: number;
  /** The name the server's certificate must carry. */
  readonly serverName: string;
}

/** A way to make connections. */
export interface Transport {
  /** @throws {TunnelError} `ADDRESS_IN_USE`, or `CONFIG_INVALID` when the address cannot be bound. */
  listen(options: ListenOptions): Promise<Listener>;
  /** @throws {TunnelError} `HANDSHAKE_FAILED`, `HANDSHAKE_TIMEOUT`, `CONNECTION_LOST`. */
  connect(options: ConnectOptions): Promise<Connection>;
}
