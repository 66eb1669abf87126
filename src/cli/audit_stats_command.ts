/** `mcptun audit stats`: how many calls, denials and errors, and how long calls took. @module */

import { OpenIntents } from "../audit/open_intents.ts";
import { QUANTILE_ERROR } from "../audit/duration_histogram.ts";
import { readTrail } from "../audit/read_trail.ts";
import { readWanted } from "../audit/record_filter.ts";
import {
  type Counts,
  type CountsTable,
  type NamedCounts,
  TrailStats,
} from "../audit/trail_stats.ts";
import { type Clock, systemClock } from "../clock.ts";
import { STATS_ROWS } from "../limits.ts";
import { type FilterFlags, filterOf, sinceOrDay } from "./audit_filter.ts";
import { duration } from "./audit_row.ts";
import { auditFile, AuditNotes, type AuditSourceOptions } from "./audit_source.ts";
import { type Column, fitTable, inertText, wrapped } from "./fitted_table.ts";
import type { Io } from "./io.ts";
import { outputWidth, writeOut } from "./line_output.ts";
import { timeOf } from "./report.ts";

/** What `audit stats` is told. */
export interface AuditStatsOptions extends FilterFlags, AuditSourceOptions {
  readonly json?: true | undefined;
}

/** Prints the counts. @throws {TunnelError} `USAGE`; `AUDIT_UNREADABLE`; `CONFIG_INVALID` */
export async function runAuditStats(
  io: Io,
  options: AuditStatsOptions,
  clock: Clock = systemClock,
): Promise<void> {
  const nowMs = clock.wallNow();
  const { filter } = filterOf({ ...options, since: sinceOrDay(options, nowMs) }, nowMs);
  const path = auditFile(io, options);
  const notes = new AuditNotes(io);
  const stats = new TrailStats();
  const intents = new OpenIntents();
  let unfinished = 0;
  const batches = readTrail({
    path,
    filter,
    mode: "once",
    clock,
    signal: io.signal,
    onNote: notes.onNote,
  });
  for await (const lines of batches) {
    for (const line of lines) {
      const record = readWanted(line, filter);
      if (record === "not_wanted") continue;
      if (typeof record === "string") {
        notes.count(record);
        continue;
      }
      unfinished += intents.see(record).filter(filter.matches).length;
      if (record.type === "lost") stats.lost += record.lost ?? 1;
      if (record.type === "exchange" && filter.matches(record)) stats.add(record);
    }
  }
  // Half of a count looks like a whole one.
  if (io.signal.aborted) return;
  notes.flush();
  const open = intents.takeAll().filter(filter.matches).length;
  const summary = { stats, unfinished, open };
  await writeOut(
    io,
    options.json === true
      ? `${JSON.stringify(jsonOf(summary))}\n`
      : textOf(summary, io).map((line) => `${line}\n`).join(""),
  );
}

interface Summary {
  readonly stats: TrailStats;
  /** Intents whose edge ended before their exchange did. */
  readonly unfinished: number;
  /** Intents at the end of the trail. */
  readonly open: number;
}

function textOf({ stats, unfinished, open }: Summary, io: Io): string[] {
  const { total, firstMs, lastMs } = stats;
  if (firstMs === undefined || lastMs === undefined) return ["No exchange in this time"];
  const width = outputWidth(io);
  const lines = [
    `${total.calls} exchange${total.calls === 1 ? "" : "s"}, ${timeOf(firstMs)} to ${
      timeOf(lastMs)
    }`,
    ...wrapped(
      [...stats.results].sort(([, a], [, b]) => b - a)
        .map(([result, times]) => `${inertText(result)} ${times}`).join(", "),
      width,
    ),
  ];
  if (stats.lost > 0) lines.push(`LOST: ${stats.lost} records could not be written`);
  if (unfinished > 0) {
    lines.push(`NO END: ${unfinished} without an end, because the edge ended`);
  }
  if (open > 0) {
    lines.push(`open: ${open} in flight at the end of the trail, or the edge has ended`);
  }
  for (
    const [title, table] of [
      ["TUNNEL", stats.tunnels],
      ["USER", stats.users],
      ["TOOL", stats.tools],
    ] as const
  ) {
    lines.push("", ...tableLines(title, table, width));
  }
  const percent = Math.round(QUANTILE_ERROR * 100);
  lines.push("", `P50 and P95 are within ${percent}%, of answered calls, without event streams`);
  return lines;
}

function tableLines(title: string, { rows, others }: CountsTable, width: number): string[] {
  if (rows.length === 0) return [`No ${title.toLowerCase()}`];
  const shown = rows.slice(0, STATS_ROWS);
  const all: NamedCounts[] = [...shown];
  if (others !== undefined) all.push({ name: "(others)", counts: others });
  const { head, rows: lines } = fitTable(columnsOf(title), all, width);
  const hidden = rows.length - shown.length;
  return [head, ...lines, ...(hidden > 0 ? [`… and ${hidden} more (see --json)`] : [])];
}

function columnsOf(title: string): Column<NamedCounts>[] {
  return [
    { title: title.padEnd(NAME_WIDTH), cell: ({ name }) => inertText(name), minWidth: NAME_WIDTH },
    number("CALLS", ({ calls }) => String(calls)),
    number("DENIED", ({ denied }) => String(denied)),
    number("REFUSED", ({ refused }) => String(refused), 1),
    number("ERRORS", ({ errors }) => String(errors)),
    number("P50", ({ durations }) => quantile(durations.quantile(0.5))),
    number("P95", ({ durations }) => quantile(durations.quantile(0.95))),
  ];
}

function number(
  title: string,
  cell: (counts: Counts) => string,
  dispensable?: number,
): Column<NamedCounts> {
  return {
    // The same width in every table, so that they stand below each other.
    title: title.padStart(NUMBER_WIDTH),
    cell: ({ counts }) => cell(counts),
    align: "right",
    ...(dispensable === undefined ? {} : { dispensable }),
  };
}

function quantile(ms: number | undefined): string {
  return ms === undefined ? "-" : duration(ms);
}

function jsonOf({ stats, unfinished, open }: Summary): unknown {
  const { total, firstMs, lastMs, lost, results } = stats;
  return {
    from: firstMs === undefined ? null : new Date(firstMs).toISOString(),
    to: lastMs === undefined ? null : new Date(lastMs).toISOString(),
    ...countsJson(total),
    results: Object.fromEntries(results),
    lost,
    unfinished,
    open,
    tunnels: tableJson(stats.tunnels),
    users: tableJson(stats.users),
    tools: tableJson(stats.tools),
  };
}

function tableJson({ rows, others }: CountsTable): unknown {
  return {
    rows: rows.map(({ name, counts }) => ({ name, ...countsJson(counts) })),
    others: others === undefined ? null : countsJson(others),
  };
}

function countsJson({ calls, denied, refused, errors, durations }: Counts): object {
  const ms = (share: number) => {
    const value = durations.quantile(share);
    return value === undefined ? null : Number(value.toPrecision(3));
  };
  return { calls, denied, refused, errors, p50_ms: ms(0.5), p95_ms: ms(0.95) };
}

const NAME_WIDTH = 20;
const NUMBER_WIDTH = 7;
