/** The flags that choose records, the same for every command that reads the trail. @module */

import { RECORD_WORDS } from "../audit/record.ts";
import { compileFilter, type RecordFilter } from "../audit/record_filter.ts";
import { parseWhere, type Where } from "../audit/where.ts";
import { nearest } from "../config/nearest.ts";
import { TunnelError } from "../errors.ts";
import { patternProblem } from "../policy/pattern_problem.ts";
import { momentOption, readMoment } from "./time_option.ts";

/** As they are typed. */
export interface FilterFlags {
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly tunnel?: string | undefined;
  readonly user?: string | undefined;
  readonly tool?: string | undefined;
  readonly resource?: string | undefined;
  readonly decision?: string | undefined;
  readonly result?: string | undefined;
  readonly where?: string | undefined;
}

/** A filter, and the condition in it. */
export interface FlagFilter {
  readonly filter: RecordFilter;
  readonly where: Where | undefined;
}

/** `--since` of commands that look at one day when it is not given: the day before `--until`, or now. */
export function sinceOrDay(
  { since, until }: Pick<FilterFlags, "since" | "until">,
  nowMs: number,
): string {
  if (since !== undefined) return since;
  const endMs = until === undefined ? nowMs : momentOption("--until", until, nowMs);
  return new Date(endMs - DAY_MS).toISOString();
}

/** Reads the flags. @throws {TunnelError} `USAGE` */
export function filterOf(flags: FilterFlags, nowMs: number): FlagFilter {
  const { since, until, tunnel, user, tool, resource, decision, result } = flags;
  for (const name of ["tunnel", "user", "tool", "resource"] as const) {
    const pattern = flags[name];
    const problem = pattern === undefined ? undefined : patternProblem(pattern, "subject");
    if (problem !== undefined) throw usage(`--${name}: ${JSON.stringify(pattern)}: ${problem}`);
  }
  if (decision !== undefined) oneOf("--decision", decision, RECORD_WORDS.decision);
  const results = result?.split(",").map((word) => word.trim());
  for (const word of results ?? []) oneOf("--result", word, RECORD_WORDS.result);
  const sinceMs = since === undefined ? undefined : momentOption("--since", since, nowMs);
  const untilMs = until === undefined ? undefined : momentOption("--until", until, nowMs);
  if (sinceMs !== undefined && untilMs !== undefined && untilMs <= sinceMs) {
    throw usage("--until is not after --since");
  }
  const where = whereOf(flags.where, nowMs);
  const filter = compileFilter({
    sinceMs,
    untilMs,
    tunnel,
    user,
    tool,
    resource,
    decision,
    results,
    where,
  });
  return { filter, where };
}

const DAY_MS = 86_400_000;

function whereOf(expression: string | undefined, nowMs: number): Where | undefined {
  if (expression === undefined) return undefined;
  const where = parseWhere(expression, { instant: (text) => readMoment(text, nowMs), nearest });
  if ("test" in where) return where;
  throw usage(`--where: column ${where.column}: ${where.problem}`);
}

function oneOf(flag: string, word: string, known: readonly string[]): void {
  if (known.includes(word)) return;
  const near = nearest(word, known);
  const hint = near === undefined ? known.join(", ") : `did you mean "${near}"?`;
  throw usage(`${flag}: ${JSON.stringify(word)} is not known (${hint})`);
}

function usage(message: string): TunnelError {
  return new TunnelError("USAGE", message);
}
