/**
 * One UDP socket and the connections on it: routes datagrams by connection id, answers newcomers,
 * gives every connection its turn.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";

import type { Clock, Timer } from "../../clock.ts";
import {
  DROP_LOG_MS,
  HANDSHAKE_BURST_PER_ADDRESS,
  HANDSHAKE_TRIES_PER_ADDRESS_PER_SECOND,
  HANDSHAKE_TRIES_PER_SECOND,
  HANDSHAKES_PER_ADDRESS_PER_SECOND,
  HANDSHAKES_PER_SECOND,
  MAX_CONNECTIONS,
  MAX_COUNTED_ADDRESSES,
  MAX_MEMBER_ID_USES,
  MEMBER_PACKETS_PER_SECOND,
  RETRIES_PER_ADDRESS_PER_SECOND,
  RETRIES_PER_SECOND,
} from "../../limits.ts";
import type { Logger } from "../../log.ts";
import { addressGroup } from "../../runtime/address_group.ts";
import type { UdpAddress, UdpSocket } from "../../runtime/udp_socket.ts";
import type { DropReason, ListenerStats } from "../transport.ts";
import { FlightRepeater } from "./flight_repeater.ts";
import { Handshakes } from "./handshakes.ts";
import type { MemberIds } from "./member_id.ts";
import type { Config, Header, NativeConnection, Role } from "./native.ts";
import { CONNECTION_ID_BYTES, quiche } from "./native.ts";
import { QuicConnection } from "./quic_connection.ts";
import type { QuicConnectionOwner } from "./quic_connection.ts";
import { RateLimit } from "./rate_limit.ts";
import { RetryTokens } from "./retry_token.ts";

/** RFC 9000, 14.1: a first packet comes in a datagram of at least this size. */
const MIN_INITIAL_BYTES: number = quiche.MIN_CLIENT_INITIAL_LEN;
const RETRY_KEY_BYTES = 32;
/** What the native object says of a packet that no key of it fits. */
const UNDECRYPTABLE = "CryptoFail";
/** Where the destination id of a long header starts: first byte, version, length (RFC 8999, 5.1). */
const LONG_ID_AT = 6;

/** What follows from the certificates. */
export interface QuicIdentity {
  readonly config: Config;
  readonly memberIds: MemberIds;
}

/** What an endpoint is made from. */
export interface QuicEndpointOptions {
  readonly role: Role;
  readonly identity: QuicIdentity;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called once for each connection whose peer is verified. */
  readonly onConnection: (connection: QuicConnection) => void;
}

interface Member {
  readonly connection: QuicConnection;
  readonly route: string;
  readonly sender: string;
  timer: Timer | undefined;
  timerAtMs: number;
  /** When the connection wants its next turn. */
  dueAtMs: number;
}

/** The connections of one socket. */
export class QuicEndpoint implements QuicConnectionOwner {
  readonly #options: QuicEndpointOptions;
  readonly #members = new Map<QuicConnection, Member>();
  readonly #routes = new Map<string, QuicConnection>();
  readonly #tokens = new RetryTokens(randomBytes(RETRY_KEY_BYTES));
  #socket: UdpSocket | undefined;
  readonly #handshakes = new Handshakes<QuicConnection>();
  /** Those of members: nobody else's handshake makes one of them give way. */
  readonly #memberHandshakes = new Handshakes<QuicConnection>();
  readonly #retryRate = new RateLimit({
    total: { perSecond: RETRIES_PER_SECOND, burst: RETRIES_PER_SECOND },
    each: { perSecond: RETRIES_PER_ADDRESS_PER_SECOND, burst: RETRIES_PER_ADDRESS_PER_SECOND },
    maxSenders: MAX_COUNTED_ADDRESSES,
  });
  readonly #tryRate = new RateLimit({
    total: { perSecond: HANDSHAKE_TRIES_PER_SECOND, burst: HANDSHAKE_TRIES_PER_SECOND },
    each: {
      perSecond: HANDSHAKE_TRIES_PER_ADDRESS_PER_SECOND,
      burst: HANDSHAKE_TRIES_PER_ADDRESS_PER_SECOND,
    },
    maxSenders: MAX_COUNTED_ADDRESSES,
  });
  readonly #handshakeRate = new RateLimit({
    total: { perSecond: HANDSHAKES_PER_SECOND, burst: HANDSHAKES_PER_SECOND },
    each: { perSecond: HANDSHAKES_PER_ADDRESS_PER_SECOND, burst: HANDSHAKE_BURST_PER_ADDRESS },
    maxSenders: MAX_COUNTED_ADDRESSES,
  });
  /** By the id: one that was overheard is soon used up. */
  readonly #memberRate = new RateLimit({
    total: { perSecond: MEMBER_PACKETS_PER_SECOND, burst: MEMBER_PACKETS_PER_SECOND },
    each: { perSecond: 0, burst: MAX_MEMBER_ID_USES },
    maxSenders: MAX_COUNTED_ADDRESSES,
  });
  /** Senders that a trusted peer came from; the one that is there for longest goes first. */
  readonly #trustedSenders = new Set<string>();
  readonly #dropped: Record<DropReason, number> = {
    garbage: 0,
    bad_token: 0,
    retry_rate: 0,
    handshake_rate: 0,
    address_full: 0,
    table_full: 0,
    connections_full: 0,
  };
  #dropLoggedAtMs = -Infinity;
  #due: QuicConnection[] = [];
  #turnSet = false;
  #closed = false;
  #onEmpty: (() => void) | undefined;
  #nextNumber = 1;
  #identity: QuicIdentity;
  /** Of the connection that is dialed, until it is there. */
  #repeater: FlightRepeater | undefined;
  readonly #emit = (bytes: Uint8Array, to: UdpAddress) => {
    this.#socket?.send(bytes, to);
    this.#repeater?.sent(bytes, to);
  };

  constructor(options: QuicEndpointOptions) {
    this.#options = options;
    this.#identity = options.identity;
  }

  /** The certificates of connections from now on. */
  useIdentity(identity: QuicIdentity): void {
    this.#identity = identity;
  }

  /** Gives the endpoint its socket; datagrams may come before. */
  attach(socket: UdpSocket): void {
    this.#socket = socket;
  }

  /** Starts a connection to `remote`. The first packet leaves in this turn of the loop. */
  dial(remote: UdpAddress, serverName: string): QuicConnection {
    const socket = this.#socket!; // attached by the transport before it dials
    const { clock } = this.#options;
    const id = this.#identity.memberIds.make(clock.wallNow());
    this.#repeater = new FlightRepeater(clock, (bytes, to) => this.#socket?.send(bytes, to));
    const native = quiche.Connection.connect(
      serverName,
      id,
      socket.local,
      remote,
      this.#identity.config,
    );
    return this.#add({ native, id, remote, handshakes: this.#handshakes });
  }

  /** What it holds and has turned away. */
  get stats(): ListenerStats {
    return {
      connections: this.#members.size,
      handshakes: this.#handshakes.size + this.#memberHandshakes.size,
      dropped: { ...this.#dropped },
    };
  }

  /** Takes a datagram from the socket. */
  datagram(bytes: Uint8Array, from: UdpAddress): void {
    const first = bytes[0];
    if (first === undefined || this.#closed) return;
    // RFC 8999, 5: the top bit tells long headers from short ones; our ids have one length.
    const idAt = (first & 0x80) === 0 ? 1 : LONG_ID_AT;
    const known = bytes.length <= idAt + CONNECTION_ID_BYTES
      ? undefined
      : this.#routes.get(routeOf(bytes.subarray(idAt, idAt + CONNECTION_ID_BYTES)));
    if (known !== undefined) {
      this.#repeater?.heard();
      known.receive(bytes, from);
    } else if (this.#options.role === "server") {
      // Before the native object sees it: most of a flood is told from a first packet by its size.
      if (idAt !== LONG_ID_AT || bytes.length < MIN_INITIAL_BYTES) this.#drop("garbage", from);
      else this.#stranger(bytes, from);
    }
  }

  /** Closes every connection, waits until the closes are sent, forgets everything. */
  async close(code: number, reason: string): Promise<void> {
    if (this.#closed) return;
    for (const { connection } of this.#members.values()) connection.close(code, reason);
    this.#runDue();
    this.#closed = true;
    this.#stopRepeating();
    for (const member of this.#members.values()) member.timer?.cancel();
    this.#members.clear();
    this.#routes.clear();
    this.#due = [];
    await this.#socket?.close();
    this.#onEmpty?.();
  }

  /** Calls `then` when no connection is left: for an endpoint that dials just one. */
  whenEmpty(then: () => void): void {
    this.#onEmpty = then;
  }

  // --- QuicConnectionOwner ---

  schedule(connection: QuicConnection): void {
    if (connection.scheduled) return;
    connection.scheduled = true;
    this.#due.push(connection);
    if (this.#turnSet) return;
    this.#turnSet = true;
    // The check phase follows the poll phase: all sockets that became readable together are
    // served by one flush.
    setImmediate(this.#runDue);
  }

  established(connection: QuicConnection): void {
    this.#handshakeOver(connection);
    this.#stopRepeating();
    this.#options.onConnection(connection);
  }

  /**
   * A flood from elsewhere must not keep out who has been here with a good credential. A good
   * certificate is not enough: that of a revoked rift is one, too.
   */
  trusted(connection: QuicConnection): void {
    const sender = this.#members.get(connection)?.sender;
    if (sender === undefined) return;
    this.#trustedSenders.delete(sender);
    this.#trustedSenders.add(sender);
    if (this.#trustedSenders.size <= MAX_COUNTED_ADDRESSES) return;
    this.#trustedSenders.delete(this.#trustedSenders.values().next().value!);
  }

  retired(connection: QuicConnection): void {
    const member = this.#members.get(connection);
    if (member === undefined) return;
    this.#handshakeOver(connection);
    member.timer?.cancel();
    this.#members.delete(connection);
    this.#routes.delete(member.route);
    if (this.#members.size === 0) this.#onEmpty?.();
  }

  // --- private ---

  #handshakeOver(connection: QuicConnection): void {
    this.#handshakes.delete(connection);
    this.#memberHandshakes.delete(connection);
  }

  #stopRepeating(): void {
    this.#repeater?.close();
    this.#repeater = undefined;
  }

  /** Nothing is kept of it, and one line in `DROP_LOG_MS` stands for all: a flood is no news. */
  #drop(reason: DropReason, from: UdpAddress): void {
    this.#dropped[reason] += 1;
    const nowMs = this.#options.clock.now();
    if (nowMs - this.#dropLoggedAtMs < DROP_LOG_MS) return;
    this.#dropLoggedAtMs = nowMs;
    this.#options.log.debug("Newcomers dropped", { reason, from: from.host, ...this.#dropped });
  }

  #stranger(bytes: Uint8Array, from: UdpAddress): void {
    let header: Header;
    try {
      header = quiche.Header.fromSlice(bytes, CONNECTION_ID_BYTES);
    } catch {
      return this.#drop("garbage", from); // not QUIC
    }
    try {
      this.#newcomer(header, bytes, from);
    } catch {
      // For example an IPv6 address with a zone, which the native object cannot take.
      this.#drop("garbage", from);
    }
  }

  /** RFC 9000, 5.2.2, 6 and 8.1: version negotiation, Retry, then a connection; all else is dropped. */
  #newcomer(header: Header, bytes: Uint8Array, from: UdpAddress): void {
    const { clock } = this.#options;
    const sender = addressGroup(from.host);
    if (!quiche.versionIsSupported(header.version)) {
      // A version negotiation packet is never answered.
      if (header.version === 0) return this.#drop("garbage", from);
      if (!this.#retryRate.take(sender, clock.now(), "both_shares")) {
        return this.#drop("retry_rate", from);
      }
      const out = Buffer.allocUnsafe(bytes.length);
      const length = quiche.negotiateVersion(header.scid, header.dcid, out);
      return this.#emit(out.subarray(0, length), from);
    }
    if (header.ty !== quiche.Type.Initial) return this.#drop("garbage", from);
    const token = header.token;
    const wallMs = clock.wallNow();
    const nowMs = clock.now();
    const shares = this.#trustedSenders.has(sender) ? "own_share" : "both_shares";
    const isMember = this.#identity.memberIds.check(header.scid, wallMs) &&
      this.#memberRate.take(routeOf(header.scid), nowMs, "both_shares");
    if (token === undefined || token.length === 0) {
      if (!isMember && !this.#retryRate.take(sender, nowMs, shares)) {
        return this.#drop("retry_rate", from);
      }
      const retryId = randomBytes(CONNECTION_ID_BYTES);
      const made = this.#tokens.make({ from, originalId: header.dcid, retryId }, wallMs);
      const out = Buffer.allocUnsafe(bytes.length);
      const length = quiche.retry(header.scid, header.dcid, retryId, made, header.version, out);
      return this.#emit(out.subarray(0, length), from);
    }
    const originalId = this.#tokens.check(token, from, header.dcid, wallMs);
    if (originalId === undefined) return this.#drop("bad_token", from);
    if (this.#members.size >= MAX_CONNECTIONS) return this.#drop("connections_full", from);
    const isInTime = isMember || this.#tryRate.take(sender, nowMs, shares) &&
        this.#handshakeRate.take(sender, nowMs, shares);
    if (!isInTime) return this.#drop("handshake_rate", from);
    const id = Buffer.from(header.dcid);
    const local = this.#socket!.local; // a datagram came, so there is a socket
    const native = quiche.Connection.accept(id, originalId, local, from, this.#identity.config);
    try {
      native.recv(bytes, { from, to: local });
    } catch (error) {
      // What else is wrong, a connection says to its peer.
      if ((error as Error).message === UNDECRYPTABLE) {
        // No key fits: nothing was computed, and it must not cost a handshake its place.
        if (!isMember) this.#handshakeRate.giveBack(sender, shares);
        return this.#drop("garbage", from);
      }
    }
    const handshakes = isMember ? this.#memberHandshakes : this.#handshakes;
    this.#makeRoom(handshakes, from);
    this.#add({ native, id, remote: from, handshakes });
  }

  #add({ native, id, remote, handshakes }: {
    readonly native: NativeConnection;
    readonly id: Uint8Array;
    readonly remote: UdpAddress;
    readonly handshakes: Handshakes<QuicConnection>;
  }): QuicConnection {
    const { role, clock, log } = this.#options;
    const connection = new QuicConnection({
      native,
      id: `${role === "server" ? "s" : "c"}${this.#nextNumber++}`,
      role,
      local: this.#socket!.local, // see the callers
      remote,
      clock,
      log,
      owner: this,
    });
    const route = routeOf(id);
    this.#members.set(connection, {
      connection,
      route,
      sender: addressGroup(remote.host),
      timer: undefined,
      timerAtMs: Infinity,
      dueAtMs: Infinity,
    });
    this.#routes.set(route, connection);
    handshakes.add(connection, remote.host);
    this.schedule(connection);
    return connection;
  }

  #makeRoom(handshakes: Handshakes<QuicConnection>, from: UdpAddress): void {
    const found = handshakes.givesWay(from.host);
    if (found === undefined) return;
    this.#drop(found.why === "address" ? "address_full" : "table_full", from);
    found.handshake.close(0, "");
    this.retired(found.handshake);
  }

  readonly #runDue = (): void => {
    this.#turnSet = false;
    const due = this.#due;
    this.#due = [];
    for (const connection of due) {
      connection.scheduled = false;
      this.#turn(connection);
    }
  };

  #turn(connection: QuicConnection): void {
    if (this.#closed) return;
    let delayMs: number;
    try {
      delayMs = connection.turn(this.#emit);
    } catch (error) {
      // A defect in one connection must not take the others with it.
      this.#options.log.error("A connection failed", {
        connection: connection.id,
        cause: (error as Error).stack ?? String(error),
      });
      connection.close(1, "internal error");
      return;
    }
    const member = this.#members.get(connection);
    if (member === undefined) return;
    member.dueAtMs = this.#options.clock.now() + delayMs;
    this.#arm(member);
  }

  /**
   * Sets the connection's timer. One that fires too early is left as it is: what it waited for was
   * most often done by then, and to wait again costs less than to set a timer for each exchange.
   */
  #arm(member: Member): void {
    if (member.timerAtMs <= member.dueAtMs) return;
    const clock = this.#options.clock;
    const delayMs = Math.ceil(member.dueAtMs - clock.now());
    member.timer?.cancel();
    member.timerAtMs = member.dueAtMs;
    member.timer = clock.setTimer(Math.max(0, delayMs), () => {
      member.timerAtMs = Infinity;
      member.timer = undefined;
      if (clock.now() < member.dueAtMs) this.#arm(member);
      else this.#turn(member.connection);
    });
  }
}

function routeOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}
