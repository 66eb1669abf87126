/**
 * Which records somebody asks for.
 *
 * A filter by a name, a decision or a target also looks at the other messages of a batch: whoever
 * asks for a tool means each call of it.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

import { compileMatcher, Text } from "../policy/pattern.ts";
import { callsOf, readRecord, type SeenCall, type SeenRecord, timeAtStart } from "./read_record.ts";
import type { Where } from "./where.ts";

/** What is asked for; absent means everything. Patterns must have passed `patternProblem` as subjects. */
export interface FilterOptions {
  /** Began at this moment or later, and before that one, ms since 1970. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  readonly tunnel?: string | undefined;
  readonly user?: string | undefined;
  readonly tool?: string | undefined;
  readonly resource?: string | undefined;
  readonly decision?: string | undefined;
  readonly results?: readonly string[] | undefined;
  readonly where?: Where | undefined;
}

/** A filter, ready to be asked. */
export interface RecordFilter {
  /** Does it ask for anything but a time? Lines about the trail itself are then not meant. */
  readonly isSelective: boolean;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Can a look at the start of the line tell that it is out of time? */
  isOutOfTime(line: Buffer): boolean;
  matches(record: SeenRecord): boolean;
}

/** Compiles a filter. */
export function compileFilter(options: FilterOptions): RecordFilter {
  const { sinceMs = -Infinity, untilMs = Infinity } = options;
  const tests = testsOf(options);
  const isTimed = sinceMs !== -Infinity || untilMs !== Infinity;
  return {
    isSelective: tests.length > 0,
    sinceMs,
    untilMs,
    isOutOfTime(line) {
      if (!isTimed) return false;
      const time = timeAtStart(line);
      return time !== undefined && (time < sinceMs || time >= untilMs);
    },
    matches(record) {
      const { time } = record;
      if (isTimed && (time === undefined || time < sinceMs || time >= untilMs)) return false;
      return tests.every((test) => test(record));
    },
  };
}

/** Reads a line if the filter can want it. */
export function readWanted(
  line: Buffer,
  filter: RecordFilter,
): SeenRecord | "not_wanted" | "no_record" | "newer" {
  if (filter.isOutOfTime(line)) return "not_wanted";
  return readRecord(line);
}

type Test = (record: SeenRecord) => boolean;

function testsOf(options: FilterOptions): Test[] {
  const { tunnel, user, tool, resource, decision, results, where } = options;
  const tests: Test[] = [];
  if (tunnel !== undefined) {
    const matches = globOf(tunnel);
    tests.push((record) => record.tunnel !== undefined && matches(record.tunnel));
  }
  if (user !== undefined) {
    const matches = globOf(user);
    tests.push((record) => record.user !== undefined && matches(record.user));
  }
  for (const [kind, pattern] of [["tool", tool], ["resource", resource]] as const) {
    if (pattern === undefined) continue;
    const matches = globOf(pattern);
    tests.push(
      anyCall((call) => call.kind === kind && call.name !== undefined && matches(call.name)),
    );
  }
  if (decision !== undefined) tests.push(anyCall((call) => call.decision === decision));
  if (results !== undefined) {
    const wanted = new Set(results);
    tests.push(({ result }) => result !== undefined && wanted.has(result));
  }
  if (where !== undefined) tests.push(where.test);
  return tests;
}

function anyCall(test: (call: SeenCall) => boolean): Test {
  return (record) => callsOf(record).some(test);
}

/** Takes time in proportion to the pattern and the name. */
function globOf(pattern: string): (name: string) => boolean {
  const options = { language: "subject", reading: "allow", form: "written" } as const;
  const matches = compileMatcher(pattern, options);
  return (name) => matches(new Text(name));
}
