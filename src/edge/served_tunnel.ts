/** A declared tunnel as requests find it: its settings of now, and counters that outlive them. @module */

import type { Clock } from "../clock.ts";
import type { ErrorCode } from "../errors.ts";
import type { TunnelSettings } from "./edge_options.ts";
import { LATENCY_BOUNDS_MS } from "./edge_status.ts";
import type { TunnelStatus } from "./edge_status.ts";

/**
 * How an exchange or a refused request ended: the class of the private server's status, the lower
 * case code of an answer of the edge's own, `aborted` when the client went away first; on an aware
 * tunnel also `denied` by its rules, or `refused` because it is not MCP that can be judged.
 */
export type Outcome = "aborted" | "denied" | "refused" | `${number}xx` | Lowercase<ErrorCode>;

/** One tunnel under one configuration. */
export interface ServedTunnel {
  readonly settings: TunnelSettings;
  /** Its public URL, which tokens must be for. */
  readonly url: string;
  readonly counters: TunnelCounters;
}

/** What a tunnel of this name has carried since it was first declared. */
export class TunnelCounters {
  /** In flight. */
  exchanges = 0;
  eventStreams = 0;
  readonly #clock: Clock;
  readonly #outcomes = new Map<Outcome, number>();
  readonly #buckets: number[] = LATENCY_BOUNDS_MS.map(() => 0).concat(0);
  #answers = 0;
  #answerMs = 0;
  /** Exchanges begun in each of the last seconds, by second modulo the window. */
  readonly #perSecond: number[] = Array.from({ length: WINDOW_S }, () => 0);
  #second = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An exchange has begun; `ended` follows. */
  started(): void {
    this.exchanges++;
    this.#roll();
    this.#perSecond[this.#second % WINDOW_S]!++;
  }

  ended(outcome: Outcome): void {
    this.exchanges--;
    this.count(outcome);
  }

  /** Counts a request that was answered, with or without an exchange. */
  count(outcome: Outcome): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }

  /** The head of an answer has come after this time. */
  answered(tookMs: number): void {
    this.#answers++;
    this.#answerMs += tookMs;
    const at = LATENCY_BOUNDS_MS.findIndex((bound) => tookMs <= bound);
    this.#buckets[at < 0 ? LATENCY_BOUNDS_MS.length : at]!++;
  }

  status(
    { settings, url }: Pick<ServedTunnel, "settings" | "url">,
    { rifts, waiting }: Pick<TunnelStatus, "rifts" | "waiting">,
  ): TunnelStatus {
    this.#roll();
    return {
      name: settings.name,
      url,
      protocol: settings.protocol,
      auth: settings.auth,
      mode: settings.mode,
      rifts,
      waiting,
      exchanges: this.exchanges,
      eventStreams: this.eventStreams,
      outcomes: Object.fromEntries(this.#outcomes),
      startedLastMinute: this.#perSecond.reduce((sum, count) => sum + count, 0),
      latency: { count: this.#answers, sumMs: this.#answerMs, buckets: [...this.#buckets] },
    };
  }

  /** Empties the seconds that have gone by since the last call. */
  #roll(): void {
    const second = Math.floor(this.#clock.now() / 1_000);
    const gone = Math.min(second - this.#second, WINDOW_S);
    for (let step = 1; step <= gone; step++) this.#perSecond[(this.#second + step) % WINDOW_S] = 0;
    this.#second = second;
  }
}

const WINDOW_S = 60;
