/**
 * The rules of one layer, compiled: lists of allow and deny patterns per kind of target.
 *
 * Lists of several policies are put one after the other, never merged or intersected: an absent list
 * and an empty one stay two things.
 *
 * @module
 */

import type { Rule, RuleListName, RuleSource } from "./rule.ts";
import { compileList, type RuleList } from "./rule_list.ts";
import type { PreparedTarget, TargetKind } from "./target.ts";

/** All rules of some sources, in their order, compiled when they are first needed. */
export class CompiledRules {
  readonly #sources: readonly RuleSource[];
  readonly #lists = new Map<RuleListName, RuleList | undefined>();

  constructor(sources: readonly RuleSource[]) {
    this.#sources = sources;
  }

  /** The rule that denies the target. */
  denying(target: PreparedTarget): Rule | undefined {
    return this.#list(DENY_LIST[target.kind])?.find(target);
  }

  /** The rule that allows the target; `"no_list"` when none of the sources has a list for its kind. */
  allowing(target: PreparedTarget): Rule | "no_list" | undefined {
    const list = this.#list(ALLOW_LIST[target.kind]);
    return list === undefined ? "no_list" : list.find(target);
  }

  #list(name: RuleListName): RuleList | undefined {
    if (!this.#lists.has(name)) this.#lists.set(name, compileList(this.#sources, name));
    return this.#lists.get(name);
  }
}

const ALLOW_LIST: Readonly<Record<TargetKind, RuleListName>> = {
  tool: "allow_tools",
  resource: "allow_resources",
  prompt: "allow_prompts",
  method: "allow_methods",
};
const DENY_LIST: Readonly<Record<TargetKind, RuleListName>> = {
  tool: "deny_tools",
  resource: "deny_resources",
  prompt: "deny_prompts",
  method: "deny_methods",
};
