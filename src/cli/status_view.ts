/** How `mcptun status` looks: the answer of an edge in, lines out. @module */

import { ERROR_TABLE } from "../errors.ts";
import type { ErrorFacts } from "../errors.ts";
import { type Column, fitTable, inertText, shorten, wrapped } from "./fitted_table.ts";
import { timeOf } from "./report.ts";
import type { AuditAnswer, RiftAnswer, StatusAnswer, TunnelAnswer } from "./status_answer.ts";

/** What the lines are for. */
export interface View {
  /** Characters; `Infinity` when it is no terminal. */
  readonly width: number;
  readonly style: "plain" | "terminal";
  /** Wall clock, ms. */
  readonly nowMs: number;
}

/** The lines of a status, none longer than the view is wide. */
export function statusLines(status: StatusAnswer, view: View): string[] {
  const { dim } = stylesOf(view);
  const leftOut = new Set<string>();
  const table = <Row>(
    columns: readonly Column<Row>[],
    rows: readonly Row[],
    none: string,
  ): string[] => {
    if (rows.length === 0) return [shorten(none, view.width)];
    const fitted = fitTable(columns, rows, view.width);
    for (const title of fitted.leftOut) leftOut.add(title);
    return [
      dim(shorten(fitted.head, view.width)),
      ...fitted.rows.map((row) => shorten(row, view.width)),
    ];
  };
  const lines = [
    ...headLines(status, view),
    "",
    ...table(tunnelColumns(status.latencyBoundsMs), status.tunnels, "No tunnel is declared"),
    "",
    ...table(riftColumns(view.nowMs), distinctRifts(status.rifts), "No rift is connected"),
    ...waitingLines(status.tunnels, view),
  ];
  if (leftOut.size > 0) {
    const text = `Not shown at this width: ${[...leftOut].join(", ")} (see --json)`;
    lines.push("", ...wrapped(text, view.width).map(dim));
  }
  return lines;
}

/** Bold and dim, or nothing, as the view says. */
function stylesOf({ style }: Pick<View, "style">): {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
} {
  if (style === "plain") return { bold: (text) => text, dim: (text) => text };
  return { bold: (text) => `\x1b[1m${text}\x1b[22m`, dim: (text) => `\x1b[2m${text}\x1b[22m` };
}

function headLines(status: StatusAnswer, view: View): string[] {
  const { bold, dim } = stylesOf(view);
  const { host, port } = status.tunnelAddress;
  const { loadedAtMs, problems } = status.config;
  const fit = (text: string) => shorten(text, view.width);
  const facts: (readonly [string, string])[] = [
    [
      "running",
      `mcptun ${inertText(status.version)}, ${inertText(status.runtime)}, process ${status.pid}`,
    ],
    ["up", `${span(view.nowMs - status.startedAtMs)}, since ${timeOf(status.startedAtMs)}`],
    ["public", inertText(status.url)],
    [
      "rifts",
      `${inertText(host)}:${port} (UDP)` +
      (status.dropped === 0 ? "" : `, ${count(status.dropped, "packet")} of strangers dropped`),
    ],
    [
      "clients",
      `${count(status.clientConnections, "connection")}, ${
        count(status.exchanges, "exchange")
      } in flight`,
    ],
    ["config", `loaded ${timeOf(loadedAtMs)}`],
    ...(status.audit === undefined ? [] : [["audit", auditText(status.audit)] as const]),
  ];
  const lines = [
    bold(fit(`edge ${inertText(status.edgeId)}`)),
    ...facts.map(([name, text]) => {
      const line = fit(`${name.padEnd(LABEL)}${text}`);
      return dim(line.slice(0, LABEL)) + line.slice(LABEL);
    }),
  ];
  if (status.audit?.problem !== undefined) {
    const { problem, blocks } = status.audit;
    const text = `${inertText(problem)}${blocks ? "; new exchanges are refused meanwhile" : ""}`;
    lines.push(
      ...wrapped(text, view.width - LABEL).map((line) => bold(`${" ".repeat(LABEL)}${line}`)),
    );
  }
  if (problems.length > 0) {
    const shown = problems.slice(0, MAX_PROBLEMS);
    lines.push(
      bold(
        fit(`${" ".repeat(LABEL)}a newer file was refused: ${count(problems.length, "problem")}`),
      ),
      ...shown.flatMap((problem) =>
        wrapped(inertText(problem), view.width - LABEL - 2).map((line, at) =>
          `${" ".repeat(at === 0 ? LABEL : LABEL + 2)}${line}`
        )
      ),
    );
    if (shown.length < problems.length) {
      lines.push(`${" ".repeat(LABEL)}… and ${problems.length - shown.length} more`);
    }
  }
  return lines;
}

function auditText({ file, records, lost }: AuditAnswer): string {
  if (file === undefined) return "exported only, no file";
  const text = `${inertText(file)}, ${count(records, "record")}`;
  return lost === 0 ? text : `${text}, ${lost} lost`;
}

/** What to look at when a tunnel has no rift although there is one. */
function waitingLines(tunnels: readonly TunnelAnswer[], view: View): string[] {
  const lines = tunnels.flatMap(({ name, waiting }) =>
    waiting.map((rift) =>
      `${inertText(name)}: rift ${inertText(rift)} is connected, its server does not answer yet`
    )
  );
  const shown = lines.slice(0, MAX_WAITING);
  if (shown.length < lines.length) shown.push(`… and ${lines.length - shown.length} more`);
  return shown.length === 0 ? [] : ["", ...shown.flatMap((line) => wrapped(line, view.width))];
}

function tunnelColumns(boundsMs: readonly number[]): Column<TunnelAnswer>[] {
  return [
    { title: "TUNNEL", cell: ({ name }) => inertText(name), minWidth: 10 },
    { title: "MODE", cell: ({ mode = "-" }) => inertText(mode), dispensable: 5 },
    { title: "AUTH", cell: ({ auth }) => inertText(auth), dispensable: 7 },
    {
      title: "RIFTS",
      cell: ({ rifts, waiting }) =>
        rifts.filter(({ healthy }) => healthy).map(({ name }) => inertText(name)).join(",") ||
        (waiting.length > 0 ? "waiting" : "none"),
      minWidth: 8,
    },
    number("IN FLIGHT", ({ exchanges }) => String(exchanges)),
    number("STREAMS", ({ eventStreams }) => String(eventStreams), 6),
    number("PER MIN", ({ startedLastMinute }) => String(startedLastMinute), 4),
    number("ERRORS", ({ outcomes }) => errorShare(outcomes)),
    number("P50", ({ latency }) => quantile(latency, boundsMs, 0.5), 3),
    number("P95", ({ latency }) => quantile(latency, boundsMs, 0.95)),
    { title: "URL", cell: ({ url }) => inertText(url), dispensable: 9, minWidth: 30 },
  ];
}

function riftColumns(nowMs: number): Column<RiftAnswer>[] {
  return [
    { title: "RIFT", cell: ({ name }) => inertText(name), minWidth: 10 },
    { title: "REMOTE", cell: ({ remote }) => inertText(remote), dispensable: 3, minWidth: 15 },
    {
      title: "SOFTWARE",
      cell: ({ software }) => inertText(software),
      dispensable: 5,
      minWidth: 10,
    },
    number("UP", ({ connectedAtMs }) => span(nowMs - connectedAtMs)),
    {
      title: "CREDENTIAL ENDS",
      cell: ({ expiresAtMs }) => expiresAtMs <= nowMs ? "ended" : `in ${span(expiresAtMs - nowMs)}`,
      align: "right",
    },
    number("IN FLIGHT", ({ exchanges }) => String(exchanges), 2),
    { title: "HEALTHY", cell: ({ healthy }) => healthy ? "yes" : "no" },
  ];
}

function number<Row>(
  title: string,
  cell: (row: Row) => string,
  dispensable?: number,
): Column<Row> {
  return { title, cell, align: "right", ...(dispensable === undefined ? {} : { dispensable }) };
}

/** A connection that carries several tunnels is one. */
function distinctRifts(rifts: readonly RiftAnswer[]): RiftAnswer[] {
  const found = new Map<string, RiftAnswer>();
  for (const rift of rifts) found.set(rift.connection, rift);
  return [...found.values()].sort((a, b) =>
    a.name === b.name ? a.connectedAtMs - b.connectedAtMs : a.name < b.name ? -1 : 1
  );
}

/** The share of exchanges that ended with a status from 500 on, whoever gave it. */
function errorShare(outcomes: Readonly<Record<string, number>>): string {
  let all = 0;
  let failed = 0;
  for (const [outcome, times] of Object.entries(outcomes)) {
    all += times;
    if (isFailure(outcome)) failed += times;
  }
  if (all === 0) return "-";
  const percent = failed / all * 100;
  if (percent > 0 && percent < 0.1) return "<0.1%";
  return percent < 10 && percent > 0 ? `${percent.toFixed(1)}%` : `${Math.round(percent)}%`;
}

function isFailure(outcome: string): boolean {
  if (outcome === "5xx") return true;
  const facts: Readonly<Record<string, ErrorFacts>> = ERROR_TABLE;
  const code = outcome.toUpperCase();
  return Object.hasOwn(facts, code) && (facts[code]!.http ?? 0) >= 500;
}

/** The bound of the bucket that holds the quantile: the true value is that or less. */
function quantile(
  { count: all, buckets }: TunnelAnswer["latency"],
  boundsMs: readonly number[],
  share: number,
): string {
  if (all === 0) return "-";
  let below = 0;
  for (const [at, boundMs] of boundsMs.entries()) {
    below += buckets[at] ?? 0;
    if (below >= all * share) return `≤${milliseconds(boundMs)}`;
  }
  return `>${milliseconds(boundsMs.at(-1) ?? 0)}`;
}

function milliseconds(ms: number): string {
  return ms < 1_000 ? `${ms}ms` : `${ms / 1_000}s`;
}

/** The two largest units: `3d 4h`, `5m 2s`. A clock that was set back gives 0. */
function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const units = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  const first = units.findIndex(([amount]) => amount > 0);
  if (first === -1) return "0s";
  return units.slice(first, first + 2).filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}${unit}`).join(" ");
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

const LABEL = 9;
const MAX_PROBLEMS = 5;
const MAX_WAITING = 5;
