/** Counts of a trail, by tunnel, user and tool, in bounded space. @module */

import { MAX_STATS_KEYS } from "../limits.ts";
import { DurationHistogram } from "./duration_histogram.ts";
import { callsOf, type SeenRecord } from "./read_record.ts";

/** What is counted of one tunnel, user or tool. */
export interface Counts {
  calls: number;
  denied: number;
  /** The edge's own refusals: 401, 404, 413 and the like. */
  refused: number;
  /** `tool_error`, `rpc_error`, `upstream_error` and `timeout`. */
  errors: number;
  /** Durations of what the private server answered; without event streams that a client listens to. */
  readonly durations: DurationHistogram;
}

/** One row: a name and its counts. */
export interface NamedCounts {
  readonly name: string;
  readonly counts: Counts;
}

/** What a table has. */
export interface CountsTable {
  /** The busiest first. */
  readonly rows: readonly NamedCounts[];
  /** Those that came when there was no more room; absent without any. */
  readonly others: Counts | undefined;
}

/** Takes records, gives counts. */
export class TrailStats {
  readonly total = newCounts();
  /** How often each result came. */
  readonly results = new Map<string, number>();
  /** Records that the edge could not write. */
  lost = 0;
  /** Times of the first and the last record that was counted, by their beginning, ms since 1970. */
  firstMs: number | undefined;
  lastMs: number | undefined;
  readonly #tunnels = new KeyedCounts();
  readonly #users = new KeyedCounts();
  readonly #tools = new KeyedCounts();

  /** Takes a record of a finished exchange. */
  add(record: SeenRecord): void {
    const { time, tunnel, user, result } = record;
    if (time !== undefined) {
      this.firstMs = Math.min(this.firstMs ?? time, time);
      this.lastMs = Math.max(this.lastMs ?? time, time);
    }
    const word = result ?? "unknown";
    // A fixed list of words; a file that somebody wrote by hand may have any number.
    const key = this.results.has(word) || this.results.size < MAX_RESULTS ? word : "other";
    this.results.set(key, (this.results.get(key) ?? 0) + 1);
    count(this.total, record);
    if (tunnel !== undefined) count(this.#tunnels.of(tunnel), record);
    if (user !== undefined) count(this.#users.of(user), record);
    for (const { kind, name } of callsOf(record)) {
      if (kind === "tool" && name !== undefined) count(this.#tools.of(name), record);
    }
  }

  get tunnels(): CountsTable {
    return this.#tunnels.table();
  }

  get users(): CountsTable {
    return this.#users.table();
  }

  get tools(): CountsTable {
    return this.#tools.table();
  }
}

/** The first so many names have counts of their own. */
class KeyedCounts {
  readonly #counts = new Map<string, Counts>();
  #others: Counts | undefined;

  of(name: string): Counts {
    const known = this.#counts.get(name);
    if (known !== undefined) return known;
    if (this.#counts.size >= MAX_STATS_KEYS) return this.#others ??= newCounts();
    const counts = newCounts();
    this.#counts.set(name, counts);
    return counts;
  }

  table(): CountsTable {
    const rows = [...this.#counts].map(([name, counts]) => ({ name, counts }));
    rows.sort((a, b) => b.counts.calls - a.counts.calls || (a.name < b.name ? -1 : 1));
    return { rows, others: this.#others };
  }
}

function newCounts(): Counts {
  return { calls: 0, denied: 0, refused: 0, errors: 0, durations: new DurationHistogram() };
}

function count(counts: Counts, record: SeenRecord): void {
  const { result = "", duration_ms: durationMs } = record;
  counts.calls++;
  if (result === "denied") counts.denied++;
  else if (result === "refused") counts.refused++;
  else if (ERRORS.has(result)) counts.errors++;
  if (ANSWERED.has(result) && durationMs !== undefined && !isListening(record)) {
    counts.durations.add(durationMs);
  }
}

/** An event stream that is open until somebody leaves says nothing about how fast anything is. */
function isListening({ http_method: httpMethod, method }: SeenRecord): boolean {
  return method === "subscriptions/listen" || (httpMethod === "GET" && method === undefined);
}

const ERRORS: ReadonlySet<string> = new Set([
  "tool_error",
  "rpc_error",
  "upstream_error",
  "timeout",
]);
const ANSWERED: ReadonlySet<string> = new Set(["ok", "tool_error", "rpc_error"]);
const MAX_RESULTS = 32;
