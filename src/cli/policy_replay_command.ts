/** `mcptun policy replay`: what a policy file would change about the calls that were made. @module */

import { PolicyReplay, type ReplayChange } from "../audit/policy_replay.ts";
import { readTrail } from "../audit/read_trail.ts";
import { readWanted } from "../audit/record_filter.ts";
import { type Clock, systemClock } from "../clock.ts";
import { loadPolicy } from "../config/policy_file.ts";
import { TunnelError } from "../errors.ts";
import { filterOf, sinceOrDay } from "./audit_filter.ts";
import { auditFile, AuditNotes, type AuditSourceOptions } from "./audit_source.ts";
import { type Column, fitTable, inertText, wrapped } from "./fitted_table.ts";
import type { Io } from "./io.ts";
import { loadFor } from "./key_option.ts";
import { outputWidth, writeOut } from "./line_output.ts";
import { layersFor } from "./policy_command.ts";
import { timeOf } from "./report.ts";

/** What `policy replay` is told. */
export interface PolicyReplayOptions extends AuditSourceOptions {
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly json?: true | undefined;
}

/**
 * Prints the decisions that would change.
 *
 * @returns The exit code: 0 none would change, 1 some would.
 * @throws {TunnelError} With exit code 2: `CONFIG_INVALID`, `AUDIT_UNREADABLE`, `USAGE`
 */
export async function runPolicyReplay(
  io: Io,
  file: string,
  options: PolicyReplayOptions,
  clock: Clock = systemClock,
): Promise<0 | 1> {
  const { until } = options;
  const nowMs = clock.wallNow();
  const { filter } = filterOf({ since: sinceOrDay(options, nowMs), until }, nowMs);
  const loaded = await loadPolicy({ file, cwd: io.cwd });
  // A trail that is named needs no configuration; one that is there is not read by surprise.
  const isAlone = options.file !== undefined && options.config === undefined;
  const found = isAlone ? undefined : loadFor(io, options.config, []);
  const path = auditFile(io, options, found);
  const config = found?.file === undefined ? undefined : found;
  const notes = new AuditNotes(io);
  const replay = new PolicyReplay({
    layersOf: (tunnel) => {
      const layers = layersFor({ tunnel, loaded, config });
      return typeof layers === "string" ? undefined : layers;
    },
    replaces: new Set(config === undefined ? ["user"] : ["tunnel", "user"]),
  });
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
      if (typeof record === "string") notes.count(record);
      else if (record.type === "exchange" && filter.matches(record)) replay.add(record);
    }
  }
  if (io.signal.aborted) {
    // Half an answer must not pass for "nothing would change".
    throw new TunnelError("AUDIT_UNREADABLE", "Interrupted before the end of the audit trail");
  }
  notes.flush();
  const layers = config === undefined ? "user" : "tunnel and user";
  const text = options.json === true
    ? `${JSON.stringify(jsonOf(replay, { file, layers }))}\n`
    : textOf(replay, { file, layers, trail: path, width: outputWidth(io) })
      .map((line) => `${line}\n`).join("");
  await writeOut(io, text);
  return replay.changed === 0 ? 0 : 1;
}

interface Facts {
  readonly file: string;
  /** Which layers were judged. */
  readonly layers: "user" | "tunnel and user";
}

function textOf(
  replay: PolicyReplay,
  { file, layers, trail, width }: Facts & { readonly trail: string; readonly width: number },
): string[] {
  const { judged, changed, skipped, changes, otherChanges } = replay;
  const lines = judged > 0
    ? [`${changed} of ${judged} recorded decisions would change with ${inertText(file)}`]
    : emptyText(replay, trail).flatMap((text) => wrapped(text, width));
  if (changes.length > 0) lines.push("", ...tableLines(changes, width));
  if (otherChanges > 0) lines.push(`and ${otherChanges} more, of further users or targets`);
  const left = [
    // Without anything that was judged, it is the first thing said.
    [judged === 0 ? 0 : skipped.undecided, UNDECIDED_TEXT],
    [skipped.tunnel, "of tunnels that are not aware in the configuration"],
    [skipped.cut, "whose record does not hold the whole name, or all groups or messages"],
  ] as const;
  const skips = left.filter(([count]) => count > 0)
    .map(([count, what]) => `Not judged: ${count} ${what}`);
  if (layers === "user") {
    skips.push(
      "Only the user layer is judged: the tunnels' own rules are in the configuration " +
        "(add --config mcptun.toml)",
    );
  }
  if (skips.length > 0) lines.push("", ...skips.flatMap((text) => wrapped(text, width)));
  return lines;
}

/** Nothing was judged: that is no sign that the policy changes nothing. */
function emptyText({ skipped }: PolicyReplay, trail: string): string[] {
  const { undecided, tunnel, cut } = skipped;
  const shown = `"${inertText(trail)}"`;
  if (undecided + tunnel + cut === 0) {
    return [
      `Nothing was judged: no record in ${shown} is of the time that was asked for`,
      "Look at --since and --until, and whether this is the file that the edge writes (audit.file; " +
      "--file names another)",
    ];
  }
  const why = undecided === 0 ? [] : [
    `${undecided} have none: they are of tunnels that are not aware (mode = "aware"), or were ` +
    "refused before it",
  ];
  return [`Nothing was judged: no record in ${shown} has a decision that can be asked for`, ...why];
}

const UNDECIDED_TEXT = 'without a decision: of tunnels that are not aware (mode = "aware"), or ' +
  "refused before it";

/**
 * The table with the whole reason; else with its word and not what that means; else with the reason
 * below each row: it is what people ask for, and is never cut.
 */
function tableLines(changes: readonly ReplayChange[], width: number): string[] {
  for (const reasonOf of [wholeReason, shortReason]) {
    const { head, rows, leftOut } = fitTable(columnsOf(reasonOf), changes, width);
    const fits = [head, ...rows].every((line) => line.length <= width);
    // What a reason means is worth a column less, and not two.
    if (fits && (reasonOf === shortReason || leftOut.length <= 1)) return [head, ...rows];
  }
  const { head, rows } = fitTable(NARROW_COLUMNS, changes, width);
  const room = Math.max(1, width - INDENT.length);
  return [
    head,
    ...rows.flatMap((row, at) => [
      row,
      ...wrapped(`because ${wholeReason(changes[at]!)}`, room).map((line) => `${INDENT}${line}`),
    ]),
  ];
}

const INDENT = "  ";

function wholeReason({ because }: ReplayChange): string {
  return inertText(because);
}

/** Without what its word means, in parentheses; the place of a rule stays. */
function shortReason({ because }: ReplayChange): string {
  return inertText(because.replace(/^(\w+: \w+|\w+) \(.*\)$/s, "$1"));
}

function columnsOf(reasonOf: (change: ReplayChange) => string): readonly Column<ReplayChange>[] {
  return COLUMNS.map((column) =>
    column.title === "BECAUSE" ? { ...column, cell: reasonOf } : column
  );
}

const COLUMNS: readonly Column<ReplayChange>[] = [
  { title: "WOULD BE", cell: ({ to }) => to === "deny" ? "DENIED" : "allowed" },
  { title: "CALLS", cell: ({ count }) => String(count), align: "right" },
  { title: "USER", cell: ({ user }) => inertText(user) },
  { title: "TUNNEL", cell: ({ tunnel }) => inertText(tunnel) },
  { title: "TARGET", cell: ({ kind, name }) => inertText(`${kind} ${name}`) },
  { title: "FIRST", cell: ({ firstMs }) => timeOf(firstMs), dispensable: 2 },
  { title: "LAST", cell: ({ lastMs }) => timeOf(lastMs), dispensable: 1 },
  { title: "BECAUSE", cell: wholeReason },
  { title: "WAS", cell: ({ was }) => inertText(was), dispensable: 3 },
];
/** The reasons stand below, and names may be shortened. */
const NARROW_COLUMNS = COLUMNS.filter(({ title }) => title !== "BECAUSE" && title !== "WAS")
  .map((column) => {
    const minWidth = column.title === "TARGET" ? 14 : 6;
    return ["USER", "TUNNEL", "TARGET"].includes(column.title) ? { ...column, minWidth } : column;
  });

function jsonOf(replay: PolicyReplay, { file, layers }: Facts): unknown {
  const { judged, changed, skipped, otherChanges } = replay;
  return {
    file,
    layers: layers === "user" ? ["user"] : ["tunnel", "user"],
    judged,
    changed,
    skipped,
    changes: replay.changes.map(({ firstMs, lastMs, ...change }) => ({
      ...change,
      first: new Date(firstMs).toISOString(),
      last: new Date(lastMs).toISOString(),
    })),
    other_changes: otherChanges,
  };
}
