import assert from "node:assert/strict";
import { test } from "node:test";

import { checkSecurityTests, testNames } from "../../../scripts/check_security_tests.ts";

const DOCUMENT = "docs/security-tests.md";
const SUITES = ["hostile_a", "hostile_b", "hostile_c", "http_smuggling", "udp_flood"];
const HEAD = "# Attacks\n\n| attack | what is expected | test |\n| --- | --- | --- |\n";

/** A document of 100 rows whose tests are all there, and what a case changes of it. */
function judged(change: (rows: string[], files: Map<string, string>) => void = () => {}): string[] {
  const files = new Map<string, string>();
  const rows: string[] = [];
  for (const suite of SUITES) {
    const names = Array.from({ length: 20 }, (_, index) => `${suite} is held off, way ${index}`);
    const tests = names.map((name) => `test("${name}", () => {});\n`);
    files.set(`tests/integration/${suite}_test.ts`, tests.join(""));
    rows.push(
      ...names.map((name) => `| ${name} | no | \`integration/${suite}_test.ts\`: ${name} |`),
    );
  }
  change(rows, files);
  if (rows.length > 0) files.set(DOCUMENT, `${HEAD}${rows.join("\n")}\n`);
  return checkSecurityTests(files);
}

test("checkSecurityTests() accepts rows and tests that belong together", () => {
  assert.deepEqual(judged(), []);
});

test("checkSecurityTests() finds rows without a test and tests without a row", () => {
  const path = "tests/integration/udp_flood_test.ts";
  const cases:
    readonly (readonly [RegExp, (rows: string[], files: Map<string, string>) => void])[] = [
      [/security-tests\.md: missing/, (rows) => rows.splice(0)],
      [/99 rows, at least 100/, (rows) => rows.pop()],
      [/"udp_flood is held off, way 19" has no row/, (rows) => rows.pop()],
      [/"tests\/unit\/gone_test\.ts" is no test file/, (rows) => {
        rows.push("| gone | no | `unit/gone_test.ts`: x |");
      }],
      [/udp_flood_test\.ts has no test "udp_flood is held off"/, (rows) => {
        rows.push(
          "| part of a name | no | `integration/udp_flood_test.ts`: udp_flood is held off |",
        );
      }],
      [/"a test in words" is not "`file`: test"/, (rows) => {
        rows.push("| words | no | a test in words |");
      }],
      [/2 cells, not 3/, (rows) => rows.push("| cells | no |")],
      [/a cell is empty/, (rows) => rows.push(rows[0]!.replace(/ no /, "  "))],
      [/has a row already/, (rows) => rows.push(rows[0]!)],
      [/no test was found in it/, (_rows, files) => files.set(path, "")],
      [/4 hostile suites, at least 5/, (_rows, files) => files.delete(path)],
    ];
  let ran = 0;
  for (const [expected, change] of cases) {
    assert.match(judged(change).join("\n"), expected);
    ran += 1;
  }
  assert.equal(ran, 11);
});

test("testNames() reads literals, templates and names out of a table", () => {
  const source = [
    'test("plain", () => {});',
    'test(\n  "on a line of its own",\n  options,\n);',
    'behavior("in a suite", () => {});',
    "test(`with ${one} inside`, () => {});",
    'const GROUPS = [{ text: "first" }, {\n  text:\n    "second \\"quoted\\"",\n}];',
    "test(text, { timeout: 1 }, () => {});",
    '/x/.test("no test");',
  ];

  assert.deepEqual([...testNames(source.join("\n"))].sort(), [
    "first",
    "in a suite",
    "on a line of its own",
    "plain",
    'second "quoted"',
    "with ${one} inside",
  ]);
});
