/**
 * The private role: dials the edge, registers tunnels, and comes back when the connection is lost.
 *
 * @module
 */

import { randomUUID } from "node:crypto";

import { delay } from "../clock.ts";
import { type ErrorCode, errorCodeOfQuic, TunnelError } from "../errors.ts";
import {
  CLOCK_WARNING_MS,
  CONNECTION_STREAMS,
  DIAL_WARNING_MS,
  MAX_TUNNELS_PER_RIFT,
  RECONNECT_FIRST_MS,
  RECONNECT_MAX_MS,
  STABLE_CONNECTION_MS,
} from "../limits.ts";
import type { Connection, ConnectionEnd, TlsMaterial } from "../transport/transport.ts";
import type { Ending, Refusal, Welcome } from "../wire/control.ts";
import { RIFT_FEATURES, SUPPORTED_VERSIONS } from "../wire/version.ts";
import { backoffMs } from "./backoff.ts";
import { EdgeSession } from "./edge_session.ts";
import { Exposures } from "./exposures.ts";
import { Renewer } from "./renewer.ts";
import type { Rift, RiftEnd, RiftOptions, RiftState } from "./rift_options.ts";

/**
 * Starts a rift; it works until `close`, until `signal` aborts, or until the edge refuses it for
 * good.
 *
 * @throws {TunnelError} `CONFIG_INVALID` when an upstream is not a usable URL.
 */
export function startRift(options: RiftOptions): Rift {
  const runner = new RiftRunner(options);
  return {
    ready: runner.ready,
    closed: runner.run(),
    refresh: () => runner.refresh(),
    close: () => runner.close(),
  };
}

class RiftRunner {
  readonly ready: Promise<void>;
  readonly #options: RiftOptions;
  readonly #random: () => number;
  readonly #instance: string;
  readonly #exposures: Exposures;
  readonly #renewer: Renewer;
  /** Ends waits and probes. Connections have their own end, so that they can drain. */
  readonly #stop = new AbortController();
  /** Ends everything that is left. */
  readonly #kill = new AbortController();
  #settleReady!: () => void;
  #failReady!: (error: TunnelError) => void;
  #session: EdgeSession | undefined;
  /** Sessions that have a successor; the edge ends each when its last exchange is over. */
  readonly #leaving = new Set<EdgeSession>();
  /** Starts with the wall clock, so that a restart is above what ran before. */
  #epoch: number;
  #fatal: TunnelError | undefined;
  /** The credential that was refused for good, and why. */
  #refusedFor: { readonly tls: TlsMaterial; readonly error: TunnelError } | undefined;
  /** Lets a fresh connection take over from the one that is registered. */
  #moveOn: (() => void) | undefined;
  /** Looks for another credential, one after the other. */
  #refreshing: Promise<void> = Promise.resolve();
  #retryAfterMs: number | undefined;
  #dialFailure: { readonly code: ErrorCode; readonly error: string } | undefined;
  #toldFailure: { readonly error: string; readonly atMs: number } | undefined;
  #ended: Promise<RiftEnd> | undefined;
  #draining: Promise<void> | undefined;
  #warnedOfClock = false;

  constructor(options: RiftOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#instance = options.instance ?? randomUUID();
    this.#epoch = options.clock.wallNow();
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = resolve;
      this.#failReady = reject;
    });
    // Whoever does not wait for it learns of the end from `closed`.
    this.ready.catch(() => {});
    this.#exposures = new Exposures({
      exposes: options.exposes,
      timeouts: {
        connectMs: options.upstreamConnectTimeoutMs ?? DEFAULT_CONNECT_MS,
        headMs: options.upstreamHeaderTimeoutMs ?? 0,
      },
      clock: options.clock,
      log: options.log,
      random: this.#random,
      onUp: (claim) => this.#session?.claim([claim]),
      signal: this.#stop.signal,
    });
    this.#renewer = new Renewer({
      tls: options.tls,
      clock: options.clock,
      log: options.log,
      random: this.#random,
      onRenewed: options.onRenewed,
      signal: this.#stop.signal,
    });
  }

  run(): Promise<RiftEnd> {
    return this.#ended ??= this.#run();
  }

  async close(): Promise<void> {
    this.#draining ??= this.#drain();
    await this.#draining;
    await this.#ended;
  }

  refresh(): Promise<void> {
    return this.#refreshing = this.#refreshing.then(() => this.#takeFresh());
  }

  async #takeFresh(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const tls = await this.#options.freshCredential?.();
    if (tls === undefined) return;
    this.#renewer.replace(tls);
    this.#moveOn?.();
  }

  async #drain(): Promise<void> {
    this.#stop.abort();
    const drainMs = this.#options.drainMs ?? DEFAULT_DRAIN_MS;
    const sessions = this.#session === undefined ? [] : [this.#session];
    await Promise.all([...sessions, ...this.#leaving].map((session) => session.drain(drainMs)));
    this.#kill.abort();
  }

  async #run(): Promise<RiftEnd> {
    const { signal, clock, log } = this.#options;
    // `close` never rejects.
    const onAbort = () => void this.close();
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });

    await this.#exposures.probeAll();
    for (let failures = 0; !this.#stop.signal.aborted;) {
      const livedMs = await this.#connectOnce(failures);
      if (livedMs === "used_up") {
        failures = 0;
        continue;
      }
      await this.#reconsiderRefusal();
      if (this.#fatal !== undefined || this.#stop.signal.aborted) break;
      failures = livedMs > STABLE_CONNECTION_MS ? 1 : failures + 1;
      const range = { firstMs: RECONNECT_FIRST_MS, maxMs: RECONNECT_MAX_MS };
      const waitMs = Math.max(
        backoffMs(range, failures, this.#random()),
        this.#retryAfterMs ?? 0,
      );
      this.#retryAfterMs = undefined;
      this.#tellDialFailure(waitMs);
      this.#tell("waiting", `${waitMs} ms`);
      await delay(clock, waitMs, this.#stop.signal);
    }

    await this.#draining;
    signal.removeEventListener("abort", onAbort);
    this.#stop.abort();
    this.#kill.abort();
    await this.#exposures.close();
    const fatal = this.#fatal;
    this.#failReady(fatal ?? new TunnelError("CONNECTION_CLOSED", "The rift was closed"));
    this.#tell("closed", fatal?.message ?? "");
    if (fatal === undefined) return { reason: "closed" };
    log.error("Rift ends", { code: fatal.code, reason: fatal.message });
    return { reason: "fatal", error: fatal };
  }

  /** There may be another credential by now; without one the rift ends. */
  async #reconsiderRefusal(): Promise<void> {
    const refused = this.#refusedFor;
    if (refused === undefined) return;
    this.#refusedFor = undefined;
    await this.refresh();
    if (this.#renewer.tls === refused.tls) this.#fatal = refused.error;
  }

  /**
   * One dial and, if it works, the whole life of the connection. Never rejects.
   *
   * @returns How long the connection lived, ms; 0 when there was none; `"used_up"` when it lives
   *   on, but needs a successor.
   */
  async #connectOnce(failures: number): Promise<number | "used_up"> {
    const { transport, address, serverName, clock, log } = this.#options;
    const { tls } = this.#renewer;
    this.#tell("connecting", `${address.host}:${address.port}`);
    try {
      const connection = await transport.connect({
        host: address.host,
        port: address.port,
        serverName,
        tls,
        clock,
        log,
        signal: this.#kill.signal,
      });
      const connectedAtMs = clock.now();
      let usedUp!: (outcome: "used_up") => void;
      const successorDue = new Promise<"used_up">((resolve) => usedUp = resolve);
      this.#epoch = Math.max(this.#epoch + 1, clock.wallNow());
      this.#exposures.forgetRefusals();
      const offered = this.#exposures.claims.slice(0, MAX_TUNNELS_PER_RIFT);
      const session = new EdgeSession({
        connection,
        hello: {
          versions: SUPPORTED_VERSIONS,
          features: RIFT_FEATURES,
          instance: this.#instance,
          epoch: this.#epoch,
          software: this.#options.software ?? "mcptun",
          attempt: failures,
          tunnels: offered,
          waiting: this.#exposures.waiting.slice(0, MAX_TUNNELS_PER_RIFT),
        },
        find: this.#exposures.find,
        onWelcome: (welcome) => {
          this.#welcomed(welcome);
          // What came up between hello and welcome, or had no room in hello.
          session.claim(
            this.#exposures.claims.filter((claim) =>
              !offered.some(({ name }) => name === claim.name)
            ),
          );
          if (this.#session !== session) return;
          // Renewed during the dial: this connection would end with the credential before.
          if (tls !== this.#renewer.tls) return usedUp("used_up");
          this.#moveOn = () => usedUp("used_up");
          this.#renewer.use(session);
        },
        onClaimed: (tunnels) => {
          log.info("Tunnel registered", { tunnels: tunnels.join(" ") });
          this.#exposures.grant(tunnels);
          this.#settleReady();
        },
        // Handles its own failures.
        onEnding: (ending) => void this.#ending(ending, tls),
        onRefused: (refusal) => this.#refused(refusal, connection, tls),
        maxStreams: this.#options.connectionStreams ?? CONNECTION_STREAMS,
        onUsedUp: () => usedUp("used_up"),
        clock,
        log,
      });
      this.#session = session;
      // A close that came during the dial has nothing to drain.
      if (this.#stop.signal.aborted && this.#kill.signal.aborted) connection.close(0, "");
      const end = await Promise.race([connection.closed, successorDue]);
      this.#session = undefined;
      this.#moveOn = undefined;
      this.#renewer.use(undefined);
      if (end === "used_up") {
        // It serves until the edge knows its successor, and then finishes what runs.
        log.info("Moving to a fresh connection");
        this.#leaving.add(session);
        void connection.closed.then(() => this.#leaving.delete(session));
        return "used_up";
      }
      this.#judgeEnd(end);
      return clock.now() - connectedAtMs;
    } catch (error) {
      this.#session = undefined;
      if (this.#stop.signal.aborted) return 0;
      this.#dialFailure = {
        code: error instanceof TunnelError ? error.code : "INTERNAL",
        error: error instanceof Error ? error.message : String(error),
      };
      if (!(error instanceof TunnelError)) return 0;
      if (!error.facts.retry) this.#fatal = error;
      // A certificate that was refused will be refused again in a moment.
      if (error.code === "HANDSHAKE_FAILED") this.#retryAfterMs = REFUSED_HANDSHAKE_MS;
      return 0;
    }
  }

  #welcomed({ edge, tunnels, timeMs }: Welcome): void {
    const { clock, log } = this.#options;
    log.info("Connected to edge", {
      edge,
      tunnels: tunnels.join(" ") || "none yet",
      waiting: this.#exposures.waiting.join(" ") || undefined,
    });
    this.#tell("connected", edge);
    this.#toldFailure = undefined;
    this.#exposures.grant(tunnels);
    if (tunnels.length > 0) this.#settleReady();
    const aheadMs = timeMs === undefined ? 0 : clock.wallNow() - timeMs;
    if (Math.abs(aheadMs) <= CLOCK_WARNING_MS || this.#warnedOfClock) return;
    this.#warnedOfClock = true;
    log.warn("The clocks of this host and of the edge differ: set both, or credentials fail", {
      aheadMs: Math.round(aheadMs),
    });
  }

  async #ending(ending: Ending, dialedWith: TlsMaterial): Promise<void> {
    await this.refresh();
    if (this.#renewer.tls === dialedWith) this.#renewer.endsEarly(ending);
  }

  #refused(refusal: Refusal, connection: Connection, dialedWith: TlsMaterial): void {
    const { log } = this.#options;
    const { code, reason, tunnel, retryAfterMs } = refusal;
    log.warn("Edge refused", { code, reason, tunnel, retryAfterMs });
    if (tunnel !== undefined) {
      this.#exposures.refuse(refusal);
      const all = this.#exposures.allRefused;
      if (all === undefined) return;
      this.#fatal = new TunnelError("REFUSED", all);
    } else if (code === "credential" && dialedWith !== this.#renewer.tls) {
      this.#retryAfterMs = 0; // the new one is good
    } else if (code === "credential" && retryAfterMs === undefined) {
      this.#refusedFor = { tls: dialedWith, error: new TunnelError("REFUSED", reason) };
    } else if (retryAfterMs === undefined) {
      this.#fatal = new TunnelError("REFUSED", reason);
    } else {
      this.#retryAfterMs = retryAfterMs;
    }
    connection.close(0, "refused");
  }

  #judgeEnd(end: ConnectionEnd): void {
    const { log } = this.#options;
    // What was refused has been said.
    if (this.#fatal !== undefined || this.#refusedFor !== undefined) return;
    if (this.#stop.signal.aborted) return;
    const code = end.kind === "peer" ? errorCodeOfQuic(end.code) : undefined;
    log.warn("Connection to edge ended", { kind: end.kind, code, reason: end.reason });
    if (code === "REPLACED") {
      this.#fatal = new TunnelError(
        "REPLACED",
        "A newer rift with this credential took over: each rift needs a credential of its own",
      );
    }
  }

  /** The first dials come many to a second: of those that fail alike, few are worth a warning. */
  #tellDialFailure(retryInMs: number): void {
    const failure = this.#dialFailure;
    this.#dialFailure = undefined;
    if (failure === undefined) return;
    const { address: { host, port }, clock, log } = this.#options;
    const told = this.#toldFailure;
    const nowMs = clock.now();
    const isNews = told === undefined || told.error !== failure.error ||
      nowMs - told.atMs >= DIAL_WARNING_MS;
    const fields = { address: `${host}:${port}`, ...failure, retryInMs };
    if (!isNews) return log.debug("Cannot connect to edge", fields);
    this.#toldFailure = { error: failure.error, atMs: nowMs };
    log.warn("Cannot connect to edge, trying again", fields);
  }

  #tell(state: RiftState, detail: string): void {
    this.#options.onState?.(state, detail);
  }
}

const REFUSED_HANDSHAKE_MS = 5_000;
const DEFAULT_CONNECT_MS = 5_000;
const DEFAULT_DRAIN_MS = 10_000;
