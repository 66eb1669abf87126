// test-timeout: 180s
import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import picomatch from "picomatch";

import { parsePolicy } from "../../src/config/policy_file.ts";
import { TunnelError } from "../../src/errors.ts";
import { decide, type Layer } from "../../src/policy/decide.ts";
import { explain } from "../../src/policy/explain.ts";
import { compileMatcher, foldName, Text } from "../../src/policy/pattern.ts";
import { patternProblem } from "../../src/policy/pattern_problem.ts";
import { RULE_LISTS, type RuleListName, type RuleTexts } from "../../src/policy/rule.ts";
import type { Target, TargetKind } from "../../src/policy/target.ts";
import { compileTunnelLayer } from "../../src/policy/tunnel_layer.ts";
import { compileUserPolicy, type PolicyEntry } from "../../src/policy/user_layer.ts";
import { normalizeUri } from "../../src/policy/uri.ts";
import type { Principal } from "../../src/principal.ts";

/** Cases of a property, by what one costs; together more than 100,000. A failure has its own seed. */
const CHEAP_RUNS = 32_000;
const RUNS = 9_000;
const DEAR_RUNS = 5_000;

// Few letters, so that patterns and targets meet often.
const piece = fc.constantFrom("a", "b", "ab", "x", "A", "é", "-");
const wild = fc.constantFrom("*", "?", "[ab]", "{a,b}", "{ab,x}", "[a-x]");
const segment = fc.oneof(
  { weight: 5, arbitrary: fc.array(piece, { minLength: 1, maxLength: 3 }).map(joined) },
  {
    weight: 4,
    arbitrary: fc.array(fc.oneof(piece, wild), { minLength: 1, maxLength: 4 })
      .map((parts) => joined(parts).replace(/\*+/g, "*")),
  },
  { weight: 1, arbitrary: fc.constant("**") },
);
const pattern = fc.array(segment, { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"))
  // Not all of them are within the bounds of a pattern; with a prefix some room must be left.
  .filter((glob) =>
    patternProblem(`aaaaaaaa${glob}`.replace(/^a{8}(?=\*\*)/, ""), "name") === undefined
  );
const name = fc.array(
  fc.array(piece, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("")),
  { minLength: 1, maxLength: 3 },
).map((parts) => parts.join("/"));
const path = fc.array(
  fc.constantFrom("a", "b", "ab", "..", ".", "", "%2e%2e", "%2f", "a%2fb", "%61", "x?y", "A", "\\"),
  { maxLength: 5 },
).map((parts) => parts.join("/"));
const uri = fc.tuple(
  fc.constantFrom("file:///", "FILE:///", "file:/", "file://localhost/", "file:////", "x://h/", ""),
  path,
  fc.constantFrom("", "", "", "?q", "#f"),
).map((parts) => parts.join(""));
const uriPattern = fc.oneof(
  fc.constantFrom("**", "file:///**", "file:///a/**", "file:///a/*", "file:///a", "x://h/**"),
  fc.tuple(fc.constantFrom("file:///", "x://h/"), pattern).map((parts) => parts.join("")),
);
const target: fc.Arbitrary<Target> = fc.oneof(
  fc.record({ kind: fc.constantFrom<TargetKind>("tool", "prompt", "method"), name }),
  fc.record({ kind: fc.constant<TargetKind>("resource"), name: uri }),
);
const patternsOf = (list: RuleListName) =>
  fc.array(list.endsWith("resources") ? uriPattern : pattern, { maxLength: 3 });
const lists: fc.Arbitrary<RuleTexts> = fc.record(
  Object.fromEntries(RULE_LISTS.map((list) => [list, patternsOf(list)])),
  { requiredKeys: [], noNullPrototype: true },
);
const someone: fc.Arbitrary<Principal> = fc.record({
  user: fc.constantFrom("alice", "bob", "team/eve", "mallory"),
  groups: fc.subarray(["ops", "front-end", "x"]),
  how: fc.constant("jwt" as const),
});
const entry: fc.Arbitrary<PolicyEntry> = fc.record({
  users: fc.subarray(["alice", "*", "team*", "bob"]),
  groups: fc.subarray(["ops", "front-*"]),
  tunnels: fc.constantFrom(["t"], ["*"], ["other"], []),
  lists,
}, { requiredKeys: ["users", "groups", "lists"], noNullPrototype: true });
const entries = fc.array(entry, { maxLength: 4 });
const fallback = fc.constantFrom<"allow" | "deny">("allow", "deny");

test("a pattern matches what picomatch says it does", () => {
  const options = { dot: true, nonegate: true, noextglob: true };
  check(
    fc.property(pattern, name, (glob, text) => {
      fc.pre(patternProblem(glob, "name") === undefined);
      // "a/**" matches "a" there as here, but "*/**" does not there.
      fc.pre(!/[*?\]}][^/]*\/\*\*$/.test(glob));
      const matches = compileMatcher(glob, { language: "name", reading: "allow", form: "written" });

      assert.equal(matches(new Text(text)), picomatch(glob, options)(text), `${glob} ${text}`);
    }),
    CHEAP_RUNS,
  );
});

test("everything together is allowed exactly when every layer alone allows it", () => {
  check(
    fc.property(
      lists,
      fallback,
      entries,
      lists,
      someone,
      target,
      (own, open, all, veto, who, what) => {
        const layers = [tunnel(own, open), user(all), tunnel(veto, "allow")];

        const alone = layers.map((layer) => decide([layer], who, what).allowed);

        assert.equal(decide(layers, who, what).allowed, alone.every(Boolean));
        assert.equal(decide([...layers].reverse(), who, what).allowed, alone.every(Boolean));
      },
    ),
  );
});

test("a further deny rule, or an allow rule less, never turns a denial into an allowance", () => {
  const change = fc.record({ at: fc.nat(), list: fc.constantFrom(...RULE_LISTS), index: fc.nat() });
  check(fc.property(entries, lists, fallback, someone, target, change, pattern, uriPattern, (
    all,
    own,
    open,
    who,
    what,
    { at, list, index },
    namePattern,
    resourcePattern,
  ) => {
    const added = list.endsWith("resources") ? resourcePattern : namePattern;
    const place = all.length === 0 ? 0 : at % all.length;
    const stricter = (before: RuleTexts): RuleTexts => {
      const patterns = before[list] ?? [];
      if (list.startsWith("deny_")) return { ...before, [list]: [...patterns, added] };
      if (before[list] === undefined) return before;
      return { ...before, [list]: patterns.filter((_, item) => item !== index % patterns.length) };
    };
    const layers = [tunnel(own, open), user(all)];
    const narrower = [
      tunnel(stricter(own), open),
      user(
        all.map((policy, item) =>
          item === place ? { ...policy, lists: stricter(policy.lists) } : policy
        ),
      ),
    ];

    if (!decide(layers, who, what).allowed) {
      assert.equal(decide(narrower, who, what).allowed, false);
    }
  }));
});

test("nobody, a stranger, no policy, a broken policy and a failure are denied", () => {
  const broken = fc.constantFrom("", "[[policy]]", "[[policy]]\nusers = [", "policy = 1", "\u0000");
  const hostile = fc.anything();
  check(
    fc.property(
      lists,
      entries,
      someone,
      target,
      broken,
      hostile,
      (own, all, who, what, text, odd) => {
        const open = tunnel(own, "allow");
        const throwing: Layer = {
          name: "broken",
          judge: () => {
            throw odd;
          },
        };
        const strangers = all.filter(({ users }) => !users.includes("*"));

        assert.equal(decide([open, user(all)], undefined, what).allowed, false);
        assert.equal(decide([open, user([])], who, what).allowed, false);
        assert.equal(decide([open, throwing], who, what).allowed, false);
        assert.equal(decide([], who, what).allowed, false);
        const stranger: Principal = { user: "zoe", groups: [], how: "jwt" };
        assert.equal(decide([open, user(strangers)], stranger, what).allowed, false);
        assert.throws(() => parsePolicy(text, "user.toml"), TunnelError);
        // Whatever is no principal or no target, too.
        assert.equal(decide([open], odd as Principal, what).allowed, isPrincipal(odd) && false);
        assert.equal(decide([open], who, odd as Target).allowed, false);
      },
    ),
  );
});

test("an entry is listed exactly when using it is allowed, in whatever order they are asked", () => {
  check(
    fc.property(
      entries,
      lists,
      someone,
      fc.array(target, { maxLength: 6 }),
      (all, own, who, many) => {
        const layers = [tunnel(own, "deny"), user(all)];

        const listed = many.filter((what) => decide(layers, who, what).allowed);

        const usable = [...many].reverse()
          .filter((what) => decide([tunnel(own, "deny"), user(all)], who, what).allowed);
        assert.deepEqual(listed, usable.reverse());
      },
    ),
    DEAR_RUNS,
  );
});

test("what is judged is what another parser of URIs reads", () => {
  const rule = tunnel({ allow_resources: ["file:///a/**"] }, "deny");
  const ban = tunnel({ allow_resources: ["**"], deny_resources: ["file:///a/*"] }, "deny");
  check(
    fc.property(uri, someone, (raw, who) => {
      fc.pre(/^file:/i.test(raw) && !("problem" in normalizeUri(raw)));
      const what: Target = { kind: "resource", name: raw };
      // What a server on the same library would open.
      const opened = decodeURIComponent(new URL(raw).pathname).replace(/\/+/g, "/");
      const real = new URL(`file://${opened}`).pathname;
      const isBelow = real === "/a" || real.startsWith("/a/");

      if (decide([rule], who, what).allowed) assert.ok(isBelow, `${raw} opens ${real}`);
      if (isBelow) assert.equal(decide([ban], who, what).allowed, false, `${raw} opens ${real}`);
    }),
    CHEAP_RUNS,
  );
});

test("the command line, an explanation, the file and plain words give the same decision", () => {
  check(
    fc.property(entries, lists, fallback, someone, target, (all, own, open, who, what) => {
      const named = all.map((policy) => ({ ...policy, users: [...policy.users, "nobody"] }));
      fc.pre(named.length > 0);
      const own1 = tunnel(own, open);
      const fromFile = parsePolicy(tomlOf(named), "user.toml").policy.layerFor("t");

      const decision = decide([own1, fromFile], who, what);

      assert.deepEqual(decide([own1, user(named)], who, what).allowed, decision.allowed);
      assert.equal(explain([own1, fromFile], who, what).decision === "allow", decision.allowed);
      if (what.kind === "tool") {
        const plain = plainly([own], what.name, open) &&
          plainly(
            named.filter((policy) => isFor(policy, who)).map(({ lists }) => lists),
            what.name,
          );
        assert.equal(decision.allowed, plain);
      }
    }),
    DEAR_RUNS,
  );
});

function joined(parts: readonly string[]): string {
  return parts.join("");
}

/** The rules of the documents, in the fewest words: slow, and without any index. */
function plainly(sets: readonly RuleTexts[], text: string, open: "allow" | "deny" = "deny") {
  const all = (list: "allow_tools" | "deny_tools") =>
    sets.some((set) => set[list] !== undefined)
      ? sets.flatMap((set) => set[list] ?? [])
      : undefined;
  const matches = (glob: string, reading: "allow" | "deny", form: "written" | "folded") =>
    compileMatcher(glob, { language: "name", reading, form })(
      new Text(form === "folded" ? foldName(text) : text),
    );
  const isDenied = (all("deny_tools") ?? []).some((glob) =>
    matches(glob, "deny", "written") || matches(glob, "deny", "folded")
  );
  if (isDenied) return false;
  const allow = all("allow_tools");
  if (allow === undefined) return open === "allow" && sets.length > 0;
  return allow.some((glob) => matches(glob, "allow", "written"));
}

function isFor({ users, groups, tunnels }: PolicyEntry, who: Principal): boolean {
  const covers = (globs: readonly string[], text: string) =>
    globs.some((glob) => glob.endsWith("*") ? text.startsWith(glob.slice(0, -1)) : glob === text);
  return (covers(users, who.user) || who.groups.some((group) => covers(groups, group))) &&
    (tunnels === undefined || covers(tunnels, "t"));
}

function isPrincipal(value: unknown): boolean {
  return typeof value === "object" && value !== null && "user" in value;
}

function tomlOf(all: readonly PolicyEntry[]): string {
  return all.map(({ users, groups, tunnels, lists }) =>
    `[[policy]]\n${
      Object.entries({ users, groups, ...(tunnels === undefined ? {} : { tunnels }), ...lists })
        .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("")
    }`
  ).join("");
}

function tunnel(own: RuleTexts, open: "allow" | "deny"): Layer {
  const placeOf = () => ({ line: 1, column: 1 });
  return compileTunnelLayer({ file: "mcptun.toml", lists: accepted(own), fallback: open, placeOf });
}

function user(all: readonly PolicyEntry[]): Layer {
  const placeOf = () => ({ line: 1, column: 1 });
  const checked = all.map((policy) => ({ ...policy, lists: accepted(policy.lists) }));
  return compileUserPolicy({ file: "user.toml", entries: checked, placeOf }).layerFor("t");
}

/** The generator makes well-formed patterns; should it fail to, this is where it shows. */
function accepted(own: RuleTexts): RuleTexts {
  for (const list of RULE_LISTS) {
    for (const glob of own[list] ?? []) {
      const problem = patternProblem(glob, list.endsWith("resources") ? "uri" : "name");
      assert.equal(problem, undefined, glob);
    }
  }
  return own;
}

function check<T>(property: fc.IPropertyWithHooks<T>, runs = RUNS): void {
  fc.assert(property, { numRuns: runs });
}
