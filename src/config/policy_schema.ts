/**
 * The tables of a policy file: `[[policy]]` and `[[test]]`, from TOML to typed values.
 *
 * By hand and not by a schema: a file may have hundreds of thousands of patterns, and a reload must
 * not hold the edge up.
 *
 * @module
 */

import { MAX_LIST_PATTERNS, MAX_POLICIES, MAX_POLICY_TESTS } from "../limits.ts";
import { type PatternLanguage, patternProblem } from "../policy/pattern_problem.ts";
import { kindOfList, RULE_LISTS, type RuleListName } from "../policy/rule.ts";
import { type Target, TARGET_KINDS } from "../policy/target.ts";
import type { PolicyEntry } from "../policy/user_layer.ts";
import type { KeyPath } from "./key_locator.ts";
import { nearest } from "./nearest.ts";
import type { Problem } from "./rules.ts";
import { parseName, parsePattern, quote } from "./value.ts";

/** One `[[test]]`. */
export interface PolicyTest {
  readonly user: string;
  readonly groups: readonly string[];
  readonly tunnel: string;
  readonly target: Target;
  readonly expect: "allow" | "deny";
}

/** The tables of one file, as far as they could be read, and everything that is wrong. */
export interface PolicyTables {
  readonly entries: readonly PolicyEntry[];
  readonly tests: readonly PolicyTest[];
  readonly problems: readonly Problem[];
}

/** Checks names, forms and patterns of a parsed policy file. */
export function readPolicyTables(written: Readonly<Record<string, unknown>>): PolicyTables {
  const problems: Problem[] = [];
  checkNames({ table: written, known: ["policy", "test"], path: [], noun: "table", problems });
  const policies = tables({ written, name: "policy", max: MAX_POLICIES, problems });
  const tests = tables({ written, name: "test", max: MAX_POLICY_TESTS, problems });
  if (policies.length === 0 && problems.length === 0) {
    problems.push({
      path: [],
      text: "there is no policy, so everybody is denied (add a [[policy]] table with users and " +
        "allow_tools)",
    });
  }
  return {
    entries: policies.map((table, index) => entryOf(table, ["policy", index], problems)),
    tests: tests.flatMap((table, index) => testOf(table, ["test", index], problems) ?? []),
    problems,
  };
}

const ENTRY_KEYS = ["users", "groups", "tunnels", ...RULE_LISTS];
const TEST_KEYS = ["user", "groups", "tunnel", ...TARGET_KINDS, "expect"];

type Table = Readonly<Record<string, unknown>>;

function entryOf(table: Table, path: KeyPath, problems: Problem[]): PolicyEntry {
  checkNames({ table, known: ENTRY_KEYS, path, noun: "key", problems });
  const list = (name: string, language: PatternLanguage) =>
    patternsOf({ table, name, language, path, problems });
  const users = list("users", "subject");
  const groups = list("groups", "subject");
  const tunnels = list("tunnels", "tunnel");
  if (users === undefined && groups === undefined) {
    problems.push({
      path,
      text: 'names nobody (add users or groups; users = ["*"] is everybody)',
    });
  }
  const lists: Partial<Record<RuleListName, readonly string[]>> = {};
  for (const name of RULE_LISTS) {
    const patterns = list(name, kindOfList(name) === "resource" ? "uri" : "name");
    if (patterns !== undefined) lists[name] = patterns;
  }
  return {
    users: users ?? [],
    groups: groups ?? [],
    ...(tunnels === undefined ? {} : { tunnels }),
    lists,
  };
}

function testOf(table: Table, path: KeyPath, problems: Problem[]): PolicyTest | undefined {
  const before = problems.length;
  checkNames({ table, known: TEST_KEYS, path, noun: "key", problems });
  const text = (name: string, example: string) => {
    const value = own(table, name);
    if (typeof value === "string" && value !== "") return value;
    const problem = value === undefined ? "missing" : `${describe(value)} is not a text`;
    problems.push({ path: [...path, name], text: `${problem} (such as ${name} = "${example}")` });
    return "";
  };
  const user = text("user", "alice");
  const tunnel = text("tunnel", "code-server");
  const named = tunnel === "" ? { value: "" } : parseName(tunnel);
  if ("problem" in named) problems.push({ path: [...path, "tunnel"], text: named.problem });
  const groups = own(table, "groups") ?? [];
  if (!isTexts(groups)) {
    const text = `${describe(groups)} is not a list of names (such as groups = ["frontend"])`;
    problems.push({ path: [...path, "groups"], text });
  }
  const kinds = TARGET_KINDS.filter((kind) => own(table, kind) !== undefined);
  const kind = kinds[0];
  if (kind === undefined || kinds.length > 1) {
    const text = kind === undefined ? "names nothing to judge" : `names ${kinds.join(" and ")}`;
    problems.push({ path, text: `${text} (give one of tool, resource, prompt, method)` });
  }
  const name = kind === undefined ? "" : text(kind, EXAMPLES[kind]);
  const expect = text("expect", "deny");
  if (expect !== "" && expect !== "allow" && expect !== "deny") {
    problems.push({
      path: [...path, "expect"],
      text: `${quote(expect)} is not "allow" or "deny"`,
    });
  }
  if (problems.length > before || kind === undefined || !isTexts(groups)) return undefined;
  return { user, groups, tunnel, target: { kind, name }, expect: expect as "allow" | "deny" };
}

const EXAMPLES = {
  tool: "read_file",
  resource: "file:///repo/README.md",
  prompt: "review",
  method: "logging/setLevel",
} as const;

function patternsOf({ table, name, language, path, problems }: {
  readonly table: Table;
  readonly name: string;
  readonly language: PatternLanguage;
  readonly path: KeyPath;
  readonly problems: Problem[];
}): readonly string[] | undefined {
  const value = own(table, name);
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) {
    const text = `${describe(value)} is not a list of patterns (write ${name} = ["…"])`;
    problems.push({ path: [...path, name], text });
    return [];
  }
  if (value.length > MAX_LIST_PATTERNS) {
    const text = `${value.length} patterns in one list (at most ${MAX_LIST_PATTERNS})`;
    problems.push({ path: [...path, name], text });
    return [];
  }
  for (let index = 0; index < value.length; index++) {
    const item: unknown = value[index];
    if (typeof item !== "string") {
      problems.push({ path: [...path, name, index], text: `${describe(item)} is not a string` });
      continue;
    }
    // Asked first, because nearly all are fine, and there may be very many.
    if (patternProblem(item, language) === undefined) continue;
    const parsed = parsePattern(item, language);
    if ("problem" in parsed) {
      problems.push({ path: [...path, name, index], text: parsed.problem });
    }
  }
  // Proof of the cast: a list with anything else has a problem, and then nothing is compiled.
  return value as readonly string[];
}

function tables({ written, name, max, problems }: {
  readonly written: Table;
  readonly name: string;
  readonly max: number;
  readonly problems: Problem[];
}): readonly Table[] {
  const value = own(written, name);
  if (value === undefined) return [];
  if (!Array.isArray(value) || !value.every(isTable)) {
    const problem = Array.isArray(value)
      ? "not every entry is a table"
      : `${describe(value)} is not a list of tables`;
    const text = `${problem} (write [[${name}]] for each)`;
    problems.push({ path: [name], text });
    return [];
  }
  if (value.length > max) {
    problems.push({ path: [name, max], text: `${value.length} tables (at most ${max})` });
    return [];
  }
  return value;
}

function checkNames({ table, known, path, noun, problems }: {
  readonly table: Table;
  readonly known: readonly string[];
  readonly path: KeyPath;
  readonly noun: "table" | "key";
  readonly problems: Problem[];
}): void {
  for (const name of Object.keys(table)) {
    if (known.includes(name)) continue;
    const suggestion = nearest(name, known);
    const hint = suggestion === undefined
      ? `known here: ${known.join(", ")}`
      : `did you mean "${suggestion}"?`;
    problems.push({ path: [...path, name], text: `unknown ${noun} (${hint})` });
  }
}

/** Names such as `constructor` are inherited by every table. */
function own(table: Table, name: string): unknown {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Date);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");
}

function describe(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object" && value !== null) return "a table";
  return String(value);
}
