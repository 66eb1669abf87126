/**
 * The rules of one layer, compiled: lists of allow and deny patterns per kind of target.
 *
 * Lists of several policies are put one after the other, never merged or intersected: an absent list
 * and an empty one stay two things.
 *
 * @module
 */

import { compileMatcher, foldName, isExact, type Matcher, normalOfExact } from "./pattern.ts";
import type { PreparedTarget, TargetKind } from "./target.ts";

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

/** A list, compiled. `find` gives the first rule that matches. */
interface RuleList {
  find(target: PreparedTarget): Rule | undefined;
}

function compileList(sources: readonly RuleSource[], name: RuleListName): RuleList | undefined {
  const refs: RuleRef[] = [];
  let isThere = false;
  for (const source of sources) {
    const texts = source.lists[name];
    if (texts === undefined) continue;
    isThere = true;
    for (const [index, pattern] of texts.entries()) {
      refs.push(new RuleRef({ source, list: name, index, pattern, order: refs.length }));
    }
  }
  if (!isThere) return undefined;
  const language = kindOfList(name) === "resource" ? "uri" : "name";
  return name.startsWith("deny_") ? new DenyList(refs, language) : new AllowList(refs, language);
}

class RuleRef {
  readonly pattern: string;
  readonly order: number;
  readonly #source: RuleSource;
  readonly #list: RuleListName;
  readonly #index: number;
  #rule: Rule | undefined;

  constructor({ source, list, index, pattern, order }: {
    readonly source: RuleSource;
    readonly list: RuleListName;
    readonly index: number;
    readonly pattern: string;
    readonly order: number;
  }) {
    this.pattern = pattern;
    this.order = order;
    this.#source = source;
    this.#list = list;
    this.#index = index;
  }

  get rule(): Rule {
    return this.#rule ??= {
      list: this.#list,
      pattern: this.pattern,
      file: this.#source.file,
      ...this.#source.placeOf(this.#list, this.#index),
    };
  }
}

/** A pattern with wildcards; the matchers of its two forms. */
interface Wild {
  readonly ref: RuleRef;
  readonly written: Matcher;
  /** Names: folded, for deny rules. URIs: in normal form. */
  readonly second: Matcher;
}

/** Allows what a rule matches as written, and of URIs in normal form as well. */
class AllowList implements RuleList {
  readonly #exact = new Map<string, RuleRef>();
  readonly #wild: Wild[] = [];

  constructor(refs: readonly RuleRef[], language: "name" | "uri") {
    for (const ref of unique(refs)) {
      if (isExact(ref.pattern)) this.#exact.set(ref.pattern, ref);
      else {
        const options = { language, reading: "allow", form: "written" } as const;
        const written = compileMatcher(ref.pattern, options);
        const second = language === "name"
          ? written
          : compileMatcher(ref.pattern, { ...options, form: "normal" });
        this.#wild.push({ ref, written, second });
      }
    }
  }

  find({ written, normal }: PreparedTarget): Rule | undefined {
    const ref = this.#exact.get(written.text);
    const exact = ref !== undefined && normal !== undefined &&
        normalOfExact(ref.pattern) !== normal.text
      ? undefined
      : ref;
    for (const wild of this.#wild) {
      if (exact !== undefined && exact.order < wild.ref.order) break;
      if (wild.written(written) && (normal === undefined || wild.second(normal))) {
        return wild.ref.rule;
      }
    }
    return exact?.rule;
  }
}

/** Denies what a rule matches in any form. */
class DenyList implements RuleList {
  readonly #exact = new Map<string, RuleRef>();
  readonly #wild: Wild[] = [];

  constructor(refs: readonly RuleRef[], language: "name" | "uri") {
    for (const ref of unique(refs)) {
      if (isExact(ref.pattern)) this.#addExact(ref, language);
      else {
        const options = { language, reading: "deny", form: "written" } as const;
        const form = language === "name" ? "folded" : "normal";
        const written = compileMatcher(ref.pattern, options);
        const second = compileMatcher(ref.pattern, { ...options, form });
        this.#wild.push({ ref, written, second });
      }
    }
  }

  #addExact(ref: RuleRef, language: "name" | "uri"): void {
    const forms = language === "name"
      ? [foldName(ref.pattern)]
      : [ref.pattern, normalOfExact(ref.pattern), normalOfExact(ref.pattern).replace(/\/$/, "")];
    for (const form of forms) if (!this.#exact.has(form)) this.#exact.set(form, ref);
  }

  find({ forms }: PreparedTarget): Rule | undefined {
    let exact: RuleRef | undefined;
    for (const form of forms) {
      const ref = this.#exact.get(form.text);
      if (ref !== undefined && (exact === undefined || ref.order < exact.order)) exact = ref;
    }
    for (const { ref, written, second } of this.#wild) {
      if (exact !== undefined && exact.order < ref.order) break;
      if (forms.some((form) => written(form) || second(form))) return ref.rule;
    }
    return exact?.rule;
  }
}

/** The first of each pattern: a later one with the same text never decides. */
function unique(refs: readonly RuleRef[]): RuleRef[] {
  const seen = new Set<string>();
  return refs.filter(({ pattern }) => {
    if (seen.has(pattern)) return false;
    seen.add(pattern);
    return true;
  });
}
