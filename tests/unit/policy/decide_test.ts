import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { decide, type Layer } from "../../../src/policy/decide.ts";
import { explain, REASON_TEXTS, reasonText } from "../../../src/policy/explain.ts";
import { ORDINARY_METHODS } from "../../../src/policy/methods.ts";
import { patternProblem } from "../../../src/policy/pattern_problem.ts";
import type { RuleTexts } from "../../../src/policy/rule.ts";
import type { TargetKind } from "../../../src/policy/target.ts";
import { compileTunnelLayer } from "../../../src/policy/tunnel_layer.ts";
import { compileUserPolicy, type PolicyEntry } from "../../../src/policy/user_layer.ts";
import type { Principal } from "../../../src/principal.ts";
import { repositoryRoot } from "../../support/cli_process.ts";

const ALICE: Principal = { user: "alice", groups: ["frontend"], how: "jwt" };
const MALLORY: Principal = { user: "mallory", groups: [], how: "jwt" };

test("a denied resource is denied in any case and with characters that are not seen", () => {
  const deny = ["file:///repo/.git/**", "file:///Repo/Secret.txt", "file:///x/%53[A-C]*.key"];
  const layers = [tunnel({ allow_resources: ["**"], deny_resources: deny })];
  const denied = [
    "file:///repo/.git/config",
    "file:///repo/.GIT/config",
    "file:///repo/.g\u200cit/config",
    "file:///repo/.g%E2%80%8Cit/config",
    "file:///REPO/.%47it/config?x",
    "file:///repo/.\uff47it/config",
    "file:///Repo/Secret.txt",
    "file:///repo/secret.TXT",
    "file:///repo/secret.txt/",
    "file:///x/sa1.KEY",
    "file:///x/Sb.key",
  ];
  const allowed = ["file:///repo/git/config", "file:///repo/secret.txt2", "file:///x/sd.key"];

  for (const uri of denied) assert.equal(allows(layers, "resource", uri), false, uri);
  for (const uri of allowed) assert.equal(allows(layers, "resource", uri), true, uri);
  // An allow rule stays exact.
  const narrow = [tunnel({ allow_resources: ["file:///repo/**"] })];
  assert.equal(allows(narrow, "resource", "file:///REPO/a"), false);
});

test("a run of combining marks that no language writes is refused, also when it is encoded or cut", () => {
  const layers = [tunnel({ allow_tools: ["**"], allow_resources: ["**"] })];
  const run = "\u0315\u0300".repeat(16);
  const half = run.slice(0, 20);
  const targets: [TargetKind, string, refused: boolean][] = [
    ["tool", `a${run}`, true],
    ["tool", `a${half}`, false],
    ["tool", `a${half}b${half}`, false],
    ["tool", `a${half}\u200b${half}`, true],
    ["tool", `a${half}\uff9e${half}`, true],
    ["resource", `x://h/a${run}`, true],
    ["resource", `x://h/a${half}`, false],
    ["resource", `x://h/a${encodeURIComponent(run)}`, true],
    ["resource", `x://a${run}/`, true],
  ];
  let count = 0;

  for (const [kind, name, refused] of targets) {
    const decision = decide(layers, ALICE, { kind, name });
    assert.equal(decision.allowed, !refused, name);
    if (!decision.allowed) assert.equal(decision.detail, "too_many_marks");
    count++;
  }

  assert.equal(count, 9);
});

test("what an intersection of lists once let through is denied, each by its reason", () => {
  const policies = [
    entry(["alice"], { allow_tools: ["search"], allow_resources: ["file:///repo/**"] }),
  ];
  const layers = (lists: RuleTexts) => [tunnel(lists), user(policies)];
  const files = { allow_resources: ["file:///repo/**"] };
  const probes: [Layer[], Principal | undefined, TargetKind, string, reason: string][] = [
    [layers({ allow_tools: ["read_file"] }), ALICE, "tool", "rm_rf", "not_in_allow_list"],
    [
      [tunnel({ allow_tools: ["read_*"] }), user([entry(["alice"], { allow_tools: ["*_file"] })])],
      ALICE,
      "tool",
      "rm_rf",
      "not_in_allow_list",
    ],
    // The two names of a call in one message are refused before; both are denied here as well.
    [layers({ deny_tools: ["execute_command"] }), ALICE, "tool", "execute_command", "deny_rule"],
    [layers({ allow_tools: ["**"] }), ALICE, "method", "Tools/Call", "default_deny"],
    [layers({ allow_tools: ["**"] }), undefined, "tool", "search", "no_principal"],
    [layers(files), MALLORY, "resource", "file:///etc/shadow", "not_in_allow_list"],
    [layers({ allow_tools: ["**"] }), MALLORY, "tool", "admin/delete", "no_policy"],
    [
      [tunnel({ allow_resources: ["**"], deny_resources: ["file:///etc/*"] })],
      ALICE,
      "resource",
      "file:///etc/ssh/sshd_config",
      "deny_rule",
    ],
    [
      layers({ allow_resources: ["file:///repo/*"] }),
      ALICE,
      "resource",
      "file:///repo/..%2f..%2fetc%2fshadow",
      "target_refused",
    ],
    // A malformed pattern is refused at load; only its literal text could ever be asked for.
    [layers({ allow_tools: [] }), ALICE, "tool", "exec[ute", "not_in_allow_list"],
    // A batch names no tool, and nothing without a name is judged.
    [layers({ allow_tools: ["**"] }), ALICE, "tool", "", "target_refused"],
  ];
  let denied = 0;

  for (const [index, [given, principal, kind, name, reason]] of probes.entries()) {
    const decision = decide(given, principal, { kind, name });

    assert.equal(decision.allowed, false, `${index + 1}`);
    assert.equal(decision.reason, reason, `${index + 1}`);
    denied++;
  }
  assert.equal(denied, 11);
});

test("a deny of a folder holds whatever way its files are written", () => {
  const layers = [tunnel({ allow_resources: ["**"], deny_resources: ["file:///etc/*"] })];
  const ways = [
    "file:///etc/ssh/sshd_config",
    "FILE:///etc/passwd",
    "file:/etc/passwd",
    "file:etc/passwd",
    "file://localhost/etc/passwd",
    "file://host/etc/passwd",
    "file:////etc/passwd",
    "file:///%65tc/passwd",
    "file:///etc//passwd",
    "file:///etc/../etc/passwd",
    "file:///tmp/%2e%2e/etc/passwd",
    "file:///tmp/..%2fetc/passwd",
    "file:///etc/passwd?x=1",
    "file:///etc/passwd#x",
    "file:///etc/",
    "file:///etc\\passwd",
    "file:///etc%00/passwd",
    "file:///%2565tc/passwd",
  ];
  let denied = 0;

  for (const name of ways) {
    assert.equal(decide(layers, ALICE, { kind: "resource", name }).allowed, false, name);
    denied++;
  }
  assert.equal(denied, 18);
  assert.equal(decide(layers, ALICE, { kind: "resource", name: "file:///etcetera" }).allowed, true);
});

test("an allowed folder is left by no way of writing its files", () => {
  const layers = [tunnel({ allow_resources: ["file:///repo/**"] })];
  const allowed = [
    "file:///repo/a.go",
    "file:///repo/sub/a.go",
    "file:///repo/.hidden",
    "file:///repo",
  ];
  const denied = [
    "file:///repo/..",
    "file:///repo/../etc/passwd",
    "file:///repo/..%2fetc%2fpasswd",
    "file:///repo/%2e%2e/etc/passwd",
    "file:///repo/..\\..\\x",
    "file:///repo/a?/../../etc/passwd",
    "file:///repository/a",
    "FILE:///repo/a",
    "file:/repo/a",
    "file:///Repo/a",
  ];

  for (const name of allowed) assert.equal(allows(layers, "resource", name), true, name);
  for (const name of denied) assert.equal(allows(layers, "resource", name), false, name);
});

test("percent-encoded names are allowed as clients write them", () => {
  const layers = [tunnel({ allow_resources: ["file:///my%20docs/*", "file:///caf%C3%A9"] })];

  assert.equal(allows(layers, "resource", "file:///my%20docs/a"), true);
  assert.equal(allows(layers, "resource", "file:///caf%C3%A9"), true);
  assert.equal(allows(layers, "resource", "file:///my%20docs/a%2fb"), false);
  assert.equal(allows(layers, "resource", "file:///my docs/a"), false);
});

test("an allow is written as clients send the URI, and a deny in any way", () => {
  const ways = ["file:///my docs/a", "file:///my%20docs/a"];
  const folders = ["file:///my docs/*", "file:///my%20docs/*"];

  const allowed = folders.map((folder) =>
    ways.filter((way) => allows([tunnel({ allow_resources: [folder] })], "resource", way))
  );
  const left = folders.map((folder) =>
    ways.filter((way) =>
      allows([tunnel({ allow_resources: ["**"], deny_resources: [folder] })], "resource", way)
    )
  );

  assert.deepEqual(folders.map((folder) => patternProblem(folder, "uri")), [undefined, undefined]);
  assert.deepEqual(allowed, [[ways[0]], [ways[1]]]);
  assert.deepEqual(left, [[], []]);
});

test("names are compared exactly to allow, and folded to deny", () => {
  const layers = [tunnel({ allow_tools: ["**"], deny_tools: ["execute_*", "Kill", "[A-C]_x"] })];
  const exact = [tunnel({ allow_tools: ["read_file"] })];

  for (const name of ["EXECUTE_x", "ｅxecute_x", "kill", "\u212aILL", "execute_\u200bx", "b_x"]) {
    assert.equal(allows(layers, "tool", name), false, name);
  }
  for (const name of ["Read_file", "read_file\u200b", "ｒead_file"]) {
    assert.equal(allows(exact, "tool", name), false, name);
  }
});

test("names that are empty, too long or hold control characters or half a pair are denied", () => {
  const layers = [tunnel({ allow_tools: ["**"] })];

  for (const name of ["", "a\u0000", "a\n", "a\u009b", "a\ud800", "a".repeat(4_097)]) {
    assert.equal(decide(layers, ALICE, { kind: "tool", name }).reason, "target_refused");
  }
});

test("an empty list denies all of its kind, an absent one leaves it to the default", () => {
  const open = tunnel({ allow_tools: [] }, "allow");

  assert.equal(decide([open], ALICE, { kind: "tool", name: "a" }).reason, "not_in_allow_list");
  assert.equal(decide([open], ALICE, { kind: "prompt", name: "a" }).reason, "default_allow");
  assert.equal(decide([tunnel({})], ALICE, { kind: "prompt", name: "a" }).reason, "default_deny");
});

test("an unknown method needs a rule, an ordinary one only obeys a denial", () => {
  const plain = [tunnel({ allow_tools: ["**"] })];
  const ruled = [tunnel({ allow_methods: ["skills/*"], deny_methods: ["completion/*"] })];

  assert.ok(ORDINARY_METHODS.size > 0);
  for (const name of ORDINARY_METHODS) assert.equal(allows(plain, "method", name), true, name);
  for (const name of ["skills/list", "logging/setLevel", "tasks/list", "toString", "tools/Call"]) {
    assert.equal(allows(plain, "method", name), false, name);
  }
  assert.equal(allows(ruled, "method", "skills/list"), true);
  assert.equal(allows(ruled, "method", "tools/list"), true);
  assert.equal(allows(ruled, "method", "completion/complete"), false);
  const quiet = [tunnel({ deny_methods: ["notifications/message", "sampling/*"] })];
  assert.equal(allows(quiet, "method", "notifications/message"), false);
  assert.equal(allows(quiet, "method", "sampling/createMessage"), false);
  assert.equal(allows(quiet, "method", "notifications/progress"), true);
  assert.equal(allows(ruled, "method", "Completion/complete"), false);
});

test("a decision names the layer and the rule, and of several rules the first", () => {
  const layers = [
    tunnel({ allow_tools: ["*"] }),
    user([
      entry(["alice"], { allow_tools: ["read_*"] }),
      entry(["a*"], { allow_tools: ["read_file"], deny_tools: ["write_*", "write_file"] }),
    ]),
  ];

  assert.deepEqual(decide(layers, ALICE, { kind: "tool", name: "read_file" }), {
    allowed: true,
    reason: "allow_rule",
    layer: "user",
    rule: { list: "allow_tools", pattern: "read_*", file: "user.toml", line: 1, column: 1 },
  });
  assert.deepEqual(decide(layers, ALICE, { kind: "tool", name: "write_file" }), {
    allowed: false,
    reason: "deny_rule",
    layer: "user",
    rule: { list: "deny_tools", pattern: "write_*", file: "user.toml", line: 2, column: 1 },
  });
});

test("whatever goes wrong is a denial", () => {
  const throwing: Layer = {
    name: "broken",
    judge: () => {
      throw new Error("broken");
    },
  };
  const lying = { name: "lying", judge: () => ({ allowed: 1, reason: "allow_rule" }) };
  const open = tunnel({}, "allow");
  const target = { kind: "tool", name: "a" } as const;
  // What the types forbid, and a defect could let through.
  const cases: [layers: unknown, principal: unknown, target: unknown, reason: string][] = [
    [[], ALICE, target, "no_layer"],
    [[open, throwing], ALICE, target, "evaluator_error"],
    [[throwing, open], ALICE, target, "evaluator_error"],
    [[lying], ALICE, target, "allow_rule"],
    [[open], undefined, target, "no_principal"],
    [[open], null, target, "no_principal"],
    [[open], { user: "", groups: [], how: "jwt" }, target, "no_principal"],
    [[open], { user: "a", how: "jwt" }, target, "no_principal"],
    [[open], { user: ["a"], groups: [] }, target, "no_principal"],
    [[open], { user: "a", groups: [{}] }, target, "no_principal"],
    [[open], ALICE, { kind: "other", name: "a" }, "evaluator_error"],
    [[open], ALICE, { kind: "tool", name: 5 }, "evaluator_error"],
    [[open], ALICE, undefined, "evaluator_error"],
    [undefined, ALICE, target, "evaluator_error"],
  ];
  let denied = 0;

  for (const [layers, principal, judged, reason] of cases) {
    const decision = decide(layers as Layer[], principal as Principal, judged as typeof target);
    assert.equal(decision.allowed, false, reason);
    assert.equal(decision.reason, reason);
    denied++;
  }
  assert.equal(denied, 14);
});

test("an explanation asks each layer alone and agrees with the decision", () => {
  const layers = [tunnel({ deny_tools: ["a"] }), user([entry(["alice"], { allow_tools: ["a"] })])];

  const explanation = explain(layers, ALICE, { kind: "tool", name: "a" });

  assert.equal(explanation.decision, "deny");
  assert.equal(explanation.layer, "tunnel");
  assert.deepEqual(explanation.layers.map(({ layer, decision }) => [layer, decision]), [
    ["tunnel", "deny"],
    ["user", "allow"],
  ]);
  assert.equal(reasonText(explanation.layers[0]!), 'deny_tools "a" (mcptun.toml:1:1)');
  const refused = explain(layers, ALICE, { kind: "resource", name: "a\\b" });
  assert.equal(
    reasonText(refused.layers[0]!),
    "target_refused (this name or URI is always denied: backslash)",
  );
});

test("the docs have every reason, with its decision", () => {
  const text = readFileSync(join(repositoryRoot(), "docs/policy.md"), "utf8");

  const rows = [...text.matchAll(/^\| `([a-z_]+)` \| (allow|deny) \|/gm)];

  assert.deepEqual(rows.map(([, reason]) => reason), Object.keys(REASON_TEXTS));
  for (const [, reason, decision] of rows) {
    const isAllowed = /^(?:allow_rule|default_allow|ordinary_method)$/.test(reason!);
    assert.equal(decision, isAllowed ? "allow" : "deny", reason);
  }
  assert.equal(rows.length, 12);
});

function allows(layers: readonly Layer[], kind: TargetKind, name: string): boolean {
  return decide(layers, ALICE, { kind, name }).allowed;
}

function tunnel(lists: RuleTexts, fallback: "allow" | "deny" = "deny"): Layer {
  const placeOf = (_list: string, index: number) => ({ line: 1, column: index + 1 });
  return compileTunnelLayer({ file: "mcptun.toml", lists, fallback, placeOf });
}

function user(entries: readonly PolicyEntry[]): Layer {
  const placeOf = (policy: number, _list: string, index: number) => ({
    line: policy + 1,
    column: index + 1,
  });
  return compileUserPolicy({ file: "user.toml", entries, placeOf }).layerFor("code-server");
}

function entry(users: readonly string[], lists: RuleTexts): PolicyEntry {
  return { users, groups: [], lists };
}
