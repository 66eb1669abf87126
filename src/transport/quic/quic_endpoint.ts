/**
 * One UDP socket and the connections on it: routes datagrams by connection id, answers newcomers,
 * gives every connection its turn.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";

import type { Clock, Timer } from "../../clock.ts";
import { MAX_CONNECTIONS, MAX_HANDSHAKES, MAX_HANDSHAKES_PER_ADDRESS } from "../../limits.ts";
import type { Logger } from "../../log.ts";
import type { UdpAddress, UdpSocket } from "../../runtime/udp_socket.ts";
import type { Config, Header, NativeConnection, Role } from "./native.ts";
import { CONNECTION_ID_BYTES, quiche } from "./native.ts";
import { QuicConnection } from "./quic_connection.ts";
import type { QuicConnectionOwner } from "./quic_connection.ts";
import { RetryTokens } from "./retry_token.ts";

/** RFC 9000, 14.1: a first packet comes in a datagram of at least this size. */
const MIN_INITIAL_BYTES: number = quiche.MIN_CLIENT_INITIAL_LEN;
const RETRY_KEY_BYTES = 32;

/** What an endpoint is made from. */
export interface QuicEndpointOptions {
  readonly role: Role;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called once for each connection whose peer is verified. */
  readonly onConnection: (connection: QuicConnection) => void;
}

interface Member {
  readonly connection: QuicConnection;
  readonly route: string;
  timer: Timer | undefined;
  timerAtMs: number;
  /** The address that the handshake is counted for, until it is over. */
  handshakeFrom: string | undefined;
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
  #handshakes = 0;
  readonly #handshakesFrom = new Map<string, number>();
  #due: QuicConnection[] = [];
  #turnSet = false;
  #closed = false;
  #onEmpty: (() => void) | undefined;
  #nextNumber = 1;
  #config: Config;
  readonly #emit = (bytes: Uint8Array, to: UdpAddress) => this.#socket?.send(bytes, to);

  constructor(options: QuicEndpointOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** The settings of connections from now on. */
  useConfig(config: Config): void {
    this.#config = config;
  }

  /** Gives the endpoint its socket; datagrams may come before. */
  attach(socket: UdpSocket): void {
    this.#socket = socket;
  }

  /** Starts a connection to `remote`. The first packet leaves in this turn of the loop. */
  dial(remote: UdpAddress, serverName: string): QuicConnection {
    const socket = this.#socket!; // attached by the transport before it dials
    const id = randomBytes(CONNECTION_ID_BYTES);
    const native = quiche.Connection.connect(
      serverName,
      id,
      socket.local,
      remote,
      this.#config,
    );
    return this.#add(native, id, remote);
  }

  /** Takes a datagram from the socket. */
  datagram(bytes: Uint8Array, from: UdpAddress): void {
    const first = bytes[0];
    if (first === undefined || this.#closed) return;
    // RFC 8999, 5: the top bit tells long headers from short ones; our ids have one length.
    if ((first & 0x80) === 0) {
      if (bytes.length <= CONNECTION_ID_BYTES) return;
      this.#routes.get(routeOf(bytes.subarray(1, 1 + CONNECTION_ID_BYTES)))?.receive(bytes, from);
      return;
    }
    let header: Header;
    try {
      header = quiche.Header.fromSlice(bytes, CONNECTION_ID_BYTES);
    } catch {
      return; // not QUIC: nothing is kept and nothing is said
    }
    const known = this.#routes.get(routeOf(header.dcid));
    if (known !== undefined) known.receive(bytes, from);
    else if (this.#options.role === "server" && bytes.length >= MIN_INITIAL_BYTES) {
      try {
        this.#newcomer(header, bytes, from);
      } catch (error) {
        // For example an IPv6 address with a zone, which the native object cannot take.
        this.#options.log.debug("Newcomer dropped", { cause: (error as Error).message });
      }
    }
  }

  /** Closes every connection, waits until the closes are sent, forgets everything. */
  async close(code: number, reason: string): Promise<void> {
    if (this.#closed) return;
    for (const { connection } of this.#members.values()) connection.close(code, reason);
    this.#runDue();
    this.#closed = true;
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
    this.#options.onConnection(connection);
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

  /** RFC 9000, 5.2.2, 6 and 8.1: version negotiation, Retry, then a connection; all else is dropped. */
  #newcomer(header: Header, bytes: Uint8Array, from: UdpAddress): void {
    const out = Buffer.allocUnsafe(bytes.length);
    if (!quiche.versionIsSupported(header.version)) {
      if (header.version === 0) return; // a version negotiation packet: never answered
      const length = quiche.negotiateVersion(header.scid, header.dcid, out);
      this.#emit(out.subarray(0, length), from);
      return;
    }
    if (header.ty !== quiche.Type.Initial) return;
    const token = header.token;
    const nowMs = this.#options.clock.wallNow();
    if (token === undefined || token.length === 0) {
      const retryId = randomBytes(CONNECTION_ID_BYTES);
      const made = this.#tokens.make({ from, originalId: header.dcid, retryId }, nowMs);
      const length = quiche.retry(header.scid, header.dcid, retryId, made, header.version, out);
      this.#emit(out.subarray(0, length), from);
      return;
    }
    const originalId = this.#tokens.check(token, from, header.dcid, nowMs);
    if (originalId === undefined) return;
    const fromHere = this.#handshakesFrom.get(from.host) ?? 0;
    if (fromHere >= MAX_HANDSHAKES_PER_ADDRESS || this.#members.size >= MAX_CONNECTIONS) return;
    // Many addresses that never finish must not keep out one that would: the oldest goes.
    if (this.#handshakes >= MAX_HANDSHAKES) this.#dropOldestHandshake();
    const id = Buffer.from(header.dcid);
    const local = this.#socket!.local; // a datagram came, so there is a socket
    const native = quiche.Connection.accept(id, originalId, local, from, this.#config);
    this.#add(native, id, from).receive(bytes, from);
  }

  #add(native: NativeConnection, id: Uint8Array, remote: UdpAddress): QuicConnection {
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
      timer: undefined,
      timerAtMs: Infinity,
      dueAtMs: Infinity,
      handshakeFrom: remote.host,
    });
    this.#routes.set(route, connection);
    this.#handshakes += 1;
    this.#handshakesFrom.set(remote.host, (this.#handshakesFrom.get(remote.host) ?? 0) + 1);
    this.schedule(connection);
    return connection;
  }

  #handshakeOver(connection: QuicConnection): void {
    const member = this.#members.get(connection);
    const host = member?.handshakeFrom;
    if (member === undefined || host === undefined) return;
    member.handshakeFrom = undefined;
    this.#handshakes -= 1;
    const left = (this.#handshakesFrom.get(host) ?? 1) - 1;
    if (left > 0) this.#handshakesFrom.set(host, left);
    else this.#handshakesFrom.delete(host);
  }

  #dropOldestHandshake(): void {
    for (const member of this.#members.values()) {
      if (member.handshakeFrom === undefined) continue;
      member.connection.close(0, "");
      this.retired(member.connection);
      return;
    }
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
