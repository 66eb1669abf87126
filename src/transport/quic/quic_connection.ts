/**
 * One QUIC connection, without I/O: datagrams and turns in, datagrams and a deadline out.
 *
 * The owner (`QuicEndpoint`) calls `receive` for each datagram and one `turn` per turn of the event
 * loop, however many datagrams and writes came in it. What the native object costs decided the
 * shape (Node 20, 2 shared cores): asking for the list of readable streams 18 µs, asking whether
 * one stream is readable 0.3 µs, making a packet 10 µs, reading one 5 µs.
 *
 * Time inside the native object is the system's monotonic clock; it cannot be passed in. The
 * deadlines it gives are relative, so a test may let packets arrive in any order, but not bend
 * its loss timers.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import type { Clock } from "../../clock.ts";
import { quicOf, TunnelError } from "../../errors.ts";
import {
  ACK_DELAY_MS,
  ACK_EVERY_DATAGRAMS,
  HANDSHAKE_TIMEOUT_MS,
  HANDSHAKE_WEIGHT_BYTES,
  KEEP_ALIVE_MS,
} from "../../limits.ts";
import type { Logger } from "../../log.ts";
import type { UdpAddress } from "../../runtime/udp_socket.ts";
import { weightOf } from "../../runtime/unseen_memory.ts";
import type { Connection, ConnectionEnd, Stream, StreamHandler } from "../transport.ts";
import { CONNECTION_LOST_STREAM_CODE } from "../transport.ts";
import type { NativeConnection, Role } from "./native.ts";
import { nextSlot, takeSlot } from "./datagram_slab.ts";
import { quiche } from "./native.ts";
import { codeIn, endOf, REASON_BYTES } from "./native_end.ts";
import { QuicStream } from "./quic_stream.ts";
import { StreamIds } from "./stream_ids.ts";

/** Streams up to which asking one by one is cheaper than asking for the list. */
const ASK_EACH_UP_TO = 64;
/** How often streams are asked whether the peer stopped them: this much per open stream, ms. */
const SWEEP_MS_PER_STREAM = 0.01;
const SWEEP_MIN_MS = 10;
/** Datagrams one connection sends in one turn, so that a burst does not overrun a socket buffer. */
const BURST_DATAGRAMS = 64;
/** How long a close waits for the server's first packet after the handshake, ms. */
const UNCONFIRMED_CLOSE_MS = 500;
/** Datagrams sent for a close at a time. */
const CLOSING_DATAGRAMS = 2;
/** How long a closed connection still answers, ms, when the native object knows no end of it. */
const CLOSING_MS = 3_000;
const READ_BUFFER_BYTES = 65_536;
/** Bytes read before the peer is told that its window is open again without waiting. */
const WINDOW_UPDATE_BYTES = 131_072;

/** What a connection asks of its owner. */
export interface QuicConnectionOwner {
  /** Call `turn` soon, once for any number of calls. */
  schedule(connection: QuicConnection): void;
  /** The handshake is complete and the peer's certificate verified. */
  established(connection: QuicConnection): void;
  /** Its owner lets the peer in. */
  trusted(connection: QuicConnection): void;
  /** The native object is finished: no datagram of it needs an answer any more. */
  retired(connection: QuicConnection): void;
}

/** What a connection is made from. */
export interface QuicConnectionOptions {
  readonly native: NativeConnection;
  readonly id: string;
  readonly role: Role;
  readonly local: UdpAddress;
  readonly remote: UdpAddress;
  readonly clock: Clock;
  readonly log: Logger;
  readonly owner: QuicConnectionOwner;
}

/** The driver of one native connection. */
export class QuicConnection implements Connection {
  readonly id: string;
  readonly remote: string;
  readonly closed: Promise<ConnectionEnd>;
  /** Makes the runtime see what a handshake costs; never read. */
  weight: ArrayBufferView | undefined = weightOf(HANDSHAKE_WEIGHT_BYTES);
  /** In the owner's list for this turn. */
  scheduled = false;
  readonly #native: NativeConnection;
  readonly #role: Role;
  readonly #local: UdpAddress;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #owner: QuicConnectionOwner;
  readonly #settle: (end: ConnectionEnd) => void;
  readonly #streams = new Map<number, QuicStream>();
  readonly #peerIds: StreamIds;
  /** Streams with something queued, in turn order. */
  #sending: QuicStream[] = [];
  /** Streams whose window was full when they were last asked. */
  #blocked: QuicStream[] = [];
  #retryDeadlineMs = -Infinity;
  #nextOwnId: number;
  #unopened = 0;
  #onStream: ((stream: Stream) => StreamHandler) | undefined;
  #established = false;
  #end: ConnectionEnd | undefined;
  #retired = false;
  #peerCertificates: readonly Uint8Array[] = [];
  /** Something other than an acknowledgement waits to be sent. */
  #mustSend = false;
  #mustRead = false;
  #refusedPacket = false;
  #unacknowledged = 0;
  #readSinceSend = 0;
  #ackDeadlineMs = Infinity;
  #sweepDeadlineMs = Infinity;
  #lastSweepMs = -Infinity;
  #nativeDeadlineMs = Infinity;
  #keepAliveDeadlineMs = Infinity;
  #handshakeDeadlineMs: number;
  #retireDeadlineMs = Infinity;
  /** The server has shown that it finished the handshake; at the server that is being established. */
  #confirmed: boolean;
  #pendingClose:
    | { readonly code: number; readonly reason: string; readonly atMs: number }
    | undefined;

  constructor(options: QuicConnectionOptions) {
    this.#native = options.native;
    this.id = options.id;
    this.remote = `${options.remote.host}:${options.remote.port}`;
    this.#role = options.role;
    this.#local = options.local;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#owner = options.owner;
    // RFC 9000, 2.1: bit 0 says who opened the stream, bit 1 is 0 for a bidirectional one.
    this.#nextOwnId = options.role === "client" ? 0 : 1;
    this.#peerIds = new StreamIds(options.role === "client" ? 1 : 0);
    this.#handshakeDeadlineMs = options.clock.now() + HANDSHAKE_TIMEOUT_MS;
    this.#mustSend = true;
    this.#confirmed = options.role === "server";
    let settle!: (end: ConnectionEnd) => void;
    this.closed = new Promise((resolve) => settle = resolve);
    this.#settle = settle;
  }

  get peerCertificates(): readonly Uint8Array[] {
    return this.#peerCertificates;
  }

  get isEstablished(): boolean {
    return this.#established;
  }

  // --- Connection ---

  trust(): void {
    this.#owner.trusted(this);
  }

  accept(onStream: (stream: Stream) => StreamHandler): void {
    this.#onStream = onStream;
    this.#mustRead = true;
    this.#owner.schedule(this);
  }

  openStream(handler: StreamHandler): Stream {
    if (this.#end !== undefined || !this.#established) {
      throw new TunnelError("CONNECTION_CLOSED", "Cannot open a stream: the connection is closed");
    }
    if (this.#native.peerStreamsLeftBidi() - this.#unopened <= 0) {
      throw new TunnelError("STREAM_LIMIT", "Cannot open a stream: the peer allows no more now");
    }
    const id = this.#nextOwnId;
    this.#nextOwnId += 4;
    const stream = new QuicStream(this, id, handler, "us");
    this.#unopened += 1;
    this.#streams.set(id, stream);
    return stream;
  }

  close(code: number, reason: string): void {
    if (this.#end !== undefined) return;
    this.#closeNative(code, reason);
    this.#finish({ kind: "local", code, reason });
  }

  // --- For the streams ---

  wantsToSend(stream: QuicStream): void {
    if (stream.queued) return;
    stream.queued = true;
    this.#sending.push(stream);
    this.#mustSend = true;
    this.#owner.schedule(this);
  }

  wantsToRead(): void {
    this.#mustRead = true;
    this.#owner.schedule(this);
  }

  stopReading(stream: QuicStream, code: number): void {
    this.#shutdown(stream, quiche.Shutdown.Read, code);
    this.#forgetIfDone(stream);
  }

  abortStream(
    stream: QuicStream,
    code: number,
    halves: { readonly receiving: boolean; readonly sending: boolean },
  ): void {
    if (halves.sending) this.#shutdown(stream, quiche.Shutdown.Write, code);
    if (halves.receiving) this.#shutdown(stream, quiche.Shutdown.Read, code);
    this.#forgetIfDone(stream);
  }

  // --- For the endpoint ---

  /** Takes one datagram. `bytes` are decrypted in place. Never throws. */
  receive(bytes: Uint8Array, from: UdpAddress): void {
    if (this.#retired) return;
    const first = bytes[0] ?? 0; // read before the header is decrypted in place
    this.#unacknowledged += 1;
    this.#mustRead = true;
    try {
      this.#native.recv(bytes, { from, to: this.#local });
    } catch (error) {
      // A forged or damaged packet is dropped by the native object itself; what throws is a
      // failed handshake or a broken rule, and then a close waits to be sent.
      if (!this.#refusedPacket) {
        // Once is enough: whoever floods a connection with them must not flood the log too.
        this.#refusedPacket = true;
        this.#log.debug("Packet refused", { connection: this.id, cause: (error as Error).message });
      }
      this.#mustSend = true;
    }
    // RFC 9000, 17.3: after the handshake, packets have a short header, with the top bit clear.
    if ((first & 0x80) === 0 && this.#established) this.#confirmed = true;
    this.#owner.schedule(this);
  }

  /**
   * Does everything that is due: timers, state changes, reading, writing, sending.
   *
   * @param emit Sends one datagram. The bytes belong to the callee.
   * @returns Milliseconds until the next turn is due; `Infinity` for never.
   */
  turn(emit: (bytes: Uint8Array, to: UdpAddress) => void): number {
    if (this.#retired) return Infinity;
    const now = this.#clock.now();
    this.#runTimers(now);
    if (this.#unacknowledged > 0 && (!this.#established || this.#end !== undefined)) {
      this.#mustSend = true;
    }
    this.#observe();
    if (this.#established && this.#end === undefined) {
      if (this.#mustRead) this.#read(now);
      this.#drainQueues(now);
    }
    const due = this.#mustSend || this.#unacknowledged >= ACK_EVERY_DATAGRAMS ||
      this.#readSinceSend >= WINDOW_UPDATE_BYTES;
    if (due) this.#send(emit);
    else if (this.#unacknowledged + this.#readSinceSend > 0 && this.#ackDeadlineMs === Infinity) {
      this.#ackDeadlineMs = now + ACK_DELAY_MS;
    }
    this.#observe();
    return this.#nextDeadline(now);
  }

  #runTimers(now: number): void {
    if (now >= this.#nativeDeadlineMs) {
      this.#nativeDeadlineMs = Infinity;
      this.#native.onTimeout();
      this.#mustSend = true;
    }
    if (now >= this.#ackDeadlineMs) this.#mustSend = true;
    if (now >= this.#sweepDeadlineMs) this.#mustRead = true;
    if (!this.#established && now >= this.#handshakeDeadlineMs && this.#end === undefined) {
      this.#closeNative(quicOf("HANDSHAKE_TIMEOUT"), "");
      this.#finish({ kind: "handshake_timeout", code: 0, reason: "the handshake took too long" });
    }
    const pending = this.#pendingClose;
    if (pending !== undefined && (this.#confirmed || now >= pending.atMs)) {
      this.#confirmed = true;
      this.#closeNative(pending.code, pending.reason);
    }
    if (now >= this.#retireDeadlineMs) this.#retire();
    if (now >= this.#keepAliveDeadlineMs) {
      this.#keepAliveDeadlineMs = now + KEEP_ALIVE_MS;
      this.#callNative(() => this.#native.sendAckEliciting());
      this.#mustSend = true;
    }
  }

  /** Looks for a finished handshake and for the end. */
  #observe(): void {
    const native = this.#native;
    if (!this.#established && native.isEstablished() && this.#end === undefined) {
      this.#established = true;
      this.weight = undefined;
      this.#handshakeDeadlineMs = Infinity;
      this.#peerCertificates = native.peerCertChain() ?? [];
      // One side is enough: it keeps the address mapping of a NAT in front of the rift.
      if (this.#role === "client") this.#keepAliveDeadlineMs = this.#clock.now() + KEEP_ALIVE_MS;
      this.#mustRead = true;
      this.#owner.established(this);
    }
    if (this.#end === undefined && (native.isDraining() || native.isClosed())) {
      this.#finish(endOf(native, this.#established));
    }
    if (native.isClosed()) this.#retire();
  }

  #retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#owner.retired(this);
  }

  /**
   * Starts the close in the native object, once it can be told to the peer.
   *
   * Before the handshake is over no packet may carry an application's code (RFC 9000, 10.2.3);
   * then it is a plain NO_ERROR. A client is done one flight before it knows that the server is:
   * a close in between would go into handshake packets that the server cannot read any more, so
   * it waits for the server's first packet after the handshake.
   */
  #closeNative(code: number, reason: string): void {
    if (this.#established && !this.#confirmed) {
      this.#pendingClose = { code, reason, atMs: this.#clock.now() + UNCONFIRMED_CLOSE_MS };
    } else {
      this.#pendingClose = undefined;
      const isApplication = this.#established;
      const bytes = isApplication ? Buffer.from(reason).subarray(0, REASON_BYTES) : NOTHING;
      this.#callNative(() => this.#native.close(isApplication, isApplication ? code : 0, bytes));
      this.#mustSend = true;
    }
    this.#owner.schedule(this);
  }

  #finish(end: ConnectionEnd): void {
    this.#end = end;
    this.#handshakeDeadlineMs = Infinity;
    this.#keepAliveDeadlineMs = Infinity;
    this.#sweepDeadlineMs = Infinity;
    this.#retireDeadlineMs = this.#clock.now() + CLOSING_MS;
    this.#sending = [];
    this.#blocked = [];
    for (const stream of [...this.#streams.values()]) {
      this.#guard(stream, () => stream.lose(CONNECTION_LOST_STREAM_CODE));
    }
    this.#streams.clear();
    this.#settle(end);
  }

  #read(now: number): void {
    this.#mustRead = false;
    this.#readReadable();
    this.#sweep(now);
  }

  /** Reads what is there, asking as few streams as possible: new ones first, then the oldest. */
  #readReadable(): void {
    const native = this.#native;
    if (!native.isReadable()) return;
    while (this.#onStream !== undefined && native.streamReadable(this.#peerIds.next)) {
      this.#readStream(this.#peerIds.next);
      if (!native.isReadable()) return;
    }
    if (this.#streams.size <= ASK_EACH_UP_TO) {
      for (const [id, stream] of this.#streams) {
        if (!stream.wantsData || !native.streamReadable(id)) continue;
        this.#readStream(id);
        if (!native.isReadable()) return;
      }
    }
    // Still something: many streams, a paused one, or one whose elder sibling was lost on the way.
    for (const id of native.readable()) this.#readStream(id);
  }

  #readStream(id: number): void {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      if (!this.#peerIds.isNew(id)) return; // the unread rest of a stream we are done with
      if (this.#onStream === undefined) return; // waits in its flow-control window for `accept`
      this.#peerIds.seen(id);
      const opened = new QuicStream(this, id, NO_HANDLER, "peer");
      this.#streams.set(id, opened);
      const onStream = this.#onStream;
      this.#guard(opened, () => opened.handle(onStream(opened)));
      stream = opened;
    }
    while (stream.wantsData && this.#end === undefined) {
      const received = this.#receiveFrom(stream);
      if (received === undefined) return;
      const [length, fin] = received;
      this.#readSinceSend += length;
      const current = stream;
      // The read buffer is shared; what the owner gets is its own. Small copies come from a pool.
      const chunk = Buffer.from(READ_BUFFER.subarray(0, length));
      this.#guard(current, () => current.deliver(chunk, fin));
      if (fin) {
        this.#forgetIfDone(stream);
        return;
      }
      if (length < READ_BUFFER_BYTES) return;
    }
  }

  #receiveFrom(stream: QuicStream): [number, boolean] | undefined {
    try {
      return this.#native.streamRecv(stream.id, READ_BUFFER) ?? undefined;
    } catch (error) {
      const code = codeIn(error, "StreamReset");
      this.#guard(stream, () => stream.lose(code));
      // The peer no longer listens for an answer to what it reset; say so to the other half too.
      this.#callNative(() => this.#native.streamShutdown(stream.id, quiche.Shutdown.Write, code));
      this.#mustSend = true;
      this.#forgetIfDone(stream);
      return undefined;
    }
  }

  /**
   * Asks every stream that could still send whether the peer stopped it. The native object tells
   * only those who ask, so it is done after receiving, at a rate that keeps its cost near 3 %.
   */
  #sweep(now: number): void {
    if (this.#streams.size === 0) return;
    const interval = Math.max(SWEEP_MIN_MS, this.#streams.size * SWEEP_MS_PER_STREAM);
    if (now - this.#lastSweepMs < interval) {
      this.#sweepDeadlineMs = this.#lastSweepMs + interval;
      return;
    }
    this.#lastSweepMs = now;
    this.#sweepDeadlineMs = Infinity;
    for (const stream of this.#streams.values()) {
      if (stream.sendDone || !stream.opened) continue;
      try {
        this.#native.streamCapacity(stream.id);
      } catch (error) {
        this.#stopped(stream, codeIn(error, "StreamStopped"));
      }
    }
  }

  #stopped(stream: QuicStream, code: number): void {
    this.#guard(stream, () => stream.stopped(code));
    this.#forgetIfDone(stream);
  }

  #drainQueues(now: number): void {
    if (this.#blocked.length > 0 && now >= this.#retryDeadlineMs) {
      this.#sending.push(...this.#blocked);
      this.#blocked = [];
    }
    const sending = this.#sending;
    if (sending.length === 0) return;
    this.#sending = [];
    for (const stream of sending) {
      stream.queued = false;
      const outcome = stream.drain((bytes, fin) => this.#sendOn(stream, bytes, fin));
      if (outcome === "blocked") {
        stream.queued = true;
        this.#blocked.push(stream);
      }
      this.#guard(stream, () => stream.notifyDrained());
      this.#forgetIfDone(stream);
    }
    // A few are asked again in each turn. With many, readers that stall would cost all the time.
    const many = this.#blocked.length > ASK_EACH_UP_TO;
    this.#retryDeadlineMs = many ? now + this.#blocked.length * SWEEP_MS_PER_STREAM : -Infinity;
  }

  #sendOn(stream: QuicStream, bytes: Uint8Array, fin: boolean): number | undefined {
    try {
      const taken = this.#native.streamSend(stream.id, bytes, fin);
      if (taken === null) return undefined;
      this.#markOpened(stream);
      this.#mustSend = true;
      return taken;
    } catch (error) {
      this.#stopped(stream, codeIn(error, "StreamStopped"));
      return undefined;
    }
  }

  #send(emit: (bytes: Uint8Array, to: UdpAddress) => void): void {
    this.#mustSend = false;
    this.#unacknowledged = 0;
    this.#readSinceSend = 0;
    this.#ackDeadlineMs = Infinity;
    // In a close that cannot be told to the peer the native object makes packets without end.
    const most = this.#end === undefined ? BURST_DATAGRAMS : CLOSING_DATAGRAMS;
    for (let sent = 0; sent < most; sent++) {
      const slot = nextSlot();
      let made: ReturnType<NativeConnection["send"]>;
      try {
        made = this.#native.send(slot);
      } catch (error) {
        this.#log.debug("Packet not made", {
          connection: this.id,
          cause: (error as Error).message,
        });
        return;
      }
      if (made === null) return;
      const [length, { to }] = made;
      emit(takeSlot(length), to);
      if (sent === BURST_DATAGRAMS - 1) {
        this.#mustSend = true;
        this.#owner.schedule(this);
      }
    }
  }

  #nextDeadline(now: number): number {
    if (this.#retired) return Infinity;
    const timeout = this.#native.timeout();
    this.#nativeDeadlineMs = timeout === null ? Infinity : now + timeout;
    const next = Math.min(
      this.#nativeDeadlineMs,
      this.#ackDeadlineMs,
      this.#sweepDeadlineMs,
      this.#blocked.length > 0 && this.#retryDeadlineMs > now ? this.#retryDeadlineMs : Infinity,
      this.#pendingClose?.atMs ?? Infinity,
      this.#keepAliveDeadlineMs,
      this.#handshakeDeadlineMs,
      this.#retireDeadlineMs,
    );
    return Math.max(0, next - now);
  }

  #markOpened(stream: QuicStream): void {
    if (stream.opened) return;
    stream.opened = true;
    this.#unopened -= 1;
  }

  #forgetIfDone(stream: QuicStream): void {
    if (!stream.done || stream.queued) return;
    this.#streams.delete(stream.id);
    // The map's old tables may outlive the stream (see ChurnSet), but not what it was for.
    stream.handle(NO_HANDLER);
  }

  #shutdown(stream: QuicStream, half: number, code: number): void {
    if (this.#end !== undefined) return;
    // A stream id that was given out must reach the peer: one that never does would be missing
    // from the stream limit for the rest of the connection.
    if (!stream.opened) {
      this.#callNative(() => this.#native.streamSend(stream.id, NOTHING, false));
      this.#markOpened(stream);
    }
    this.#callNative(() => this.#native.streamShutdown(stream.id, half, code));
    this.#mustSend = true;
    this.#owner.schedule(this);
  }

  /** The native calls that throw when there is nothing left to act on, which is then fine. */
  #callNative(call: () => unknown): void {
    try {
      call();
    } catch (error) {
      this.#log.debug("Too late for a call", {
        connection: this.id,
        cause: (error as Error).message,
      });
    }
  }

  /** A handler that throws loses its stream, never the connection or the process. */
  #guard(stream: QuicStream, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error("A stream handler failed", {
        connection: this.id,
        stream: stream.id,
        cause: (error as Error).stack ?? String(error),
      });
      const { handler } = stream;
      stream.abort(quicOf("INTERNAL"));
      try {
        handler.onAbort(quicOf("INTERNAL"));
      } catch {
        // It has failed twice; its stream is gone either way.
      }
    }
  }
}

const NOTHING = new Uint8Array(0);
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
const NO_HANDLER: StreamHandler = { onData() {}, onDrain() {}, onStopped() {}, onAbort() {} };
