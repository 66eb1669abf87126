/**
 * The tunnels of a rift and whether their upstreams answer.
 *
 * A tunnel is claimed only once its upstream has answered; from then on it stays claimed, and an
 * upstream that goes away is answered with 502 per exchange.
 *
 * @module
 */

import { type Clock, delay } from "../clock.ts";
import { PROBE_FIRST_MS, PROBE_MAX_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Refusal, TunnelClaim } from "../wire/control.ts";
import { backoffMs } from "./backoff.ts";
import type { ExposedTunnel } from "./exchange.ts";
import { probeUpstream } from "./probe.ts";
import type { Expose } from "./rift_options.ts";
import { upstreamTarget } from "./target.ts";
import { UpstreamCredential } from "./upstream_credential.ts";
import { openUpstream, type Upstream, type UpstreamTimeouts } from "./upstream.ts";

/** Options of {@link Exposures}. */
export interface ExposuresOptions {
  readonly exposes: readonly Expose[];
  readonly timeouts: UpstreamTimeouts;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** An upstream has answered for the first time. */
  readonly onUp: (claim: TunnelClaim) => void;
  readonly signal: AbortSignal;
}

/** All tunnels of one rift. */
export class Exposures {
  readonly #options: ExposuresOptions;
  readonly #tunnels = new Map<string, Exposure>();
  /** One pool per origin: two tunnels to the same server share connections. */
  readonly #upstreams = new Map<string, Upstream>();
  /** Some tunnel was granted once, on any connection. */
  #hasServed = false;

  /** @throws {TunnelError} `CONFIG_INVALID` for an upstream that is not a usable URL. */
  constructor(options: ExposuresOptions) {
    this.#options = options;
    for (const expose of options.exposes) {
      const target = upstreamTarget(expose);
      const upstream = this.#upstreams.get(target.origin) ??
        openUpstream(target.origin, options.timeouts);
      this.#upstreams.set(target.origin, upstream);
      this.#tunnels.set(expose.tunnel, {
        expose,
        target,
        upstream,
        credential: expose.authorization === undefined ? undefined : new UpstreamCredential(
          expose.authorization,
          options.log.child({ tunnel: expose.tunnel }),
        ),
        up: false,
        granted: false,
        refused: undefined,
      });
    }
  }

  readonly find = (tunnel: string): ExposedTunnel | undefined => this.#tunnels.get(tunnel);

  /** What to claim now. */
  get claims(): TunnelClaim[] {
    return [...this.#tunnels.values()]
      .filter((tunnel) => tunnel.up && tunnel.refused === undefined)
      .map(claimOf);
  }

  /** Names of those whose upstream has not answered yet. */
  get waiting(): string[] {
    return [...this.#tunnels.values()].filter(({ up }) => !up).map(({ expose }) => expose.tunnel);
  }

  /**
   * The reason, once every tunnel was refused for good. Not after one was served: then the edge's
   * configuration has changed, and may change back.
   */
  get allRefused(): string | undefined {
    if (this.#hasServed) return undefined;
    const tunnels = [...this.#tunnels.values()];
    if (tunnels.some((tunnel) => tunnel.refused === undefined)) return undefined;
    return tunnels[0]?.refused;
  }

  /**
   * Remembers that the edge will not take a tunnel. One that it had taken and does not declare any
   * more may come back with its next configuration: that is waited for.
   */
  refuse({ tunnel: name, code, reason, retryAfterMs }: Refusal): void {
    const tunnel = name === undefined ? undefined : this.#tunnels.get(name);
    if (tunnel === undefined || retryAfterMs !== undefined) return;
    if (!tunnel.granted || code !== "tunnel_unknown") tunnel.refused = reason;
    tunnel.granted = false;
  }

  /** The edge has taken tunnels, perhaps after it refused them. */
  grant(tunnels: readonly string[]): void {
    for (const name of tunnels) {
      const tunnel = this.#tunnels.get(name);
      if (tunnel === undefined) continue;
      tunnel.refused = undefined;
      tunnel.granted = true;
      this.#hasServed = true;
    }
  }

  /** A new connection asks for everything again: the edge may have another configuration. */
  forgetRefusals(): void {
    for (const tunnel of this.#tunnels.values()) {
      tunnel.refused = undefined;
      tunnel.granted = false;
    }
  }

  /** Probes every upstream once, then goes on in the background with those that do not answer. */
  async probeAll(): Promise<void> {
    await Promise.all([...this.#tunnels.values()].map(async (tunnel) => {
      // Handles its own failures and ends with the signal.
      if (!await this.#probe(tunnel)) void this.#probeUntilUp(tunnel);
    }));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream.close()));
  }

  async #probe(tunnel: Exposure): Promise<boolean> {
    const { clock, log, onUp, signal } = this.#options;
    const result = await probeUpstream(tunnel.upstream, tunnel.target.pathOf(""), clock);
    if (signal.aborted) return false;
    const { tunnel: name, upstream } = tunnel.expose;
    if (result === "answers") {
      tunnel.up = true;
      log.info("Upstream answers", { tunnel: name, upstream });
      onUp(claimOf(tunnel));
      return true;
    }
    if (tunnel.problem !== result.problem) {
      log.warn("Upstream does not answer: the tunnel is not registered until it does", {
        tunnel: name,
        upstream,
        problem: result.problem,
      });
      tunnel.problem = result.problem;
    }
    return false;
  }

  async #probeUntilUp(tunnel: Exposure): Promise<void> {
    const { clock, random, signal } = this.#options;
    const range = { firstMs: PROBE_FIRST_MS, maxMs: PROBE_MAX_MS };
    for (let attempt = 1; !signal.aborted; attempt++) {
      // Half of it fixed: a probe that comes at once again would find nothing new.
      const waitMs = backoffMs(range, attempt, 0.5 + random() / 2);
      if (await delay(clock, waitMs, signal) === "aborted") return;
      if (await this.#probe(tunnel)) return;
    }
  }
}

interface Exposure extends ExposedTunnel {
  readonly expose: Expose;
  up: boolean;
  /** By the edge, on this connection. */
  granted: boolean;
  /** Why the edge will never take it. */
  refused: string | undefined;
  /** What the last probe found, so that it is logged once. */
  problem?: string;
}

function claimOf(tunnel: Exposure): TunnelClaim {
  return { name: tunnel.expose.tunnel, protocol: tunnel.expose.protocol };
}
