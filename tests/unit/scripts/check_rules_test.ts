import assert from "node:assert/strict";
import { test } from "node:test";

import { checkDocs } from "../../../scripts/check_docs.ts";
import { checkSizes } from "../../../scripts/check_sizes.ts";
import { checkTests } from "../../../scripts/check_tests.ts";

const DOCS: readonly (readonly [string, string])[] = [
  ["README.md", "# mcptun\n\nSee [the errors](docs/errors.md#when-a-rift-fails).\n"],
  ["CHANGELOG.md", "# Changes\n"],
  ["SECURITY.md", "# Security\n"],
  ["CONTRIBUTING.md", "# Contributing\n"],
  ["LICENSE", "MIT\n"],
  ["docs/README.md", "[the code](../src/)\n"],
  ["docs/architecture.md", "# Architecture\n"],
  ["docs/errors.md", "# Errors\n\n## When a rift fails\n"],
  ["docs/decisions/README.md", "- [1](0001-quic.md)\n"],
  ["docs/decisions/0001-quic.md", "# QUIC\n"],
];

function docsWith(...changes: readonly (readonly [string, string])[]): string[] {
  return checkDocs(new Map([...DOCS, ...changes]), (path) => path === "src");
}

test("checkDocs() accepts links that lead somewhere", () => {
  assert.deepEqual(docsWith(), []);
  assert.deepEqual(docsWith(["docs/a.md", "```\n[x](nowhere.md)\n```\n`[y](nowhere.md)`\n"]), []);
});

test("checkDocs() names links that lead nowhere, to a file or to a heading", () => {
  assert.deepEqual(docsWith(["docs/a.md", "\n[x](nowhere.md)\n"]), [
    'docs/a.md:2: "nowhere.md" leads nowhere',
  ]);
  assert.deepEqual(docsWith(["docs/a.md", "[x](errors.md#missing)\n"]), [
    'docs/a.md:1: "errors.md#missing": no such heading',
  ]);
});

test("checkDocs() refuses a long README, a missing document and a decision outside of the index", () => {
  assert.match(docsWith(["README.md", "line\n".repeat(201)]).join(), /201 lines, at most 200/);
  assert.deepEqual(
    checkDocs(new Map(DOCS.filter(([path]) => path !== "SECURITY.md")), () => true),
    ["SECURITY.md: missing"],
  );
  assert.match(docsWith(["docs/decisions/0002-b.md", ""]).join(), /0002-b\.md: not in/);
  assert.match(docsWith(["docs/decisions/second.md", ""]).join(), /name it NNNN-title\.md/);
  const [first] = docsWith(["docs/decisions/0001-b.md", ""]);
  assert.match(first ?? "", /the number is taken by/);
});

test("checkSizes() refuses, warns and accepts by the number of lines", () => {
  const sized = (path: string, lines: number) => checkSizes(new Map([[path, "x\n".repeat(lines)]]));

  assert.deepEqual(sized("src/a.ts", 400), { problems: [], warnings: [] });
  assert.deepEqual(sized("src/a.ts", 600).warnings, ["src/a.ts: 600 lines"]);
  assert.equal(sized("src/a.ts", 601).problems.length, 1);
  assert.equal(sized("tests/a_test.ts", 800).problems.length, 0);
  assert.equal(sized("tests/a_test.ts", 801).problems.length, 1);
  assert.equal(sized("docs/a.md", 5_000).problems.length, 0);
});

test("checkTests() names test files that the runner would miss", () => {
  const test = 'import { test } from "node:test";\ntest("a", () => {});\n';
  const judged = (path: string, text = test) =>
    checkTests(
      new Map([["tests/unit/good_test.ts", test], [path, text]]),
      new Set(["tests/unit/good_test.js", "tests/unit/a_test.js"]),
    );

  assert.deepEqual(judged("tests/unit/a_test.ts"), []);
  assert.deepEqual(judged("tests/support/suite.ts", 'import { test } from "node:test";'), []);
  assert.match(judged("src/a_test.ts").join(), /looks for tests/);
  assert.match(judged("tests/unit/a.test.ts").join(), /looks for tests/);
  assert.match(judged("tests/unit/b_test.ts").join(), /was not built/);
  assert.match(judged("tests/unit/a.ts").join(), /does not end in _test\.ts/);
  assert.match(judged("tests/unit/a_test.ts", `${test}test.only("b", () => {});`).join(), /\.only/);
  assert.deepEqual(checkTests(new Map(), new Set()), ["tests: no test file"]);
});
