import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_CACHED_PRINCIPALS } from "../../../src/limits.ts";
import { decide } from "../../../src/policy/decide.ts";
import { compileUserPolicy, type PolicyEntry } from "../../../src/policy/user_layer.ts";
import type { Principal } from "../../../src/principal.ts";

test("a policy takes part when a user or a group matches, and the tunnel", () => {
  const policy = compile([
    { users: ["alice"], groups: [], lists: {} },
    { users: ["a*"], groups: ["ops"], lists: {} },
    { users: [], groups: ["front-*"], tunnels: ["code-*"], lists: {} },
    { users: ["*"], groups: [], tunnels: ["wiki"], lists: {} },
    { users: ["*"], groups: [], tunnels: [], lists: {} },
  ]);
  const cases: [user: string, groups: string[], tunnel: string, expected: number[]][] = [
    ["alice", [], "code-server", [0, 1]],
    ["Alice", [], "code-server", []],
    ["bob", ["ops"], "code-server", [1]],
    ["bob", ["front-end"], "code-server", [2]],
    ["bob", ["front-end"], "wiki", [3]],
    ["team/bob", [], "wiki", [3]],
    ["bob", ["alice"], "code-server", []],
    ["ops", [], "code-server", []],
  ];

  for (const [user, groups, tunnel, expected] of cases) {
    assert.deepEqual(
      policy.matching(tunnel, principal(user, groups)),
      expected,
      `${user} ${tunnel}`,
    );
  }
});

test("any deny wins over any allow, whichever policy has it and in whatever order", () => {
  const grant: PolicyEntry = { users: ["alice"], groups: [], lists: { allow_tools: ["**"] } };
  const ban: PolicyEntry = { users: ["*"], groups: [], lists: { deny_tools: ["rm"] } };

  for (const entries of [[grant, ban], [ban, grant]]) {
    const layer = compile(entries).layerFor("t");

    assert.equal(decide([layer], principal("alice"), tool("rm")).reason, "deny_rule");
    assert.equal(decide([layer], principal("alice"), tool("ls")).allowed, true);
    assert.equal(decide([layer], principal("bob"), tool("ls")).reason, "default_deny");
  }
});

test("one policy's allow is enough, and another's empty list takes nothing away", () => {
  const layer = compile([
    { users: ["alice"], groups: [], lists: { allow_tools: [] } },
    { users: ["alice"], groups: [], lists: { allow_tools: ["ls"] } },
  ]).layerFor("t");

  assert.equal(decide([layer], principal("alice"), tool("ls")).allowed, true);
  assert.equal(decide([layer], principal("alice"), tool("cat")).reason, "not_in_allow_list");
});

test("principals whose names run together are kept apart", () => {
  const layer = compile([
    { users: ["a"], groups: [], lists: { allow_tools: ["ls"] } },
  ]).layerFor("t");

  assert.equal(decide([layer], principal("a", ["b"]), tool("ls")).allowed, true);
  assert.equal(decide([layer], principal("ab"), tool("ls")).allowed, false);
  assert.equal(decide([layer], principal("a1:b"), tool("ls")).allowed, false);
  assert.equal(decide([layer], principal("", ["a"]), tool("ls")).allowed, false);
});

test("more principals than are kept are decided on all the same", () => {
  const layer = compile([
    { users: ["even-*"], groups: [], lists: { allow_tools: ["ls"] } },
  ]).layerFor("t");
  let count = 0;

  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < MAX_CACHED_PRINCIPALS + 10; index++) {
      const name = `${index % 2 === 0 ? "even" : "odd"}-${index}`;
      assert.equal(decide([layer], principal(name), tool("ls")).allowed, index % 2 === 0);
      count++;
    }
  }
  assert.equal(count, 2 * (MAX_CACHED_PRINCIPALS + 10));
});

function compile(entries: readonly PolicyEntry[]) {
  return compileUserPolicy({ file: "user.toml", entries, placeOf: () => ({ line: 1, column: 1 }) });
}

function principal(user: string, groups: readonly string[] = []): Principal {
  return { user, groups, how: "jwt" };
}

function tool(name: string) {
  return { kind: "tool", name } as const;
}
