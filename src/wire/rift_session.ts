/**
 * The rift's side of the control stream: what may be sent and what may arrive, and when.
 *
 * Pure: a message in, an answer out. The caller owns the stream, the timers and the log.
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
  TunnelClaim,
  TunnelNames,
  Welcome,
} from "./control.ts";
import { Heartbeats } from "./heartbeats.ts";
import { protocolError } from "./varint.ts";
import { SUPPORTED_FEATURES, SUPPORTED_VERSIONS } from "./version.ts";

/** Who the rift is. */
export interface RiftSessionOptions {
  readonly instance: string;
  readonly epoch: number;
  readonly software: string;
  readonly attempt: number;
  /** Default: all this build speaks. */
  readonly versions?: readonly number[];
  /** Default: all this build knows. */
  readonly features?: readonly string[];
}

/**
 * `idle`: hello is not sent. `greeting`: the answer is awaited. `open`: registered. `closed`: the
 * edge refused the rift; only the end of the connection is left.
 */
export type RiftSessionState = "idle" | "greeting" | "open" | "closed";

/**
 * One control stream, from its first byte to its last.
 *
 * A claim has one answer. Until it came, the tunnel can be neither claimed nor released on the
 * wire; `claim` and `release` keep what is wanted meanwhile, and `receive` returns the release.
 */
export class RiftSession {
  readonly #options: RiftSessionOptions;
  readonly #heartbeats = new Heartbeats();
  /** Claims without an answer, and whether the tunnel is still wanted. */
  readonly #pending = new Map<string, "wanted" | "unwanted">();
  readonly #held = new Set<string>();
  #state: RiftSessionState = "idle";
  #welcome: Welcome | undefined;
  #edgeLeaves = false;
  #leaving = false;

  constructor(options: RiftSessionOptions) {
    this.#options = options;
  }

  /** Where the session stands. */
  get state(): RiftSessionState {
    return this.#state;
  }

  /** What the edge answered; version, features and interval hold for the whole connection. */
  get welcomed(): Welcome | undefined {
    return this.#welcome;
  }

  /** Tunnels the edge granted and that are still wanted. */
  get tunnels(): readonly string[] {
    return [...this.#held];
  }

  /** True when the edge said goodbye: no new exchange comes, so another edge is to be dialed. */
  get edgeLeaves(): boolean {
    return this.#edgeLeaves;
  }

  /** Heartbeats without an answer; at `MAX_MISSED_HEARTBEATS` the connection counts as dead. */
  get unansweredHeartbeats(): number {
    return this.#heartbeats.unanswered;
  }

  /** The first message. @throws {RangeError} When it was sent before. */
  hello(tunnels: readonly TunnelClaim[]): Hello {
    if (this.#state !== "idle") throw new RangeError("Cannot send hello: it was sent");
    const { instance, epoch, software, attempt, versions, features } = this.#options;
    this.#state = "greeting";
    for (const { name } of tunnels) this.#pending.set(name, "wanted");
    return {
      type: "hello",
      versions: versions ?? SUPPORTED_VERSIONS,
      features: features ?? SUPPORTED_FEATURES,
      instance,
      epoch,
      software,
      attempt,
      tunnels,
    };
  }

  /**
   * Adds tunnels. Held ones and those with a claim under way are left out.
   *
   * @returns What to send, `undefined` for nothing.
   * @throws {RangeError} When the session is not open, or above `MAX_TUNNELS_PER_RIFT`.
   */
  claim(tunnels: readonly TunnelClaim[]): Claim | undefined {
    this.#mustBeOpen("claim");
    const fresh = tunnels.filter(({ name }) => !this.#held.has(name) && !this.#pending.has(name));
    if (this.#held.size + this.#pending.size + fresh.length > MAX_TUNNELS_PER_RIFT) {
      throw new RangeError(`Cannot claim more than ${MAX_TUNNELS_PER_RIFT} tunnels`);
    }
    for (const { name } of tunnels) {
      if (!this.#held.has(name)) this.#pending.set(name, "wanted");
    }
    return fresh.length === 0 ? undefined : { type: "claim", tunnels: fresh };
  }

  /**
   * Gives tunnels back. One whose claim is under way is given back when its answer comes.
   *
   * @returns What to send, `undefined` for nothing.
   * @throws {RangeError} When the session is not open.
   */
  release(names: readonly string[]): TunnelNames | undefined {
    this.#mustBeOpen("release");
    const tunnels = names.filter((name) => this.#held.delete(name));
    for (const name of names) {
      if (this.#pending.has(name)) this.#pending.set(name, "unwanted");
    }
    return tunnels.length === 0 ? undefined : { type: "release", tunnels };
  }

  /** The next heartbeat. @throws {RangeError} When the session is not open. */
  heartbeat(): Heartbeat {
    if (this.#state !== "open") throw new RangeError("Cannot send heartbeat: not registered");
    return this.#heartbeats.next();
  }

  /** The last message but heartbeats. @throws {RangeError} When not open, or sent before. */
  goodbye(reason: string, deadlineMs: number): Goodbye {
    this.#mustBeOpen("goodbye");
    this.#leaving = true;
    return { type: "goodbye", reason, deadlineMs };
  }

  /**
   * Takes a message of the edge.
   *
   * @returns The message to send in answer, if any.
   * @throws {TunnelError} `PROTOCOL_ERROR` when the message may not come now.
   */
  receive(message: ControlMessage): ControlMessage | undefined {
    switch (message.type) {
      case "welcome":
        return this.#receiveWelcome(message);
      case "refusal":
        return this.#receiveRefusal(message);
      case "claimed":
        if (this.#state !== "open") throw unexpected(message);
        return this.#granted(message.tunnels);
      case "heartbeat":
      case "heartbeat_ack":
        if (this.#state !== "open") throw unexpected(message);
        return this.#heartbeats.receive(message);
      case "goodbye":
        if (this.#state !== "open" || this.#edgeLeaves) throw unexpected(message);
        this.#edgeLeaves = true;
        return undefined;
      case "hello":
      case "claim":
      case "release":
        throw unexpected(message);
    }
  }

  #receiveWelcome(message: Welcome): TunnelNames | undefined {
    if (this.#state !== "greeting") throw unexpected(message);
    const { versions = SUPPORTED_VERSIONS, features = SUPPORTED_FEATURES } = this.#options;
    if (!versions.includes(message.version)) {
      throw protocolError("Cannot accept welcome: its version was not offered");
    }
    if (message.features.some((feature) => !features.includes(feature))) {
      throw protocolError("Cannot accept welcome: one of its features was not offered");
    }
    this.#state = "open";
    this.#welcome = message;
    return this.#granted(message.tunnels);
  }

  #receiveRefusal(message: Refusal): undefined {
    const { tunnel } = message;
    if (tunnel === undefined) {
      if (this.#state !== "greeting" && this.#state !== "open") throw unexpected(message);
      this.#state = "closed";
      this.#held.clear();
      this.#pending.clear();
      return;
    }
    if (this.#state !== "open" || !this.#pending.delete(tunnel)) throw unexpected(message);
  }

  #granted(names: readonly string[]): TunnelNames | undefined {
    if (names.some((name) => !this.#pending.has(name))) {
      throw protocolError("Cannot accept grant: the tunnel was not claimed");
    }
    const unwanted = names.filter((name) => this.#pending.get(name) === "unwanted");
    for (const name of names) {
      if (this.#pending.get(name) === "wanted") this.#held.add(name);
      this.#pending.delete(name);
    }
    return unwanted.length === 0 ? undefined : { type: "release", tunnels: unwanted };
  }

  #mustBeOpen(what: string): void {
    if (this.#state !== "open") throw new RangeError(`Cannot send ${what}: not registered`);
    if (this.#leaving) throw new RangeError(`Cannot send ${what}: goodbye was sent`);
  }
}

function unexpected(message: ControlMessage): Error {
  return protocolError(`Cannot accept ${message.type}: not expected now`);
}
