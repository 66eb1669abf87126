/**
 * Which tunnels work, from one end to the other: asked through the tunnel, shared between callers,
 * kept for a while, and bounded in time and number, so that polling does not load private servers.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { PROBE_CACHE_MS, READY_PROBES, READY_TIMEOUT_MS } from "../limits.ts";
import type { AdminSource, ProbeOutcome } from "./admin_source.ts";

/** The state of one tunnel. */
export type TunnelReadiness =
  | { readonly name: string; readonly ready: true; readonly tookMs: number }
  | { readonly name: string; readonly ready: false; readonly reason: string };

/** A probe that waits, runs or has ended not long ago. */
interface Probe {
  readonly readiness: Promise<TunnelReadiness>;
  /** Monotonic ms; `undefined` while it waits or runs. */
  endedAtMs: number | undefined;
}

/** Asks tunnels whether they answer. */
export class Readiness {
  readonly #source: Pick<AdminSource, "probe">;
  readonly #clock: Clock;
  readonly #life = new AbortController();
  /** One per declared tunnel at most. */
  readonly #probes = new Map<string, Probe>();
  /** Starts of probes that wait for a free place, and until when. */
  readonly #waiting = new Map<() => void, number>();
  #running = 0;

  constructor(source: Pick<AdminSource, "probe">, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** The state of each of `names`, within `READY_TIMEOUT_MS`. `declared` are all tunnels of now. */
  async check(
    names: readonly string[],
    declared: readonly string[],
  ): Promise<readonly TunnelReadiness[]> {
    for (const name of this.#probes.keys()) {
      if (!declared.includes(name)) this.#probes.delete(name);
    }
    // Those asked longest ago first: a few that hang must not keep the others from their turn.
    const order = [...names].sort((a, b) => this.#endedAtMs(a) - this.#endedAtMs(b));
    const found = new Map(order.map((name) => [name, this.#of(name)] as const));
    return await Promise.all(names.map((name) => found.get(name)!));
  }

  /** Gives up what runs. Idempotent. */
  close(): void {
    this.#life.abort();
  }

  #endedAtMs(name: string): number {
    return this.#probes.get(name)?.endedAtMs ?? -Infinity;
  }

  #of(name: string): Promise<TunnelReadiness> {
    const known = this.#probes.get(name);
    const isFresh = known !== undefined && (known.endedAtMs === undefined ||
      this.#clock.now() - known.endedAtMs < PROBE_CACHE_MS);
    if (isFresh) return known.readiness;
    const probe: Probe = {
      readiness: this.#ask(name).then((outcome) => {
        probe.endedAtMs = this.#clock.now();
        if (outcome === "not_asked") {
          if (this.#probes.get(name) === probe) this.#probes.delete(name);
          return { name, ready: false, reason: "not asked yet: other tunnels hang" };
        }
        return outcome.answered
          ? { name, ready: true, tookMs: outcome.tookMs }
          : { name, ready: false, reason: outcome.reason };
      }),
      endedAtMs: undefined,
    };
    this.#probes.set(name, probe);
    return probe.readiness;
  }

  /** Never rejects. */
  #ask(name: string): Promise<ProbeOutcome | "not_asked"> {
    return new Promise((resolve) => {
      const patience = new AbortController();
      let state: "waiting" | "running" | "ended" = "waiting";
      const end = (outcome: ProbeOutcome | "not_asked"): void => {
        if (state === "ended") return;
        const held = state === "running";
        state = "ended";
        timer.cancel();
        this.#life.signal.removeEventListener("abort", giveUp);
        this.#waiting.delete(start);
        patience.abort();
        resolve(outcome);
        if (held) {
          this.#running--;
          this.#next();
        }
      };
      const giveUp = (): void => {
        end(
          state === "waiting" ? "not_asked" : {
            answered: false,
            reason: `no answer within ${READY_TIMEOUT_MS} ms`,
          },
        );
      };
      const start = (): void => {
        state = "running";
        this.#running++;
        this.#waiting.delete(start);
        // What a probe that fails says is for the edge's log; here it is one more "no".
        const failed = () => end({ answered: false, reason: "the probe failed" });
        try {
          this.#source.probe(name, patience.signal).then(end, failed);
        } catch {
          failed();
        }
      };
      const timer = this.#clock.setTimer(READY_TIMEOUT_MS, giveUp, "no");
      this.#life.signal.addEventListener("abort", giveUp, { once: true });
      if (this.#life.signal.aborted) giveUp();
      else if (this.#running < READY_PROBES) start();
      else this.#waiting.set(start, this.#clock.now() + READY_TIMEOUT_MS);
    });
  }

  #next(): void {
    for (const [start, endMs] of this.#waiting) {
      if (this.#running >= READY_PROBES) return;
      // Who has no time left would be asked for nothing; its own timer ends it.
      if (endMs > this.#clock.now()) start();
    }
  }
}
