// test-timeout: 120s
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { type LoadedPolicy, policySteps } from "../../src/config/policy_file.ts";
import { PolicyTablesReader } from "../../src/config/policy_schema.ts";
import { policyTomlSteps } from "../../src/config/policy_toml.ts";
import { TunnelError } from "../../src/errors.ts";
import { RULE_LISTS } from "../../src/policy/rule.ts";
import { finish } from "../../src/steps.ts";

const RUNS = 12_000;

/** Headers, as people write them. */
const header = fc.constantFrom(
  "[[policy]]",
  "[[policy]]",
  "[[test]]",
  " \t[[policy]]",
  "[[ policy ]] # and why",
  '[["policy"]]',
  "[[ 'test' ]]",
);
const plainLine = fc.constantFrom(
  'groups = [ "ops",\n\n  "dev", # [[policy]]\n]',
  'tunnels = ["code-*"]',
  'allow_tools = ["read_*", "x"]',
  "deny_tools = ['*_x']",
  'allow_resources = ["file:///é/**",\n  "𝄞"]',
  "allow_methods = []",
);
/** Strings of several lines, some of which look like headers. */
const stringLine = fc.constantFrom(
  'deny_tools = ["""\n[[policy]]\nusers = ["\\\n  *"""]',
  "deny_prompts = ['''\n[[test]]\n''']",
  'allow_prompts = [\'\'\'[[policy]]\n[[policy]]\'\'\', """a\\""""]',
  'tunnels = ["""\\\n  code"""]',
);
const testLines = fc.constantFrom(
  '"alice"',
  '"bob"',
  '"""\n[[policy]]\nusers = ["*"]\n"""',
  "'''\n[[test]]\n'''",
).map((user) => [`user = ${user}`, 'tunnel = "code"\ntool = "read_a"\nexpect = "allow"']);
const between = fc.constantFrom(
  "",
  "  ",
  "# nothing",
  "# \u2028[[policy]]",
  "# \u0085[[test]]",
  "\t# [[policy]]",
);
/** What is wrong, or means something else than it seems to. */
const odd = fc.constantFrom(
  "[policy.sub]",
  "[[policy.sub]]",
  "[policy.sub.users]",
  "[test.sub]",
  "[policy]",
  "[other]",
  "[[other]]",
  "policy = [{ users = ['a'] }]",
  "policy = []",
  "test = [{}]",
  "policy.users = ['a']",
  "users.x = 1",
  "users = 'alice'",
  "users = [1, '']",
  "alow_tools = ['a']",
  "allow_tools = ['a**']",
  "__proto__ = 1",
  'x = """',
  "x = '''",
  'x = """\n[[policy]]\n"""',
  "x = [\n[['policy']],\n[[1]]\n]",
  "x = [\n[[policy]]\n]",
  "x = {\n[[policy]]\n}",
  "x = { a = 1,\nb = 2 }",
  "x = [",
  "x =",
  "]",
  '"""',
  "'''",
  "[[policy]] x = 1",
  "[[policy]",
  "[[policy]]\r[[policy]]",
  "# \u0001",
  "\uFEFF",
);
const policyLines = fc.uniqueArray(
  fc.oneof({ weight: 12, arbitrary: plainLine }, { weight: 1, arbitrary: stringLine }),
  { maxLength: 3 },
)
  .map((lines) => ['users = ["alice"]', ...lines]);
const policyHeader = fc.constantFrom(
  "[[policy]]",
  "[[policy]]",
  " \t[[policy]]",
  "[[ policy ]] # and why",
  '[["policy"]]',
);
const table = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(policyHeader, policyLines) },
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom("[[test]]", "[[ 'test' ]]"), testLines) },
  { weight: 1, arbitrary: fc.tuple(header, policyLines) },
).map(([head, lines]) => [head, ...lines]);
const good = fc.tuple(
  fc.array(between, { maxLength: 2 }),
  fc.array(table, { minLength: 1, maxLength: 6 }),
)
  .map(([before, tables]) => [...before, ...tables.flat()]);
/** With lines of something else in between in one half, and in some with characters cut out. */
const file = fc.record({
  lines: good,
  more: fc.oneof(
    fc.constant([]),
    fc.array(fc.tuple(fc.nat(), fc.oneof(between, odd, header)), { maxLength: 2 }),
  ),
  eol: fc.constantFrom("\n", "\n", "\r\n"),
  cut: fc.oneof(
    { weight: 7, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.tuple(fc.nat(), fc.integer({ min: 1, max: 4 })) },
  ),
}).map(({ lines, more, eol, cut }) => {
  const all: string[] = [...lines];
  for (const [at, line] of more) all.splice(at % (all.length + 1), 0, line);
  const text = all.map((line) => `${line}\n`).join("").replaceAll("\n", eol);
  if (cut === null) return text;
  const at = cut[0] % (text.length + 1);
  return text.slice(0, at) + text.slice(at + cut[1]);
});

test("a policy file that is read in pieces means what it means as a whole, with the same places and complaints", () => {
  const seen = { runs: 0, inPieces: 0, good: 0, refused: 0, notToml: 0 };
  fc.assert(
    fc.property(file, fc.constantFrom(0, 1, 20, 60), (text, pieceChars) => {
      const whole = outcomeOf(text, Infinity);

      assert.deepEqual(outcomeOf(text, pieceChars), whole);

      seen.runs++;
      if (typeof whole === "string" && whole.includes("not valid TOML")) seen.notToml++;
      else if (piecesOf(text, pieceChars) > 1) {
        seen.inPieces++;
        seen[typeof whole === "string" ? "refused" : "good"]++;
      }
    }),
    { numRuns: RUNS },
  );

  assert.equal(seen.runs, RUNS);
  // Not all of them took the other way.
  assert.ok(seen.inPieces > RUNS / 8, JSON.stringify(seen));
  assert.ok(seen.good > RUNS / 12, JSON.stringify(seen));
  assert.ok(seen.refused > RUNS / 50, JSON.stringify(seen));
  assert.ok(seen.notToml > RUNS / 50, JSON.stringify(seen));
});

/** All that a policy file comes to, or the complaint. */
function outcomeOf(text: string, pieceChars: number): unknown {
  try {
    const loaded = finish(policySteps({ text, file: "user.toml", pieceChars }));
    const { entries, tests, warnings } = loaded;
    return { entries, tests, warnings, places: placesOf(loaded) };
  } catch (error) {
    assert.ok(error instanceof TunnelError, String(error));
    return error.message;
  }
}

function placesOf({ entries, tests, place }: LoadedPolicy): string[] {
  const lists = ["users", "groups", "tunnels", ...RULE_LISTS];
  return [
    ...entries.flatMap((_, index) =>
      lists.flatMap((list) =>
        [[], [list], [list, 0], [list, 1], [list, 2, "x"]].map((rest) =>
          place(["policy", index, ...rest])
        )
      )
    ),
    ...tests.flatMap((_, index) => [place(["test", index]), place(["test", index, "tunnel"])]),
    ...[[], ["policy"], ["test"], ["policy", entries.length], ["test", tests.length], ["x"]]
      .map(place),
  ];
}

function piecesOf(text: string, pieceChars: number): number {
  const newReader = () => new PolicyTablesReader();
  return finish(policyTomlSteps({ text, file: "user.toml", newReader, pieceChars })).pieces;
}
