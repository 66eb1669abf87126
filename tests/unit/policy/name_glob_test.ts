import assert from "node:assert/strict";
import { test } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { compileNameGlob } from "../../../src/policy/name_glob.ts";

const MATCHES: readonly [pattern: string, matching: string[], other: string[]][] = [
  ["code-server", ["code-server"], ["code-server2", "xcode-server", "code_server", ""]],
  ["*", ["a", "team-a-x", "a_b", ".hidden"], [""]],
  ["**", ["a", "team-a-x"], [""]],
  ["team-a-*", ["team-a-x", "team-a-"], ["team-a", "team-b-x", "xteam-a-x", "TEAM-A-x"]],
  ["*-dev", ["a-dev", "-dev"], ["a-dev2"]],
  ["db?", ["db1", "dbx"], ["db", "db12"]],
  ["db[0-3]", ["db0", "db3"], ["db4", "db"]],
  ["db[ab]", ["dba"], ["dbc", "dbab"]],
  ["{web,api}-*", ["web-1", "api-2"], ["app-1", "web"]],
  ["a.b", ["a.b"], ["axb"]],
];

for (const [pattern, matching, other] of MATCHES) {
  test(`compileNameGlob() reads ${JSON.stringify(pattern)}`, () => {
    const matches = compileNameGlob([pattern]);

    for (const name of matching) assert.equal(matches(name), true, name);
    for (const name of other) assert.equal(matches(name), false, name);
  });
}

test("compileNameGlob() matches when one of several patterns does", () => {
  const matches = compileNameGlob(["a", "b-*"]);

  assert.deepEqual(["a", "b-1", "c"].map(matches), [true, true, false]);
});

test("compileNameGlob() of no pattern matches nothing", () => {
  const matches = compileNameGlob([]);

  assert.deepEqual(["", "a", "*"].map(matches), [false, false, false]);
});

test("compileNameGlob() refuses every malformed pattern with CONFIG_INVALID", () => {
  const malformed = [
    "",
    " ",
    "a b",
    "Team-*",
    "!a",
    "a/b",
    "a\\b",
    "a\n",
    "é",
    "[",
    "]",
    "[]",
    "[a",
    "a]",
    "[[a]]",
    "[!a]",
    "[z-a]",
    "[a-c9-0]",
    "{",
    "}",
    "{a",
    "a}",
    "{}",
    "{a}",
    "{a,}",
    "{,a}",
    "{a,{b,c}}",
    "a,b",
    "{a,b..d}",
    "{1..3}",
    "@(a|b)",
    "+(a)",
    "(a)",
    "a|b",
    "^a",
    "$",
    "*a*b*c*d*e",
    "{a,b}{a,b}{a,b}{a,b}{a,b}",
    "a".repeat(129),
  ];
  let refused = 0;

  for (const pattern of malformed) {
    assert.throws(
      () => compileNameGlob(["fine", pattern]),
      (error) => error instanceof TunnelError && error.code === "CONFIG_INVALID",
      pattern,
    );
    refused++;
  }

  assert.equal(refused, 39);
});

test("compileNameGlob() answers the worst pattern and name quickly", () => {
  const matches = compileNameGlob(["*a*a*a*b"]);
  const name = "a".repeat(64);

  const started = performance.now();
  assert.equal(matches(name), false);

  // It takes about 1 ms; the bound only has to tell that from exponential.
  assert.ok(performance.now() - started < 1_000);
});

test("compileNameGlob() treats names of object members like any other", () => {
  const matches = compileNameGlob(["*"]);

  assert.equal(matches("constructor"), true);
  assert.equal(compileNameGlob(["a"])("constructor"), false);
});
