/**
 * The edge's side of the control stream: what may be sent and what may arrive, and when.
 *
 * Pure: a message in, an answer out. The caller owns the stream, the timers and the decisions.
 *
 * @module
 */

import { MAX_TUNNELS_PER_RIFT } from "../limits.ts";
import type {
  Claim,
  ControlMessage,
  Goodbye,
  Heartbeat,
  Hello,
  Refusal,
  TunnelNames,
  Welcome,
} from "./control.ts";
import { Heartbeats } from "./heartbeats.ts";
import { protocolError } from "./varint.ts";
import {
  chooseVersion,
  commonFeatures,
  SUPPORTED_FEATURES,
  SUPPORTED_VERSIONS,
} from "./version.ts";

/** Who the edge is. */
export interface EdgeSessionOptions {
  readonly edge: string;
  /** Time between two heartbeats that the rift is asked for. */
  readonly heartbeatMs: number;
  /** Default: all this build speaks. */
  readonly versions?: readonly number[];
  /** Default: all this build knows. */
  readonly features?: readonly string[];
}

/**
 * `idle`: hello is awaited. `greeted`: hello came, the edge decides. `open`: registered. `closed`:
 * the rift was refused; only the end of the connection is left.
 */
export type EdgeSessionState = "idle" | "greeted" | "open" | "closed";

/** One control stream, from its first byte to its last. */
export class EdgeSession {
  readonly #options: EdgeSessionOptions;
  readonly #heartbeats = new Heartbeats();
  readonly #undecided = new Set<string>();
  readonly #held = new Set<string>();
  #state: EdgeSessionState = "idle";
  #hello: Hello | undefined;
  #version: number | undefined;
  #riftLeaves = false;
  #leaving = false;

  constructor(options: EdgeSessionOptions) {
    this.#options = options;
  }

  /** Where the session stands. */
  get state(): EdgeSessionState {
    return this.#state;
  }

  /** What the rift said about itself. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  /** Tunnels the rift holds. */
  get tunnels(): readonly string[] {
    return [...this.#held];
  }

  /** Claims the edge has not answered. */
  get undecided(): readonly string[] {
    return [...this.#undecided];
  }

  /** True when the rift said goodbye: it is to get no new exchange. */
  get riftLeaves(): boolean {
    return this.#riftLeaves;
  }

  /** Heartbeats of the edge without an answer. */
  get unansweredHeartbeats(): number {
    return this.#heartbeats.unanswered;
  }

  /**
   * Accepts the rift and grants some of its claims. The others must be refused one by one.
   *
   * @throws {RangeError} When no hello waits, or a tunnel was not claimed.
   */
  welcome(tunnels: readonly string[]): Welcome {
    if (this.#state !== "greeted" || this.#hello === undefined || this.#version === undefined) {
      throw new RangeError("Cannot send welcome: no hello waits for it");
    }
    this.#grant(tunnels);
    this.#state = "open";
    const features = commonFeatures(
      this.#hello.features,
      this.#options.features ?? SUPPORTED_FEATURES,
    );
    const { edge, heartbeatMs } = this.#options;
    return { type: "welcome", version: this.#version, features, edge, tunnels, heartbeatMs };
  }

  /** Grants claims. @throws {RangeError} When not open, or a tunnel was not claimed. */
  claimed(tunnels: readonly string[]): TunnelNames {
    if (this.#state !== "open") throw new RangeError("Cannot send claimed: not registered");
    this.#grant(tunnels);
    return { type: "claimed", tunnels };
  }

  /**
   * Refuses one claim, or without `tunnel` the rift as a whole.
   *
   * @throws {RangeError} When there is nothing to refuse.
   */
  refuse(refusal: Omit<Refusal, "type">): Refusal {
    const { tunnel } = refusal;
    if (tunnel === undefined) {
      if (this.#state === "closed") throw new RangeError("Cannot send refusal: it was sent");
      this.#close();
    } else if (this.#state !== "open" || !this.#undecided.delete(tunnel)) {
      throw new RangeError("Cannot send refusal: the tunnel is not claimed");
    }
    return { ...refusal, type: "refusal" };
  }

  /** The next heartbeat of the edge. @throws {RangeError} When the session is not open. */
  heartbeat(): Heartbeat {
    if (this.#state !== "open") throw new RangeError("Cannot send heartbeat: not registered");
    return this.#heartbeats.next();
  }

  /** Says that no new exchange will come. @throws {RangeError} When not open, or sent before. */
  goodbye(reason: string, deadlineMs: number): Goodbye {
    if (this.#state !== "open" || this.#leaving) {
      throw new RangeError("Cannot send goodbye: not registered, or it was sent");
    }
    this.#leaving = true;
    return { type: "goodbye", reason, deadlineMs };
  }

  /**
   * Takes a message of the rift.
   *
   * @returns The message to send in answer, if any. After a refusal `state` is `closed`.
   * @throws {TunnelError} `PROTOCOL_ERROR` when the message may not come now.
   */
  receive(message: ControlMessage): ControlMessage | undefined {
    if (message.type === "hello") return this.#receiveHello(message);
    if (this.#state !== "open") throw unexpected(message);
    switch (message.type) {
      case "claim":
        return this.#receiveClaim(message);
      case "release":
        if (message.tunnels.some((name) => !this.#held.has(name))) {
          throw protocolError("Cannot accept release: the tunnel is not held");
        }
        for (const name of message.tunnels) this.#held.delete(name);
        return undefined;
      case "heartbeat":
      case "heartbeat_ack":
        return this.#heartbeats.receive(message);
      case "goodbye":
        if (this.#riftLeaves) throw unexpected(message);
        this.#riftLeaves = true;
        return undefined;
      case "welcome":
      case "refusal":
      case "claimed":
        throw unexpected(message);
    }
  }

  #receiveHello(message: Hello): Refusal | undefined {
    if (this.#state !== "idle") throw unexpected(message);
    this.#hello = message;
    const supported = this.#options.versions ?? SUPPORTED_VERSIONS;
    this.#version = chooseVersion(message.versions, supported);
    if (this.#version === undefined) {
      return this.refuse({
        code: "version",
        reason: `This edge speaks version ${supported.join(", ")}`,
        retryAfterMs: undefined,
        tunnel: undefined,
      });
    }
    this.#state = "greeted";
    for (const { name } of message.tunnels) this.#undecided.add(name);
    return undefined;
  }

  #receiveClaim(message: Claim): undefined {
    if (this.#riftLeaves) throw unexpected(message);
    const names = message.tunnels.map(({ name }) => name);
    if (names.some((name) => this.#held.has(name) || this.#undecided.has(name))) {
      throw protocolError("Cannot accept claim: the tunnel is claimed already");
    }
    if (this.#held.size + this.#undecided.size + names.length > MAX_TUNNELS_PER_RIFT) {
      throw protocolError(`Cannot accept claim: the limit is ${MAX_TUNNELS_PER_RIFT} tunnels`);
    }
    for (const name of names) this.#undecided.add(name);
  }

  #grant(names: readonly string[]): void {
    if (names.some((name) => !this.#undecided.has(name))) {
      throw new RangeError("Cannot grant tunnel: it is not claimed");
    }
    for (const name of names) {
      this.#undecided.delete(name);
      this.#held.add(name);
    }
  }

  #close(): void {
    this.#state = "closed";
    this.#held.clear();
    this.#undecided.clear();
  }
}

function unexpected(message: ControlMessage): Error {
  return protocolError(`Cannot accept ${message.type}: not expected now`);
}
