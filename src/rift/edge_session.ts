/**
 * The rift's end of one connection: hello, claims, heartbeats, goodbye, and the exchanges.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";
import { quicOf, TunnelError } from "../errors.ts";
import {
  GOODBYE_GRACE_MS,
  HELLO_TIMEOUT_MS,
  MAX_MISSED_HEARTBEATS,
  MAX_TUNNELS_PER_RIFT,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Connection, Stream, StreamHandler } from "../transport/transport.ts";
import { encodeControl } from "../wire/control.ts";
import type {
  ControlMessage,
  Ending,
  Hello,
  Refusal,
  Renewed,
  RenewRefused,
  TunnelClaim,
  Welcome,
} from "../wire/control.ts";
import { ControlReader } from "../wire/control_reader.ts";
import { FEATURES } from "../wire/version.ts";
import { RiftExchange } from "./exchange.ts";
import type { ExposedTunnel } from "./exchange.ts";

/** What a session needs to know of its rift. */
export interface SessionOptions {
  readonly connection: Connection;
  readonly hello: Omit<Hello, "type">;
  readonly find: (tunnel: string) => ExposedTunnel | undefined;
  readonly onWelcome: (welcome: Welcome) => void;
  readonly onClaimed: (tunnels: readonly string[]) => void;
  /** The whole rift, or one tunnel, is refused. */
  readonly onRefused: (refusal: Refusal) => void;
  /** The credential ends early and is not renewed. */
  readonly onEnding: (ending: Ending) => void;
  /** Streams this connection takes before it asks for a successor. */
  readonly maxStreams: number;
  /** Called once, at `maxStreams`: the session goes on until the edge, with another, drains it. */
  readonly onUsedUp: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One connection to the edge, from its handshake to its end. */
export class EdgeSession implements StreamHandler {
  readonly #options: SessionOptions;
  readonly #reader = new ControlReader();
  readonly #control: Stream;
  #renewable = false;
  #onRenewal: ((answer: Renewed | RenewRefused | undefined) => void) | undefined;
  #state: "waiting" | "open" | "closed" = "waiting";
  #exchanges = 0;
  #accepted = 0;
  #onIdle: (() => void) | undefined;
  #sequence = 0;
  #acknowledged = 0;
  #timer: Timer;

  /** Opens the control stream and says hello. */
  constructor(options: SessionOptions) {
    this.#options = options;
    const { connection, clock } = options;
    connection.accept((stream) => this.#accept(stream));
    this.#control = connection.openStream(this);
    this.#send({ type: "hello", ...options.hello });
    this.#timer = clock.setTimer(HELLO_TIMEOUT_MS, () => {
      connection.close(quicOf("PROTOCOL_ERROR"), "No welcome came in time");
    });
    // Never rejects (Connection.closed).
    void connection.closed.then(() => this.#over());
  }

  get connection(): Connection {
    return this.#options.connection;
  }

  /** Have both sides agreed on renewal? */
  get renewable(): boolean {
    return this.#renewable;
  }

  /** Adds tunnels whose upstream has come up. */
  claim(tunnels: readonly TunnelClaim[]): void {
    if (this.#state !== "open") return;
    for (let at = 0; at < tunnels.length; at += MAX_TUNNELS_PER_RIFT) {
      this.#send({ type: "claim", tunnels: tunnels.slice(at, at + MAX_TUNNELS_PER_RIFT) });
    }
  }

  /**
   * Asks for a new certificate, one at a time.
   *
   * @returns `undefined` when the connection ended first, or is not open.
   */
  renew(publicKey: Uint8Array, proof: Uint8Array): Promise<Renewed | RenewRefused | undefined> {
    if (this.#state !== "open" || this.#onRenewal !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#onRenewal = resolve;
      this.#send({ type: "renew", publicKey, proof });
    });
  }

  /**
   * Says goodbye and lets the edge close, which it does once the running exchanges are over: what
   * this side has sent may still be on its way. Closes itself after `drainMs`, or after a moment
   * when there is nothing to wait for.
   */
  async drain(drainMs: number): Promise<void> {
    const { clock, connection } = this.#options;
    const timers: Timer[] = [];
    const close = (): void => connection.close(quicOf("CONNECTION_CLOSED"), "The rift is closing");
    if (this.#state === "open" && drainMs > 0) {
      this.#send({ type: "goodbye", reason: "The rift is closing", deadlineMs: drainMs });
      timers.push(clock.setTimer(drainMs, close));
      this.#onIdle = () =>
        timers.push(clock.setTimer(GOODBYE_GRACE_MS, () => {
          // One that the edge began before it read the goodbye may have come meanwhile.
          if (this.#exchanges === 0) close();
        }));
      if (this.#exchanges === 0) this.#onIdle();
    } else {
      close();
    }
    await connection.closed;
    for (const timer of timers) timer.cancel();
  }

  // --- The control stream ---

  onData(chunk: Uint8Array, fin: boolean): void {
    if (this.#state === "closed") return;
    try {
      for (const message of this.#reader.push(chunk)) this.#receive(message);
    } catch (error) {
      this.#options.log.warn("Edge broke the protocol", { error: String(error) });
      this.#options.connection.close(quicOf("PROTOCOL_ERROR"), "control stream");
      return;
    }
    if (fin) this.#options.connection.close(quicOf("CONNECTION_CLOSED"), "control stream ended");
  }

  onDrain(): void {}

  onStopped(): void {
    this.#options.connection.close(quicOf("PROTOCOL_ERROR"), "control stream stopped");
  }

  onAbort(): void {
    this.#options.connection.close(quicOf("PROTOCOL_ERROR"), "control stream aborted");
  }

  #receive(message: ControlMessage): void {
    switch (message.type) {
      case "welcome":
        if (this.#state !== "waiting") {
          throw new TunnelError("PROTOCOL_ERROR", "Cannot take a second welcome");
        }
        this.#state = "open";
        this.#renewable = message.features.includes(FEATURES.renew);
        this.#beat(message.heartbeatMs);
        return this.#options.onWelcome(message);
      case "claimed":
        return this.#options.onClaimed(message.tunnels);
      case "refusal":
        return this.#options.onRefused(message);
      case "heartbeat":
        return this.#send({ type: "heartbeat_ack", sequence: message.sequence });
      case "heartbeat_ack":
        this.#acknowledged = Math.max(this.#acknowledged, message.sequence);
        return;
      case "goodbye":
        this.#options.log.info("Edge is leaving", { reason: message.reason });
        return;
      case "ending":
        return this.#options.onEnding(message);
      case "renewed":
      case "renew_refused": {
        const settle = this.#onRenewal;
        if (settle === undefined) {
          throw new TunnelError("PROTOCOL_ERROR", `Cannot take ${message.type}: nothing was asked`);
        }
        this.#onRenewal = undefined;
        return settle(message);
      }
      case "hello":
      case "claim":
      case "release":
      case "renew":
        throw new TunnelError("PROTOCOL_ERROR", `Cannot take ${message.type} from an edge`);
    }
  }

  /** Sends heartbeats, and gives the connection up when the edge does not answer them. */
  #beat(intervalMs: number): void {
    this.#timer.cancel();
    this.#timer = this.#options.clock.setTimer(intervalMs, () => {
      if (this.#sequence - this.#acknowledged >= MAX_MISSED_HEARTBEATS) {
        this.#options.connection.close(quicOf("PROTOCOL_ERROR"), "No answer to heartbeats");
        return;
      }
      this.#send({ type: "heartbeat", sequence: ++this.#sequence });
      this.#beat(intervalMs);
    });
  }

  #send(message: ControlMessage): void {
    // An edge that does not read its control stream must not fill this side's memory.
    if (!this.#control.write(encodeControl(message))) {
      this.#options.connection.close(quicOf("PROTOCOL_ERROR"), "control stream not read");
    }
  }

  #over(): void {
    this.#state = "closed";
    this.#timer.cancel();
    this.#onIdle = undefined;
    this.#onRenewal?.(undefined);
    this.#onRenewal = undefined;
  }

  // --- Exchanges ---

  #accept(stream: Stream): StreamHandler {
    this.#exchanges++;
    if (++this.#accepted === this.#options.maxStreams) this.#options.onUsedUp();
    return new RiftExchange({
      find: this.#options.find,
      log: this.#options.log,
      onEnd: this.#onExchangeEnd,
    }, stream);
  }

  readonly #onExchangeEnd = (): void => {
    this.#exchanges--;
    if (this.#exchanges === 0) this.#onIdle?.();
  };
}
