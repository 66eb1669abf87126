/**
 * The edge's end of one rift connection: hello, claims, heartbeats, renewal, goodbye.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";
import { errorCodeOfQuic, quicOf, TunnelError } from "../errors.ts";
import { readCertificate } from "../identity/certificate.ts";
import {
  HEARTBEAT_MS,
  HELLO_TIMEOUT_MS,
  MAX_MISSED_HEARTBEATS,
  REFUSAL_READ_MS,
  REFUSAL_RETRY_MS,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Connection, Stream, StreamHandler } from "../transport/transport.ts";
import { encodeControl } from "../wire/control.ts";
import type { ControlMessage, Hello, RefusalCode, Renew } from "../wire/control.ts";
import { ControlReader } from "../wire/control_reader.ts";
import {
  chooseVersion,
  commonFeatures,
  FEATURES,
  SUPPORTED_FEATURES,
  SUPPORTED_VERSIONS,
} from "../wire/version.ts";
import { type ClaimRules, Claims, type TunnelRefusal } from "./claims.ts";
import type { RiftAuthority, TunnelSettings, VerifiedRift } from "./edge_options.ts";
import type { RiftStatus } from "./edge_status.ts";
import type { RiftLink, TunnelRegistry } from "./registry.ts";
import { RiftNews } from "./rift_news.ts";
import { RiftRenewals } from "./rift_renewal.ts";

/** What all sessions of an edge share. */
export interface SessionContext {
  readonly edgeId: string;
  tunnels: ReadonlyMap<string, TunnelSettings>;
  readonly registry: TunnelRegistry;
  readonly rifts: RiftAuthority;
  /** Every session that said hello and is not over. */
  readonly sessions: Set<RiftSession>;
  /** A connection was refused as a whole. */
  onRefused?: ((code: RefusalCode) => void) | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One connection of a rift, from its handshake to its end. */
export class RiftSession implements RiftLink, StreamHandler {
  readonly connection: Connection;
  readonly #context: SessionContext;
  readonly #reader = new ControlReader();
  readonly #claims = new Claims();
  readonly #renewals: RiftRenewals;
  #log: Logger;
  #control: Stream | undefined;
  #verified: VerifiedRift | undefined;
  /** Serial number before the last renewal: a rift that lost the new one comes back with it. */
  #renewedFrom: string | undefined;
  #instance = "";
  #software = "";
  #features: readonly string[] = [];
  /** Tunnels that it will claim once their private servers answer. */
  readonly #waiting = new Set<string>();
  readonly #connectedAtMs: number;
  #epoch = 0;
  #state: "new" | "verifying" | "open" | "closed" = "new";
  #draining = false;
  /** The rift has said goodbye. */
  #isLeaving = false;
  readonly #news: RiftNews;
  #exchanges = 0;
  #lastSeenMs: number;
  #checkedAtMs: number;
  #rechecking = false;
  #recheckAgain = false;
  #toldEndMs: number | undefined;
  /** The last recheck could not tell. */
  #uncertain = false;
  #timer: Timer;

  constructor(context: SessionContext, connection: Connection) {
    this.#context = context;
    this.connection = connection;
    this.#log = context.log.child({ connection: connection.id, remote: connection.remote });
    this.#news = new RiftNews(this.#log);
    this.#renewals = new RiftRenewals({ ...context, log: this.#log });
    this.#lastSeenMs = context.clock.now();
    this.#connectedAtMs = context.clock.wallNow();
    this.#checkedAtMs = this.#lastSeenMs;
    this.#timer = context.clock.setTimer(HELLO_TIMEOUT_MS, () => {
      this.#refuse("protocol", "No hello came in time", REFUSAL_RETRY_MS);
    }, "no");
    connection.accept((stream) => this.#accept(stream));
    // Handles its own failures.
    void this.#checkEarly();
    // Never rejects (Connection.closed).
    void connection.closed.then((end) => {
      this.#log.info("Rift disconnected", {
        rift: this.#nameForLog,
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

  /**
   * Also of a rift that was refused: the handshake has checked that its certificate is from this CA,
   * so the name in it is the one that the credential was issued for.
   */
  get #nameForLog(): string {
    if (this.#verified !== undefined) return this.#verified.name;
    const leaf = this.connection.peerCertificates[0];
    return leaf === undefined ? "" : readCertificate(leaf)?.commonName ?? "";
  }

  get features(): readonly string[] {
    return this.#features;
  }

  /** Is it there for this tunnel, and only its private server is not? */
  waitsFor(tunnel: string): boolean {
    return this.healthy && this.#waiting.has(tunnel) && this.#verified?.mayClaim(tunnel) === true;
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

  /** The records of credentials may have changed: ends the connection when its own is not good. */
  recheck(): void {
    if (this.#state !== "open") return;
    this.#recheckAgain = true;
    if (this.#rechecking) return;
    // Handles its own failures.
    void this.#recheckUntilSure();
  }

  /** Other tunnels are declared now. Exchanges of those that are not any more go on. */
  tunnelsChanged(tunnels: ReadonlyMap<string, TunnelSettings>): void {
    if (this.#state === "open") this.#judgeAgain(tunnels);
  }

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
        const answer = this.#claims.claim(message.tunnels, this.#rules());
        this.#register(answer.granted);
        for (const { name } of message.tunnels) this.#waiting.delete(name);
        if (answer.granted.length > 0) {
          this.#news.served(this.rift, answer.granted);
          this.#send({ type: "claimed", tunnels: answer.granted });
        }
        return this.#sendRefusals(answer.refusals);
      }
      case "release":
        for (const name of message.tunnels) {
          if (this.#claims.release(name)) this.#context.registry.remove(name, this);
        }
        return;
      case "renew":
        if (!this.#features.includes(FEATURES.renew)) {
          throw new TunnelError("PROTOCOL_ERROR", "Cannot take renew: it was not agreed");
        }
        return this.#renew(message);
      case "heartbeat":
        return this.#send({ type: "heartbeat_ack", sequence: message.sequence });
      case "heartbeat_ack":
        return;
      case "goodbye":
        if (this.#isLeaving) return;
        this.#isLeaving = true;
        this.#draining = true;
        this.#log.info("Rift is leaving", { rift: this.rift, reason: message.reason });
        return this.#closeWhenDrained();
      case "hello":
      case "welcome":
      case "refusal":
      case "claimed":
      case "renewed":
      case "renew_refused":
      case "ending":
        throw new TunnelError("PROTOCOL_ERROR", `Cannot take ${message.type} from a rift`);
    }
  }

  /**
   * Asks about the certificate before the rift says a word: TLS has found it to be of this CA, but it
   * may be revoked, and then its holder gets no more time than it takes to be told.
   */
  async #checkEarly(): Promise<void> {
    try {
      await this.#context.rifts.verify(this.connection.peerCertificates);
    } catch (error) {
      // What the edge cannot tell now is told at the hello.
      if (!isDecision(error) || this.#state !== "new") return;
      this.#timer.cancel();
      this.#timer = this.#context.clock.setTimer(REFUSAL_READ_MS, () => {
        this.#noteRefusal("credential", error.message);
        this.#over();
        this.connection.close(quicOf("REFUSED"), "credential");
      }, "no");
    }
  }

  async #hello(hello: Hello): Promise<void> {
    const version = chooseVersion(hello.versions, SUPPORTED_VERSIONS);
    if (version === undefined) {
      const spoken = SUPPORTED_VERSIONS.join(", ");
      return this.#refuse("version", `This edge speaks version ${spoken}`, undefined);
    }
    let verified: VerifiedRift;
    try {
      verified = await this.#context.rifts.verify(this.connection.peerCertificates);
    } catch (error) {
      if (isDecision(error)) return this.#refuse("credential", error.message, undefined);
      this.#log.error("Cannot verify rift", { error: causeOf(error) });
      return this.#refuse("credential", "The credential cannot be checked now", REFUSAL_RETRY_MS);
    }
    if (this.#state !== "verifying") return;

    this.#verified = verified;
    this.connection.trust();
    this.#instance = hello.instance;
    this.#software = hello.software;
    this.#features = commonFeatures(hello.features, SUPPORTED_FEATURES);
    this.#epoch = hello.epoch;
    for (const name of hello.waiting ?? []) this.#waiting.add(name);
    if (this.#features.includes(FEATURES.check)) return this.#answerCheck(hello, version);
    if (!this.#replaceOlder()) {
      const reason = "A newer rift with this credential is connected";
      return this.#refuse("limit", reason, REFUSAL_RETRY_MS);
    }
    this.#state = "open";
    this.#context.sessions.add(this);
    this.#lastSeenMs = this.#context.clock.now();
    this.#watch();
    const answer = this.#claims.claim(hello.tunnels, this.#rules());
    this.#register(answer.granted);
    this.#welcome(version, answer.granted);
    this.#sendRefusals(answer.refusals);
    this.#log.info("Rift connected", {
      rift: verified.name,
      instance: hello.instance,
      software: hello.software,
      tunnels: answer.granted.join(" ") || "none yet",
      waiting: hello.waiting?.filter((name) => this.waitsFor(name)).join(" ") || undefined,
    });
    // It was verified before it could be found among the sessions: a revocation in between would
    // be missed.
    this.recheck();
  }

  /** Says what a rift with this credential would get. Registers nothing and replaces nobody. */
  #answerCheck(hello: Hello, version: number): void {
    const { granted, refusals } = this.#claims.claim(hello.tunnels, this.#rules());
    this.#welcome(version, granted);
    this.#sendRefusals(refusals);
    this.#log.info("Rift was checked", { rift: this.rift, software: hello.software });
    this.#over();
    this.#timer = this.#context.clock.setTimer(REFUSAL_READ_MS, () => {
      this.connection.close(quicOf("CONNECTION_CLOSED"), "The check is done");
    }, "no");
  }

  #welcome(version: number, tunnels: readonly string[]): void {
    this.#send({
      type: "welcome",
      version,
      features: this.#features,
      edge: this.#context.edgeId,
      tunnels,
      heartbeatMs: HEARTBEAT_MS,
      timeMs: Math.trunc(this.#context.clock.wallNow()),
    });
  }

  /**
   * Closes what the same credential registered before, so that a half-dead rift never blocks its
   * successor. An older start than a healthy one is the one that gives way.
   */
  #replaceOlder(): boolean {
    for (const other of this.#context.sessions) {
      if (!this.#isSameRift(other)) continue;
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

  /**
   * The same credential, also when one of the two has been renewed meanwhile: a rift that lost the
   * new one comes back with the old one, and one that kept it is the same process or knows both.
   */
  #isSameRift(other: RiftSession): boolean {
    const mine = this.#verified;
    const theirs = other.#verified;
    if (mine === undefined || theirs === undefined) return false;
    return mine.serial === theirs.serial || mine.serial === other.#renewedFrom ||
      mine.name === theirs.name && this.#instance === other.#instance;
  }

  // --- Tunnels ---

  #rules(tunnels = this.#context.tunnels): ClaimRules {
    // Claims are answered only after the rift was verified.
    return { tunnels, rift: this.#verified! };
  }

  #register(tunnels: readonly string[]): void {
    for (const name of tunnels) this.#context.registry.add(name, this);
  }

  #sendRefusals(refusals: readonly TunnelRefusal[]): void {
    for (const refusal of refusals) {
      const { tunnel, code, reason } = refusal;
      this.#news.refused("Claim refused", `${code} ${tunnel}`, {
        rift: this.rift,
        tunnel,
        code,
        reason,
      });
      this.#send(refusal);
    }
  }

  #judgeAgain(tunnels: ReadonlyMap<string, TunnelSettings>): void {
    const { withdrawn, granted, refusals } = this.#claims.judgeAgain(this.#rules(tunnels));
    for (const name of withdrawn) this.#context.registry.remove(name, this);
    this.#register(granted);
    if (granted.length > 0) {
      this.#log.info("Tunnels granted late", { rift: this.rift, tunnels: granted.join(" ") });
      this.#send({ type: "claimed", tunnels: granted });
    }
    this.#sendRefusals(refusals);
  }

  // --- The credential ---

  async #recheckUntilSure(): Promise<void> {
    this.#rechecking = true;
    while (this.#recheckAgain && this.#state === "open") {
      this.#recheckAgain = false;
      await this.#recheckOnce();
    }
    this.#rechecking = false;
  }

  async #recheckOnce(): Promise<void> {
    const before = this.#verified;
    if (before === undefined) return;
    let now: VerifiedRift;
    try {
      now = await this.#context.rifts.recheck(before);
    } catch (error) {
      if (this.#state !== "open") return;
      if (this.#verified !== before) this.#recheckAgain = true; // renewed meanwhile
      else if (isDecision(error)) this.#refuse("credential", error.message, undefined);
      else this.#keepUncertain(error);
      return;
    }
    if (this.#state !== "open") return;
    this.#uncertain = false;
    if (this.#verified !== before) {
      this.#recheckAgain = true;
      return;
    }
    this.#verified = now;
    this.#tellEnd(now);
    this.#judgeAgain(this.#context.tunnels);
    this.#watch();
  }

  /** A credential that was rotated ends early and is not renewed, which its rift cannot know. */
  #tellEnd({ expiresAtMs, renewableAtMs }: VerifiedRift): void {
    const endsMs = Math.trunc(expiresAtMs);
    if (renewableAtMs !== Infinity || endsMs === this.#toldEndMs) return;
    this.#toldEndMs = endsMs;
    this.#send({ type: "ending", endsMs, reason: "The credential was rotated" });
  }

  /** The edge's own state cannot be read: that is no reason to cut a rift off. It looks again soon. */
  #keepUncertain(error: unknown): void {
    if (!this.#uncertain) {
      this.#log.error("Cannot recheck rift", { rift: this.rift, error: causeOf(error) });
    }
    this.#uncertain = true;
  }

  /** @throws {TunnelError} `PROTOCOL_ERROR` when another renewal has no answer yet. */
  #renew(message: Renew): void {
    const before = this.#verified;
    if (before === undefined) return;
    // Never rejects.
    void this.#renewals.answer(before, message).then((answer) => {
      if (this.#state !== "open") return;
      if ("type" in answer) {
        this.#news.refused("Renewal refused", "renewal", {
          rift: this.rift,
          reason: answer.reason,
        });
        return this.#send(answer);
      }
      this.#renewedFrom = before.serial;
      this.#verified = answer.rift;
      this.#log.info("Rift has a new certificate", {
        rift: this.rift,
        serial: answer.rift.serial,
        ends: new Date(answer.rift.expiresAtMs).toISOString(),
      });
      this.#send({ type: "renewed", certificate: answer.certificate });
      this.#watch();
    });
  }

  /** Ends a connection whose rift has been silent for too long, or whose credential has ended. */
  #watch(): void {
    this.#timer.cancel();
    const { clock } = this.#context;
    this.#checkedAtMs = clock.now();
    const leftMs = (this.#verified?.expiresAtMs ?? 0) - clock.wallNow();
    this.#timer = clock.setTimer(Math.min(HEARTBEAT_MS, Math.max(leftMs, 1)), () => {
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
      if (this.#uncertain) this.recheck();
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
    this.#noteRefusal(code, reason);
    this.#send({ type: "refusal", code, reason, retryAfterMs, tunnel: undefined });
    this.#over();
    this.#timer = this.#context.clock.setTimer(REFUSAL_READ_MS, () => {
      this.connection.close(quicOf("REFUSED"), code);
    }, "no");
  }

  #noteRefusal(code: RefusalCode, reason: string): void {
    this.#log.warn("Rift refused", { rift: this.#nameForLog, code, reason });
    this.#context.onRefused?.(code);
  }

  #over(): void {
    this.#timer.cancel();
    this.#state = "closed";
    this.#context.sessions.delete(this);
    for (const name of this.#claims.clear()) this.#context.registry.remove(name, this);
  }
}

/** The credential is not good. With a cause it is the edge's own state that cannot be read. */
function isDecision(error: unknown): error is TunnelError {
  return error instanceof TunnelError && error.code === "REFUSED" && error.cause === undefined;
}

function causeOf(error: unknown): string {
  return String(error instanceof Error ? error.cause ?? error : error);
}

const IGNORE: StreamHandler = { onData() {}, onDrain() {}, onStopped() {}, onAbort() {} };
/** Two heartbeats and one third: one that is late on a bad line costs nothing. */
const HEALTHY_SILENCE_MS = HEARTBEAT_MS * 2 - 500;
const DEAD_SILENCE_MS = HEARTBEAT_MS * (MAX_MISSED_HEARTBEATS + 1);
