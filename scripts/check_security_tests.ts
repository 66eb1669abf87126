/** Every attack of docs/security-tests.md has a test that is there, and hostile suites have no other. @module */

import type { FileTexts } from "./check_imports.ts";

const DOCUMENT = "docs/security-tests.md";
/** Fewer rows are a table that was cut off, not one that was shortened. */
const MIN_ROWS = 100;
/** Suites whose tests are attacks: each of them has its row. */
const HOSTILE = /^tests\/\w+\/(hostile_\w+|http_smuggling|udp_flood)_test\.ts$/;
const MIN_HOSTILE_SUITES = 5;
/** Functions of ours that declare a test with the name they are given. */
const DECLARES =
  /^\s*(?:test|behavior|isolated)\(\s*("(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|\w+(?=,))/gm;

/** One test that a row names. */
interface Named {
  readonly line: number;
  readonly path: string;
  readonly name: string;
}

/** Rows without a test, tests that are not there, and hostile tests without a row. */
export function checkSecurityTests(files: FileTexts): string[] {
  const text = files.get(DOCUMENT);
  if (text === undefined) return [`${DOCUMENT}: missing`];
  const { rows, named, problems } = readTables(text);
  if (rows < MIN_ROWS) problems.push(`${DOCUMENT}: ${rows} rows, at least ${MIN_ROWS}`);

  const found = new Map<string, ReadonlySet<string>>();
  for (const { line, path, name } of named) {
    const source = files.get(path);
    if (source === undefined || !/_(test|suite)\.ts$/.test(path)) {
      problems.push(`${DOCUMENT}:${line}: "${path}" is no test file`);
      continue;
    }
    if (!found.has(path)) found.set(path, testNames(source));
    if (found.get(path)?.has(name) !== true) {
      problems.push(`${DOCUMENT}:${line}: ${path} has no test "${name}"`);
    }
  }

  const listed = new Set(named.map(({ path, name }) => `${path}: ${name}`));
  const suites = [...files].filter(([path]) => HOSTILE.test(path));
  if (suites.length < MIN_HOSTILE_SUITES) {
    problems.push(`tests: ${suites.length} hostile suites, at least ${MIN_HOSTILE_SUITES}`);
  }
  for (const [path, source] of suites) {
    const names = testNames(source);
    if (names.size === 0) problems.push(`${path}: no test was found in it`);
    for (const name of names) {
      if (!listed.has(`${path}: ${name}`)) {
        problems.push(`${path}: "${name}" has no row in ${DOCUMENT}`);
      }
    }
  }
  return problems;
}

/**
 * The names of the tests that a file declares: literals as they stand, templates with their
 * placeholders, and for a name out of a table every text the table has under it.
 */
export function testNames(source: string): Set<string> {
  const names = new Set<string>();
  for (const [, argument = ""] of source.matchAll(DECLARES)) {
    if (/^["`]/.test(argument)) {
      names.add(valueOf(argument));
      continue;
    }
    const entries = new RegExp(`\\b${argument}:\\s*("(?:[^"\\\\\\n]|\\\\.)*")`, "g");
    for (const [, literal = ""] of source.matchAll(entries)) names.add(valueOf(literal));
  }
  return names;
}

function valueOf(literal: string): string {
  if (literal.startsWith("`")) return literal.slice(1, -1);
  const value: unknown = JSON.parse(literal);
  return String(value);
}

/** Reads `| attack | what is expected | tests |`; the tests are "`path`: name", with <br> between. */
function readTables(text: string): {
  readonly rows: number;
  readonly named: readonly Named[];
  readonly problems: string[];
} {
  const named: Named[] = [];
  const problems: string[] = [];
  const attacks = new Set<string>();
  let rows = 0;
  for (const [index, line] of text.split("\n").entries()) {
    if (!line.startsWith("|")) continue;
    const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
    const [attack = "", expected = "", tests = ""] = cells;
    if (tests === "test" || /^[-: ]+$/.test(attack)) continue;
    rows += 1;
    const where = `${DOCUMENT}:${index + 1}`;
    if (cells.length !== 3) problems.push(`${where}: ${cells.length} cells, not 3`);
    if (attack === "" || expected === "") problems.push(`${where}: a cell is empty`);
    if (attacks.has(attack)) problems.push(`${where}: "${attack}" has a row already`);
    attacks.add(attack);
    for (const test of tests.split("<br>")) {
      const match = /^`([\w/.]+)`: (.+)$/.exec(test.trim());
      if (match === null) problems.push(`${where}: "${test.trim()}" is not "\`file\`: test"`);
      else named.push({ line: index + 1, path: `tests/${match[1]}`, name: match[2] ?? "" });
    }
  }
  return { rows, named, problems };
}
