/** What is valid in a set of rules and probably not meant. @module */

import { ORDINARY_METHODS } from "./methods.ts";
import { compileMatcher, foldName, isExact, normalOfExact, Text } from "./pattern.ts";
import { kindOfList, RULE_LISTS, type RuleListName, type RuleTexts } from "./rule.ts";
import { TARGET_KINDS, type TargetKind } from "./target.ts";
import type { PolicyEntry } from "./user_layer.ts";

/** One remark. */
export interface Lint {
  /** Key path below the policy or tunnel: a list, and the index of a pattern in it. */
  readonly path: readonly (string | number)[];
  /** What is odd, with the hint in parentheses. */
  readonly text: string;
}

/** Looks through all policies of a file. `declared`: names of the tunnels that exist, when known. */
export function lintPolicies(
  entries: readonly PolicyEntry[],
  declared?: readonly string[],
): Lint[] {
  // What is denied to everybody everywhere is denied to each policy's users too.
  const forAll = entries.filter(({ users, tunnels }) =>
    tunnels === undefined && users.some(matchesAll)
  );
  return entries.flatMap((entry, index) =>
    [
      ...subjectLints(entry, declared),
      ...lintRules(
        entry.lists,
        forAll.filter((other) => other !== entry).map(({ lists }) => lists),
      ),
    ].map(({ path, text }) => ({ path: ["policy", index, ...path], text }))
  );
}

/** Looks through the lists of one policy or tunnel. `others` are the lists whose denials hold as well. */
export function lintRules(lists: RuleTexts, others: readonly RuleTexts[] = []): Lint[] {
  const lints = RULE_LISTS.flatMap((list) =>
    (lists[list] ?? []).flatMap((pattern, index) => {
      const text = repeated(lists, list, index) ?? neverMatches(list, pattern) ??
        shadow(list, pattern, [lists, ...others]) ?? ordinary(list, pattern) ??
        narrow(list, pattern);
      return text === undefined ? [] : [{ path: [list, index], text }];
    })
  );
  return allowsEverything(lists)
    ? [...lints, {
      path: [],
      text:
        "allow_tools, allow_resources and allow_prompts together allow everything that the other " +
        "layers allow (name what is needed)",
    }]
    : lints;
}

function subjectLints(entry: PolicyEntry, declared: readonly string[] | undefined): Lint[] {
  const { users, groups, tunnels, lists } = entry;
  const lints: Lint[] = [];
  if (users.length === 0 && groups.length === 0) {
    lints.push({ path: [], text: "can never match: it lists no user and no group (add one)" });
  }
  if (tunnels?.length === 0) {
    lints.push({ path: ["tunnels"], text: "can never match: no tunnel (remove the key for all)" });
  }
  if (Object.keys(lists).length === 0) {
    lints.push({
      path: [],
      text:
        "has no rules, so it allows nothing (add allow_tools, allow_resources or allow_prompts)",
    });
  }
  for (const [index, pattern] of (declared === undefined ? [] : tunnels ?? []).entries()) {
    const matches = compileMatcher(pattern, {
      language: "tunnel",
      reading: "allow",
      form: "written",
    });
    if (declared!.some((name) => matches(new Text(name)))) continue;
    const known = declared!.length === 0 ? "none" : declared!.join(", ");
    lints.push({
      path: ["tunnels", index],
      text: `${shown(pattern)} matches no declared tunnel (declared: ${known})`,
    });
  }
  return lints;
}

function repeated(lists: RuleTexts, list: RuleListName, index: number): string | undefined {
  const patterns = lists[list]!;
  return patterns.indexOf(patterns[index]!) < index
    ? `${shown(patterns[index]!)} stands in this list already (remove one)`
    : undefined;
}

function neverMatches(list: RuleListName, pattern: string): string | undefined {
  const hint = (text: string) => `${shown(pattern)} can never match (${text})`;
  if (pattern !== pattern.trim()) return hint("it begins or ends with a space");
  if (kindOfList(list) !== "resource") return undefined;
  const [literal = ""] = /^[^*?[{]*/.exec(pattern)!;
  const isUri = isExact(pattern) ? /^[a-z][a-z0-9+.-]*:/ : /^(?:[a-z][a-z0-9+.-]*(?::|$)|$)/;
  if (isUri.test(literal)) return undefined;
  return hint('a URI begins with a scheme, such as "file:///repo/**"');
}

/** An allow rule all of which a deny rule forbids. */
function shadow(
  list: RuleListName,
  pattern: string,
  sets: readonly RuleTexts[],
): string | undefined {
  if (!list.startsWith("allow_")) return undefined;
  const denyList = list.replace("allow_", "deny_") as RuleListName;
  for (const lists of sets) {
    const denying = (lists[denyList] ?? []).find((deny) => covers(deny, pattern, kindOfList(list)));
    if (denying !== undefined) {
      return `${shown(pattern)} can never allow: ${denyList} has ${shown(denying)} (remove one)`;
    }
  }
  return undefined;
}

/** Does the deny pattern surely match all that the allow pattern does? Not all such pairs are found. */
function covers(deny: string, allow: string, kind: TargetKind): boolean {
  if (deny === allow || matchesAll(deny)) return true;
  const language = kind === "resource" ? "uri" : "name";
  if (isExact(allow)) {
    const options = { language, reading: "deny" } as const;
    const folded = foldName(language === "uri" ? normalOfExact(allow) : allow);
    const form = language === "uri" ? "normal folded" : "folded";
    return compileMatcher(deny, { ...options, form: "written" })(new Text(allow)) ||
      compileMatcher(deny, { ...options, form })(new Text(folded));
  }
  const start = /^([^*?[\]{}]*[^*?[\]{}/]|)(?:\*|\/\*\*?)$/.exec(deny)?.[1];
  return start !== undefined && allow.startsWith(start) &&
    (!deny.includes("/*") || deny.startsWith(`${start}*`) || allow.startsWith(`${start}/`));
}

function ordinary(list: RuleListName, pattern: string): string | undefined {
  return list === "allow_methods" && ORDINARY_METHODS.has(pattern)
    ? `${
      shown(pattern)
    } needs no rule (what it names or answers is judged; deny_methods forbids it)`
    : undefined;
}

/** `*` where nothing that people mean has a single segment. */
function narrow(list: RuleListName, pattern: string): string | undefined {
  const isNarrow = list === "allow_resources"
    ? /^(?:[a-z][a-z0-9+.-]*:\/{0,3})?\*$/.test(pattern)
    : list === "allow_methods" && pattern === "*";
  return isNarrow
    ? `${shown(pattern)} stops at the next "/" (write ${shown(`${pattern}*`)} for all below)`
    : undefined;
}

function allowsEverything(lists: RuleTexts): boolean {
  const hasDeny = RULE_LISTS.some((list) => list.startsWith("deny_") && lists[list] !== undefined);
  return !hasDeny &&
    TARGET_KINDS.filter((kind) => kind !== "method").every((kind) =>
      (lists[`allow_${kind}s`] ?? []).some((pattern) =>
        pattern === "**" || (kind !== "resource" && pattern === "*")
      )
    );
}

function matchesAll(pattern: string): boolean {
  return pattern === "*" || pattern === "**";
}

function shown(pattern: string): string {
  return JSON.stringify(pattern);
}
