/**
 * The rules of the policy file: every policy that matches the principal takes part, any deny wins,
 * at least one must allow.
 *
 * @module
 */

import { MAX_CACHED_PRINCIPALS } from "../limits.ts";
import type { Principal } from "../principal.ts";
import { finish, type Steps } from "../steps.ts";
import { denied, judgeRules, type Layer } from "./decide.ts";
import { compileMatcher, isExact, type Matcher, Text } from "./pattern.ts";
import type { PatternLanguage } from "./pattern_problem.ts";
import { type Place, type RuleListName, type RuleTexts } from "./rule.ts";
import { CompiledRules } from "./rules.ts";

/** One `[[policy]]`. Its patterns must have passed `patternProblem`. */
export interface PolicyEntry {
  /** Patterns; a user or a group of the principal must match. */
  readonly users: readonly string[];
  readonly groups: readonly string[];
  /** Absent: every tunnel. */
  readonly tunnels?: readonly string[];
  readonly lists: RuleTexts;
}

/** What {@link compileUserPolicy} compiles. */
export interface UserPolicySource {
  /** As people named it. */
  readonly file: string;
  readonly entries: readonly PolicyEntry[];
  /** Asked only for rules that decide. */
  readonly placeOf: (entry: number, list: RuleListName, index: number) => Place;
}

/** A whole policy file, compiled. */
export interface UserPolicy {
  /** How many policies it has. */
  readonly size: number;
  /** Its layer for one tunnel. */
  layerFor(tunnel: string): Layer;
  /** Which policies take part, by their place in the file. */
  matching(tunnel: string, principal: Principal): readonly number[];
}

/** Compiles a policy file: who is matched at once, the rules of a policy at its first use. */
export function compileUserPolicy(source: UserPolicySource): UserPolicy {
  return finish(userPolicySteps(source));
}

/** The same in steps. */
export function* userPolicySteps(source: UserPolicySource): Steps<UserPolicy> {
  const indices = {
    users: new SubjectIndex("subject"),
    groups: new SubjectIndex("subject"),
    tunnels: new SubjectIndex("tunnel"),
  };
  for (const [entry, { users, groups, tunnels = [] }] of source.entries.entries()) {
    yield* indices.users.addSteps(users, entry);
    yield* indices.groups.addSteps(groups, entry);
    yield* indices.tunnels.addSteps(tunnels, entry);
    yield;
  }
  return new CompiledUserPolicy(source, indices);
}

type Indices = Readonly<Record<"users" | "groups" | "tunnels", SubjectIndex>>;

class CompiledUserPolicy implements UserPolicy {
  readonly #source: UserPolicySource;
  readonly #indices: Indices;
  /** By tunnel, the policies that name it. */
  readonly #served = new Map<string, ReadonlySet<number>>();

  constructor(source: UserPolicySource, indices: Indices) {
    this.#source = source;
    this.#indices = indices;
  }

  get size(): number {
    return this.#source.entries.length;
  }

  layerFor(tunnel: string): Layer {
    const rulesOf = new RecentlyUsed<string, CompiledRules | undefined>(MAX_CACHED_PRINCIPALS);
    return {
      name: "user",
      judge: (principal, target) => {
        const key = keyOf(principal);
        const rules = rulesOf.get(key, () => this.#rulesFor(tunnel, principal));
        // An absent set of rules is the set that allows nothing: same path, another word for it.
        return rules === undefined ? denied("no_policy") : judgeRules(rules, target, "deny");
      },
    };
  }

  matching(tunnel: string, principal: Principal): readonly number[] {
    const found = new Set<number>();
    this.#indices.users.collect(principal.user, found);
    for (const group of principal.groups) this.#indices.groups.collect(group, found);
    return [...found].filter((index) => this.#isFor(index, tunnel)).sort((a, b) => a - b);
  }

  #rulesFor(tunnel: string, principal: Principal): CompiledRules | undefined {
    const indices = this.matching(tunnel, principal);
    if (indices.length === 0) return undefined;
    const { file, entries, placeOf } = this.#source;
    return new CompiledRules(indices.map((entry) => ({
      file,
      lists: entries[entry]!.lists,
      placeOf: (list, index) => placeOf(entry, list, index),
    })));
  }

  #isFor(index: number, tunnel: string): boolean {
    if (this.#source.entries[index]!.tunnels === undefined) return true;
    let served = this.#served.get(tunnel);
    if (served === undefined) {
      const found = new Set<number>();
      this.#indices.tunnels.collect(tunnel, found);
      this.#served.set(tunnel, served = found);
    }
    return served.has(index);
  }
}

/** Policies by whom they are for: a lookup for plain names, a walk over the patterns. */
class SubjectIndex {
  readonly #language: PatternLanguage;
  readonly #exact = new Map<string, number[]>();
  /** By pattern, so that one that stands in many policies is matched once. */
  readonly #wild = new Map<string, { readonly matches: Matcher; readonly entries: number[] }>();

  constructor(language: PatternLanguage) {
    this.#language = language;
  }

  *addSteps(patterns: readonly string[], entry: number): Steps<void> {
    for (const [index, pattern] of patterns.entries()) {
      if (index > 0) yield; // most have one, and the caller yields as well
      this.#add(pattern, entry);
    }
  }

  #add(pattern: string, entry: number): void {
    if (isExact(pattern)) {
      const entries = this.#exact.get(pattern);
      if (entries === undefined) this.#exact.set(pattern, [entry]);
      else entries.push(entry);
      return;
    }
    const wild = this.#wild.get(pattern);
    if (wild !== undefined) {
      wild.entries.push(entry);
      return;
    }
    // Now, and not for the first request: it would wait for all of them.
    const options = { language: this.#language, reading: "allow", form: "written" } as const;
    this.#wild.set(pattern, { matches: compileMatcher(pattern, options), entries: [entry] });
  }

  collect(name: string, found: Set<number>): void {
    for (const entry of this.#exact.get(name) ?? []) found.add(entry);
    const text = new Text(name);
    for (const { matches, entries } of this.#wild.values()) {
      if (matches(text)) { for (const entry of entries) found.add(entry); }
    }
  }
}

/** A bounded map that forgets what was unused for longest. */
class RecentlyUsed<K, V> {
  readonly #max: number;
  readonly #values = new Map<K, { readonly value: V }>();

  constructor(max: number) {
    this.#max = max;
  }

  get(key: K, make: () => V): V {
    const known = this.#values.get(key);
    // The order of a map is that of insertion; only a full one needs to know what was used.
    if (known !== undefined && this.#values.size < this.#max) return known.value;
    const held = known ?? { value: make() };
    this.#values.delete(key);
    if (this.#values.size >= this.#max) this.#values.delete(this.#values.keys().next().value!);
    this.#values.set(key, held);
    return held.value;
  }
}

/** One text per principal; lengths keep the parts apart. */
function keyOf({ user, groups }: Principal): string {
  let key = `${user.length}:${user}`;
  for (const group of groups) key += `${group.length}:${group}`;
  return key;
}
