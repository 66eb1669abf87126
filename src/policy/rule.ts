/** What a rule is: a pattern in a list, with the place where it is written. @module */

import type { TargetKind } from "./target.ts";

/** The lists of rules that a tunnel or a policy may have. */
export const RULE_LISTS = [
  "allow_tools",
  "deny_tools",
  "allow_resources",
  "deny_resources",
  "allow_prompts",
  "deny_prompts",
  "allow_methods",
  "deny_methods",
] as const;

/** One of {@link RULE_LISTS}. */
export type RuleListName = typeof RULE_LISTS[number];

/** The patterns of each list, as written. An absent list is not an empty one. */
export type RuleTexts = Readonly<Partial<Record<RuleListName, readonly string[]>>>;

/** Where something stands in a file, one-based. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** One rule, as people find it again. */
export interface Rule extends Place {
  readonly list: RuleListName;
  readonly pattern: string;
  /** As people named it. */
  readonly file: string;
}

/** Lists that stand together: those of one tunnel, or of one policy. */
export interface RuleSource {
  readonly file: string;
  readonly lists: RuleTexts;
  /** Asked only for rules that decide. */
  readonly placeOf: (list: RuleListName, index: number) => Place;
}

/** The kind of target that a list is about. */
export function kindOfList(list: RuleListName): TargetKind {
  // Proof of the cast: lists are called after the plural of a kind.
  return list.replace(/^(allow|deny)_/, "").slice(0, -1) as TargetKind;
}
