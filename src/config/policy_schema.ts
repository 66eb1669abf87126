/**
 * The tables of a policy file: `[[policy]]` and `[[test]]`, from TOML to typed values.
 *
 * By hand and not by a schema: a file may have hundreds of thousands of patterns, and a reload must
 * not hold the edge up.
 *
 * @module
 */

import {
  MAX_LIST_PATTERNS,
  MAX_POLICIES,
  MAX_POLICY_TESTS,
  POLICY_STEP_PATTERNS,
} from "../limits.ts";
import { type PatternLanguage, patternProblem } from "../policy/pattern_problem.ts";
import { kindOfList, RULE_LISTS, type RuleListName } from "../policy/rule.ts";
import { type Target, TARGET_KINDS } from "../policy/target.ts";
import type { PolicyEntry } from "../policy/user_layer.ts";
import type { Steps } from "../steps.ts";
import type { KeyPath } from "./key_locator.ts";
import { nearest } from "./nearest.ts";
import type { PieceReader, PolicyListName } from "./policy_toml.ts";
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

/** Checks names, forms and patterns of a parsed policy file, whole or piece by piece. */
export class PolicyTablesReader implements PieceReader {
  readonly #counts = { policy: 0, test: 0 };
  readonly #entries: PolicyEntry[] = [];
  readonly #tests: PolicyTest[] = [];
  /** What is wrong with the names and forms of the lists. */
  readonly #problems: Problem[] = [];
  readonly #tableProblems: Record<PolicyListName, Problem[]> = { policy: [], test: [] };

  get counts(): Readonly<Record<PolicyListName, number>> {
    return this.#counts;
  }

  *readSteps(written: Table): Steps<void> {
    const known = ["policy", "test"];
    checkNames({ table: written, known, path: [], noun: "table", problems: this.#problems });
    for (const table of tables(written, "policy", this.#problems)) {
      const index = this.#counts.policy++;
      // One too many and all of them are refused: no need to look at the others.
      if (index >= MAX_POLICIES) continue;
      const problems = this.#tableProblems.policy;
      const { entry, lists } = entryOf(table, ["policy", index], problems);
      this.#entries.push(entry);
      for (const list of lists) {
        yield* patternSteps(list, problems);
        yield;
      }
    }
    for (const table of tables(written, "test", this.#problems)) {
      const index = this.#counts.test++;
      if (index >= MAX_POLICY_TESTS) continue;
      const found = testOf(table, ["test", index], this.#tableProblems.test);
      if (found !== undefined) this.#tests.push(found);
      yield;
    }
  }

  /** Once everything is read. */
  end(): PolicyTables {
    const problems = [...this.#problems];
    const within = { policy: MAX_POLICIES, test: MAX_POLICY_TESTS };
    for (const name of ["policy", "test"] as const) {
      const [count, max] = [this.#counts[name], within[name]];
      if (count <= max) continue;
      problems.push({ path: [name, max], text: `${count} tables (at most ${max})` });
      // Those of the tables that were looked at, before there were too many.
      this.#tableProblems[name] = [];
    }
    if (this.#counts.policy === 0 && problems.length === 0) {
      problems.push({
        path: [],
        text: "there is no policy, so everybody is denied (add a [[policy]] table with users and " +
          "allow_tools)",
      });
    }
    const { policy, test } = this.#tableProblems;
    return {
      entries: this.#entries,
      tests: this.#tests,
      problems: [...problems, ...policy, ...test],
    };
  }
}

const ENTRY_KEYS = ["users", "groups", "tunnels", ...RULE_LISTS];
const TEST_KEYS = ["user", "groups", "tunnel", ...TARGET_KINDS, "expect"];

type Table = Readonly<Record<string, unknown>>;

/** A list whose patterns are still to be checked. */
interface PatternList {
  readonly path: KeyPath;
  readonly items: readonly unknown[];
  readonly language: PatternLanguage;
}

function entryOf(
  table: Table,
  path: KeyPath,
  problems: Problem[],
): { readonly entry: PolicyEntry; readonly lists: readonly PatternList[] } {
  checkNames({ table, known: ENTRY_KEYS, path, noun: "key", problems });
  const found: PatternList[] = [];
  const list = (name: string, language: PatternLanguage) =>
    listOf({ table, name, language, path, problems, found });
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
  const entry = {
    users: users ?? [],
    groups: groups ?? [],
    ...(tunnels === undefined ? {} : { tunnels }),
    lists,
  };
  return { entry, lists: found };
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

function listOf({ table, name, language, path, problems, found }: {
  readonly table: Table;
  readonly name: string;
  readonly language: PatternLanguage;
  readonly path: KeyPath;
  readonly problems: Problem[];
  /** Gets the list. */
  readonly found: PatternList[];
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
  // A copy has no room to grow, which is half of the parser's list; the parser's is soon forgotten.
  const items: unknown[] = value.slice();
  found.push({ path: [...path, name], items, language });
  // Proof of the cast: a list with anything else gets a problem, and then nothing is compiled.
  return items as readonly string[];
}

function* patternSteps({ path, items, language }: PatternList, problems: Problem[]): Steps<void> {
  for (let index = 0; index < items.length; index++) {
    if (index % POLICY_STEP_PATTERNS === POLICY_STEP_PATTERNS - 1) yield;
    const item = items[index];
    if (typeof item !== "string") {
      problems.push({ path: [...path, index], text: `${describe(item)} is not a string` });
      continue;
    }
    // Asked first, because nearly all are fine, and there may be very many.
    if (patternProblem(item, language) === undefined) continue;
    const parsed = parsePattern(item, language);
    if ("problem" in parsed) problems.push({ path: [...path, index], text: parsed.problem });
  }
}

function tables(written: Table, name: PolicyListName, problems: Problem[]): readonly Table[] {
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
  return value;
}

/** Tables of the other file. */
const OF_CONFIGURATION: ReadonlySet<string> = new Set([
  "edge",
  "tunnel",
  "auth",
  "audit",
  "admin",
  "rift",
  "log",
]);

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
    const hint = noun === "table" && OF_CONFIGURATION.has(name)
      ? "it belongs to mcptun.toml, which --config names; this is read as a policy file"
      : suggestion === undefined
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
