import assert from "node:assert/strict";
import { test } from "node:test";

import { lintPolicies, lintRules } from "../../../src/policy/lint.ts";
import type { RuleTexts } from "../../../src/policy/rule.ts";
import type { PolicyEntry } from "../../../src/policy/user_layer.ts";

const ODD: readonly [lists: RuleTexts, path: readonly (string | number)[], text: RegExp][] = [
  [{ allow_tools: ["a", "b", "a"] }, ["allow_tools", 2], /in this list already/],
  [{ allow_tools: [" a"] }, ["allow_tools", 0], /can never match \(it begins/],
  [{ allow_resources: ["/repo/**"] }, ["allow_resources", 0], /never match \(a URI begins/],
  [{ deny_resources: ["repo/secret"] }, ["deny_resources", 0], /never match \(a URI begins/],
  [{ allow_tools: ["rm"], deny_tools: ["rm"] }, ["allow_tools", 0], /deny_tools has "rm"/],
  [{ allow_tools: ["RM"], deny_tools: ["r*"] }, ["allow_tools", 0], /deny_tools has "r\*"/],
  [{ allow_tools: ["read_*"], deny_tools: ["re*"] }, ["allow_tools", 0], /deny_tools has "re\*"/],
  [{ allow_prompts: ["x"], deny_prompts: ["*"] }, ["allow_prompts", 0], /deny_prompts has "\*"/],
  [
    { allow_resources: ["file:///a/b/*"], deny_resources: ["file:///a/**"] },
    ["allow_resources", 0],
    /deny_resources has/,
  ],
  [
    { allow_resources: ["file:///a/B"], deny_resources: ["file:///A/*"] },
    ["allow_resources", 0],
    /deny_resources has/,
  ],
  [{ allow_resources: ["*"] }, ["allow_resources", 0], /write "\*\*" for all below/],
  [{ allow_resources: ["file:///*"] }, ["allow_resources", 0], /write "file:\/\/\/\*\*"/],
  [{ allow_methods: ["*"] }, ["allow_methods", 0], /write "\*\*" for all/],
  [{ allow_methods: ["tools/list"] }, ["allow_methods", 0], /needs no rule/],
  [
    { allow_tools: ["*"], allow_resources: ["**"], allow_prompts: ["**"] },
    [],
    /^allow_tools, allow_resources and allow_prompts together allow everything/,
  ],
];

test("what is valid and probably not meant is remarked on, once and at its place", () => {
  let count = 0;
  for (const [lists, path, text] of ODD) {
    const lints = lintRules(lists);

    assert.deepEqual(lints.map(({ path }) => path), [path], JSON.stringify(lists));
    assert.match(lints[0]!.text, text);
    count++;
  }
  assert.equal(count, 15);
});

test("rules that are meant are not remarked on", () => {
  const fine: RuleTexts[] = [
    { allow_tools: ["*"], deny_tools: ["rm"] },
    { allow_tools: [], allow_resources: ["file:///repo/*", "file:///repo/**"] },
    { allow_tools: ["read_*"], deny_tools: ["read_secret", "r_*", "read_*_x"] },
    { allow_resources: ["**/*.md", "urn:x", "{a,b}://x/**"], deny_resources: ["file:///a/b/**"] },
    { allow_resources: ["file:///a/**"], deny_resources: ["file:///a/b/*", "**/.env"] },
    { allow_tools: ["*"], allow_resources: ["**"], allow_prompts: ["*"], deny_methods: ["x/y"] },
    { allow_methods: ["skills/*"], allow_prompts: ["a"], deny_tools: ["a"] },
  ];

  for (const lists of fine) assert.deepEqual(lintRules(lists), [], JSON.stringify(lists));
});

test("policies that match nobody, no declared tunnel or hold no rule are remarked on", () => {
  const entries: PolicyEntry[] = [
    { users: [], groups: [], lists: { allow_tools: ["a"] } },
    { users: ["a"], groups: [], tunnels: [], lists: { allow_tools: ["a"] } },
    { users: ["a"], groups: [], lists: {} },
    { users: ["a"], groups: [], tunnels: ["code-*", "wiki"], lists: { allow_tools: ["a"] } },
  ];

  assert.deepEqual(lintPolicies(entries).map(({ path }) => path), [
    ["policy", 0],
    ["policy", 1, "tunnels"],
    ["policy", 2],
  ]);
  const { path, text } = lintPolicies(entries, ["code-1"]).at(-1)!;
  assert.deepEqual(path, ["policy", 3, "tunnels", 1]);
  assert.equal(text, '"wiki" matches no declared tunnel (declared: code-1)');
});

test("an allow that another policy forbids to everybody is remarked on", () => {
  const ban: PolicyEntry = { users: ["*"], groups: [], lists: { deny_tools: ["rm*"] } };
  const grant: PolicyEntry = { users: ["a"], groups: [], lists: { allow_tools: ["rm_file"] } };
  const elsewhere = { ...ban, tunnels: ["other"] };

  assert.deepEqual(lintPolicies([grant, ban]).map(({ path }) => path), [
    ["policy", 0, "allow_tools", 0],
  ]);
  assert.deepEqual(lintPolicies([grant, elsewhere]), []);
});
