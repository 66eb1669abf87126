/** What was probably meant: near misses between a policy file, its tests, and what people ask. @module */

import type { LoadedConfig } from "../config/load.ts";
import { nearest } from "../config/nearest.ts";
import type { LoadedPolicy } from "../config/policy_file.ts";
import { METHODS } from "../mcp/methods.ts";
import { ORDINARY_METHODS } from "../policy/methods.ts";
import { compileMatcher, isExact, Text } from "../policy/pattern.ts";
import type { Target } from "../policy/target.ts";
import type { Principal } from "../principal.ts";

/** Remarks on the file for `policy check`, each with its place. */
export function policyHints(loaded: LoadedPolicy, config: LoadedConfig | undefined): string[] {
  const hints: string[] = [];
  const say = (path: readonly (string | number)[], text: string): void => {
    hints.push(`${loaded.place(path)}: ${text}`);
  };
  for (const [index, { users, groups, tunnels = [], lists }] of loaded.entries.entries()) {
    for (const [name, subjects] of [["users", users], ["groups", groups]] as const) {
      for (const at of repeatedAt(subjects)) {
        const text = `${quoted(subjects[at]!)} stands in this list already (remove one)`;
        say(["policy", index, name, at], text);
      }
    }
    for (const [at, pattern] of tunnels.entries()) {
      if (!isTransparentOnly(pattern, config)) continue;
      const text = `${quoted(pattern)} is transparent, so nothing is judged there ` +
        '(set mode = "aware" on the tunnel)';
      say(["policy", index, "tunnels", at], text);
    }
    for (const name of ["allow_methods", "deny_methods"] as const) {
      for (const [at, pattern] of (lists[name] ?? []).entries()) {
        const meant = meantMethod(pattern);
        if (meant === undefined) continue;
        const text = `${quoted(pattern)} is no method of MCP (did you mean ${quoted(meant)}?)`;
        say(["policy", index, name, at], text);
      }
    }
  }
  hints.push(...testHints(loaded));
  return hints;
}

/** What the one who asked for an explanation may have meant; nothing when it is allowed. */
export function explainHints({ loaded, config, principal, tunnel, target }: {
  readonly loaded: LoadedPolicy;
  readonly config: LoadedConfig | undefined;
  readonly principal: Principal;
  readonly tunnel: string;
  readonly target: Target;
}): string[] {
  const { entries, policy } = loaded;
  const meant = new Map<string, string | undefined>();
  if (policy.matching(tunnel, principal).length === 0) {
    meant.set("--user", near(principal.user, entries.flatMap(({ users }) => users)));
    if (config === undefined) {
      meant.set("--tunnel", near(tunnel, entries.flatMap(({ tunnels }) => tunnels ?? [])));
    }
  }
  const lists = [
    ...entries.map((entry) => entry.lists),
    ...(config?.config.tunnels ?? []).map(({ rules }) => rules.lists),
  ];
  const { kind } = target;
  const names = lists.flatMap((list) => [
    ...(list[`allow_${kind}s`] ?? []),
    ...(list[`deny_${kind}s`] ?? []),
  ]);
  const name = kind === "method"
    ? meantMethod(target.name) ?? near(target.name, names)
    : near(target.name, names);
  meant.set(`--${kind}`, name);
  return [...meant].flatMap(([flag, word]) =>
    word === undefined ? [] : [`Did you mean ${flag} ${quoted(word)}?`]
  );
}

/** A test that passes because its user is written differently proves nothing. */
function testHints({ tests, entries, policy, place }: LoadedPolicy): string[] {
  const users = new Set(entries.flatMap((entry) => entry.users));
  const hints: string[] = [];
  for (const [index, { user, groups, tunnel, expect }] of tests.entries()) {
    if (expect !== "deny" || users.has(user)) continue;
    if (policy.matching(tunnel, { user, groups, how: "user_token" }).length > 0) continue;
    // Not without one that is alike: that strangers are denied is worth a test.
    const meant = near(user, users);
    if (meant === undefined) continue;
    const text = `no policy names ${quoted(user)}, so it passes whatever the rules are ` +
      `(did you mean ${quoted(meant)}?)`;
    hints.push(`${place(["test", index, "user"])}: ${text}`);
    if (hints.length >= MAX_TEST_HINTS) break;
  }
  return hints;
}

function repeatedAt(texts: readonly string[]): number[] {
  const seen = new Set<string>();
  return texts.flatMap((text, at) => {
    if (seen.has(text)) return [at];
    seen.add(text);
    return [];
  });
}

/** Does it match declared tunnels, none of them aware? */
function isTransparentOnly(pattern: string, config: LoadedConfig | undefined): boolean {
  const matches = compileMatcher(pattern, {
    language: "tunnel",
    reading: "allow",
    form: "written",
  });
  const matched = (config?.config.tunnels ?? []).filter(({ name }) => matches(new Text(name)));
  return matched.length > 0 && matched.every(({ mode }) => mode === "transparent");
}

/** The method that an unknown one is nearly. */
function meantMethod(name: string): string | undefined {
  const known = [...ORDINARY_METHODS, ...METHODS.map((row) => row.name)];
  return near(name, known);
}

/** The exact name that is nearly this one; nothing when it is there as it is. */
function near(name: string, patterns: Iterable<string>): string | undefined {
  const exact = new Set([...patterns].filter(isExact));
  if (!isExact(name) || exact.has(name)) return undefined;
  const alike = [...exact].filter((one) => Math.abs(one.length - name.length) <= NEAR_CHARS);
  return nearest(name, alike.slice(0, MAX_COMPARED));
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

/** Names whose lengths differ by more are not compared. */
const NEAR_CHARS = 4;
/** Names compared to find the one that was meant: a second's work at most. */
const MAX_COMPARED = 10_000;
/** Hints about tests; one shows what is wrong with the others. */
const MAX_TEST_HINTS = 20;
