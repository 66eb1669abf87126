/**
 * The edge's end of one rift connection: hello, claims, heartbeats, goodbye.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";
import { errorCodeOfQuic, quicOf, TunnelError } from "../errors.ts";
import {
  HEARTBEAT_MS,
  HELLO_TIMEOUT_MS,
  MAX_MISSED_HEARTBEATS,
  REFUSAL_RETRY_MS,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Connection, Stream, StreamHandler } from "../transport/transport.ts";
import { encodeControl } from "../wire/control.ts";
import type { ControlMessage, RefusalCode, TunnelClaim } from "../wire/control.ts";
import { ControlReader } from "../wire/control_reader.ts";
import {
  chooseVersion,
  commonFeatures,
  SUPPORTED_FEATURES,
  SUPPORTED_VERSIONS,
} from "../wire/version.ts";
import type { RiftAuthority, TunnelSettings, VerifiedRift } from "./edge_options.ts";
import type { RiftStatus } from "./edge_status.ts";
import type { RiftLink, TunnelRegistry } from "./registry.ts";

/** What all sessions of an edge share. */
export interface SessionContext {
  readonly edgeId: string;
  tunnels: ReadonlyMap<string, TunnelSettings>;
  readonly registry: TunnelRegistry;
  readonly rifts: RiftAuthority;
  /** Every session that said hello and is not over. */
  readonly sessions: Set<RiftSession>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One connection of a rift, from its handshake to its end. */
export class RiftSession implements RiftLink, StreamHandler {
  readonly connection: Connection;
  readonly #context: SessionContext;
  readonly #reader = new ControlReader();
  readonly #granted = new Set<string>();
  #log: Logger;
  #control: Stream | undefined;
  #verified: VerifiedRift | undefined;
  #instance = "";
  #software = "";
  #features: readonly string[] = [];
  readonly #connectedAtMs: number;
  #epoch = 0;
  #state: "new" | "verifying" | "open" | "closed" = "new";
  #draining = false;
  #exchanges = 0;
  #lastSeenMs: number;
  #checkedAtMs: number;
  #timer: Timer;

  constructor(context: SessionContext, connection: Connection) {
    this.#context = context;
    this.connection = connection;
    this.#log = context.log.child({ connection: connection.id, remote: connection.remote });
    this.#lastSeenMs = context.clock.now();
    this.#connectedAtMs = context.clock.wallNow();
    this.#checkedAtMs = this.#lastSeenMs;
    this.#timer = context.clock.setTimer(HELLO_TIMEOUT_MS, () => {
      this.#refuse("protocol", "No hello came in time", REFUSAL_RETRY_MS);
    }, "no");
    connection.accept((stream) => this.#accept(stream));
    // Never rejects (Connection.closed).
    void connection.closed.then((end) => {
      this.#log.info("Rift disconnected", {
        rift: this.rift,
        kind: end.kind,
        code: errorCodeOfQuic(end.code) ?? end.code,
        reason: end.reason,
      });
      this.#over();
    });
  }

  /** Silent for two heartbeats is out of rotation; the next one brings it back. */
  get healthy(): boolean {
    return this.#state === "open" && !this.#draining &&
      this.#context.clock.now() - this.#lastSeenMs <= HEALTHY_SILENCE_MS;
  }

  get rift(): string {
    return this.#verified?.name ?? "";
  }

  get features(): readonly string[] {
    return this.#features;
  }

  get status(): RiftStatus {
    return {
      name: this.rift,
      serial: this.#verified?.serial ?? "",
      connection: this.connection.id,
      remote: this.connection.remote,
      software: this.#software,
      connectedAtMs: this.#connectedAtMs,
      expiresAtMs: this.#verified?.expiresAtMs ?? 0,
      healthy: this.healthy,
      exchanges: this.#exchanges,
    };
  }

  exchangeStarted(): void {
    this.#exchanges++;
  }

  exchangeEnded(): void {
    this.#exchanges--;
    this.#closeWhenDrained();
  }

  recheck(): void {}

  tunnelsChanged(_tunnels: ReadonlyMap<string, TunnelSettings>): void {}

  /** Tells the rift to finish what runs; it takes part in no new exchange. */
  drain(deadlineMs: number): void {
    if (this.#state !== "open") return;
    this.#draining = true;
    this.#send({ type: "goodbye", reason: "The edge is closing", deadlineMs });
  }

  // --- The control stream ---

  onData(chunk: Uint8Array, fin: boolean): void {
    if (this.#state === "closed") return;
    try {
      for (const message of this.#reader.push(chunk)) this.#receive(message);
    } catch (error) {
      const problem = error instanceof TunnelError ? error.message : "Cannot read control stream";
      return this.#refuse("protocol", problem, undefined);
    }
    if (fin) this.connection.close(quicOf("CONNECTION_CLOSED"), "control stream ended");
  }

  onDrain(): void {}

  onStopped(): void {
    this.connection.close(quicOf("PROTOCOL_ERROR"), "control stream stopped");
  }

  onAbort(): void {
    this.connection.close(quicOf("PROTOCOL_ERROR"), "control stream aborted");
  }

  /** The first stream a rift opens is the control stream; it has no business opening others. */
  #accept(stream: Stream): StreamHandler {
    if (this.#control !== undefined) {
      stream.abort(quicOf("PROTOCOL_ERROR"));
      return IGNORE;
    }
    this.#control = stream;
    return this;
  }

  #receive(message: ControlMessage): void {
    this.#lastSeenMs = this.#context.clock.now();
    if (this.#state === "new") {
      if (message.type !== "hello") throw new TunnelError("PROTOCOL_ERROR", "Hello comes first");
      this.#state = "verifying";
      // Handles its own failures.
      void this.#hello(message);
      return;
    }
    if (this.#state !== "open") {
      throw new TunnelError("PROTOCOL_ERROR", `Cannot take ${message.type} before the welcome`);
    }
    switch (message.type) {
      case "claim": {
        const granted = this.#claim(message.tunnels);
        if (granted.length > 0) this.#send({ type: "claimed", tunnels: granted });
        return;
      }
      case "release":
        for (const name of message.tunnels) this.#release(name);
        return;
      case "heartbeat":
        return this.#send({ type: "heartbeat_ack", sequence: message.sequence });
      case "heartbeat_ack":
        return;
      case "goodbye":
        this.#draining = true;
        this.#log.info("Rift is leaving", { rift: this.rift, reason: message.reason });
        return this.#closeWhenDrained();
      case "hello":
      case "welcome":
      case "refusal":
      case "claimed":
        throw new TunnelError("PROTOCOL_ERROR", `Cannot take ${message.type} from a rift`);
    }
  }

  async #hello(hello: Extract<ControlMessage, { type: "hello" }>): Promise<void> {
    const version = chooseVersion(hello.versions, SUPPORTED_VERSIONS);
    if (version === undefined) {
      const spoken = SUPPORTED_VERSIONS.join(", ");
      return this.#refuse("version", `This edge speaks version ${spoken}`, undefined);
    }
    let verified: VerifiedRift;
    try {
      verified = await this.#context.rifts.verify(this.connection.peerCertificates);
    } catch (error) {
      // With a cause it is the edge's own state that cannot be read, not the credential.
      if (error instanceof TunnelError && error.cause === undefined) {
        return this.#refuse("credential", error.message, undefined);
      }
      const cause = error instanceof Error ? error.cause ?? error : error;
      this.#log.error("Cannot verify rift", { error: String(cause) });
      return this.#refuse("credential", "The credential cannot be checked now", REFUSAL_RETRY_MS);
    }
    if (this.#state !== "verifying") return;

    this.#verified = verified;
    this.#instance = hello.instance;
    this.#software = hello.software;
    this.#features = commonFeatures(hello.features, SUPPORTED_FEATURES);
    this.#epoch = hello.epoch;
    if (!this.#replaceOlder()) {
      const reason = "A newer rift with this credential is connected";
      return this.#refuse("limit", reason, REFUSAL_RETRY_MS);
    }
    this.#state = "open";
    this.#context.sessions.add(this);
    this.#lastSeenMs = this.#context.clock.now();
    this.#watch();
    const refusals: ControlMessage[] = [];
    const tunnels = this.#claim(hello.tunnels, refusals);
    this.#send({
      type: "welcome",
      version,
      features: this.#features,
      edge: this.#context.edgeId,
      tunnels,
      heartbeatMs: HEARTBEAT_MS,
    });
    for (const refusal of refusals) this.#send(refusal);
    this.#log.info("Rift connected", {
      rift: verified.name,
      instance: hello.instance,
      software: hello.software,
      tunnels: tunnels.join(" "),
    });
  }

  /**
   * Closes what the same credential registered before, so that a half-dead rift never blocks its
   * successor. An older start than a healthy one is the one that gives way.
   */
  #replaceOlder(): boolean {
    for (const other of this.#context.sessions) {
      if (other.#verified?.serial !== this.#verified?.serial) continue;
      if (other.#epoch > this.#epoch && other.#instance !== this.#instance && other.healthy) {
        return false;
      }
      if (other.#instance === this.#instance && (other.#draining || other.healthy)) {
        // The same process with a fresh connection: what runs on the old one may finish.
        other.#draining = true;
        other.#closeWhenDrained();
        continue;
      }
      other.#log.info("Rift was replaced", { rift: this.rift });
      other.#over();
      other.connection.close(quicOf("REPLACED"), "A newer rift took over");
    }
    return true;
  }

  #claim(claims: readonly TunnelClaim[], refusals?: ControlMessage[]): string[] {
    const granted: string[] = [];
    for (const claim of claims) {
      const refusal = this.#refusalOf(claim);
      if (refusal === undefined) {
        granted.push(claim.name);
        this.#granted.add(claim.name);
        this.#context.registry.add(claim.name, this);
        continue;
      }
      this.#log.warn("Claim refused", { rift: this.rift, tunnel: claim.name, ...refusal });
      const message = {
        type: "refusal",
        ...refusal,
        retryAfterMs: undefined,
        tunnel: claim.name,
      } as const;
      if (refusals === undefined) this.#send(message);
      else refusals.push(message);
    }
    return granted;
  }

  #refusalOf(claim: TunnelClaim): { code: RefusalCode; reason: string } | undefined {
    const declared = this.#context.tunnels.get(claim.name);
    if (this.#verified?.mayClaim(claim.name) !== true) {
      const reason = `The credential does not allow tunnel "${claim.name}": ` +
        "issue one whose --tunnels names it";
      return { code: "tunnel_forbidden", reason };
    }
    if (declared === undefined) {
      const reason = `Tunnel "${claim.name}" is not declared on the edge: ` +
        "add a [[tunnel]] table with this name there, and restart it";
      return { code: "tunnel_unknown", reason };
    }
    if (declared.protocol !== claim.protocol) {
      const { protocol } = declared;
      const reason =
        `Tunnel "${claim.name}" is declared with protocol "${protocol}" on the edge: ` +
        `start the rift with --protocol ${protocol}, or expose it so`;
      return { code: "tunnel_unknown", reason };
    }
    return undefined;
  }

  #release(name: string): void {
    if (this.#granted.delete(name)) this.#context.registry.remove(name, this);
  }

  /** Ends a connection whose rift has been silent for too long, or whose credential has ended. */
  #watch(): void {
    this.#timer.cancel();
    this.#checkedAtMs = this.#context.clock.now();
    this.#timer = this.#context.clock.setTimer(HEARTBEAT_MS, () => {
      const now = this.#context.clock.now();
      // A late check means that this process stood still: then silence proves nothing.
      if (now - this.#checkedAtMs > 2 * HEARTBEAT_MS) this.#lastSeenMs = now;
      if (now - this.#lastSeenMs > DEAD_SILENCE_MS) {
        this.connection.close(quicOf("PROTOCOL_ERROR"), "No heartbeat");
        return;
      }
      if (this.#context.clock.wallNow() >= (this.#verified?.expiresAtMs ?? 0)) {
        return this.#refuse("credential", "The credential has ended", undefined);
      }
      this.#watch();
    }, "no");
  }

  /** The edge ends a drained connection: only it knows that the last answer has arrived whole. */
  #closeWhenDrained(): void {
    if (!this.#draining || this.#exchanges > 0) return;
    this.connection.close(quicOf("CONNECTION_CLOSED"), "Drained");
  }

  #send(message: ControlMessage): void {
    // A rift that does not read its control stream must not fill this side's memory.
    if (this.#control?.write(encodeControl(message)) === false) {
      this.connection.close(quicOf("PROTOCOL_ERROR"), "control stream not read");
    }
  }

  /** Says why, and closes once the rift has had the time to read it. */
  #refuse(code: RefusalCode, reason: string, retryAfterMs: number | undefined): void {
    if (this.#state === "closed") return;
    this.#log.warn("Rift refused", { rift: this.rift, code, reason });
    this.#send({ type: "refusal", code, reason, retryAfterMs, tunnel: undefined });
    this.#over();
    this.#timer = this.#context.clock.setTimer(REFUSAL_READ_MS, () => {
      this.connection.close(quicOf("REFUSED"), code);
    }, "no");
  }

  #over(): void {
    this.#timer.cancel();
    this.#state = "closed";
    this.#context.sessions.delete(this);
    for (const name of this.#granted) this.#context.registry.remove(name, this);
    this.#granted.clear();
  }
}

const IGNORE: StreamHandler = { onData() {}, onDrain() {}, onStopped() {}, onAbort() {} };
/** Two heartbeats and one third: one that is late on a bad line costs nothing. */
const HEALTHY_SILENCE_MS = HEARTBEAT_MS * 2 - 500;
const DEAD_SILENCE_MS = HEARTBEAT_MS * (MAX_MISSED_HEARTBEATS + 1);
/** A rift closes as soon as it has read its refusal; this is for one that does not. */
const REFUSAL_READ_MS = 1_000;
