/** One list of rules, compiled: maps for names, an index for patterns. @module */

import { foldName, isExact, normalOfExact } from "./pattern.ts";
import { kindOfList, type Rule, type RuleListName, type RuleSource } from "./rule.ts";
import type { PreparedTarget } from "./target.ts";
import { WildIndex } from "./wild_index.ts";

/** A list, compiled. `find` gives the first rule that matches. */
export interface RuleList {
  find(target: PreparedTarget): Rule | undefined;
}

/** The list `name` of all sources, one after the other; `undefined` when none has it. */
export function compileList(
  sources: readonly RuleSource[],
  name: RuleListName,
): RuleList | undefined {
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

/** Allows what a rule matches as written, and of URIs in normal form as well. */
class AllowList implements RuleList {
  readonly #exact = new Map<string, RuleRef>();
  readonly #wild = new WildIndex<RuleRef>();

  constructor(refs: readonly RuleRef[], language: "name" | "uri") {
    for (const ref of unique(refs)) {
      if (isExact(ref.pattern)) this.#exact.set(ref.pattern, ref);
      else this.#wild.add(ref, language, "allow");
    }
  }

  find({ written, normal }: PreparedTarget): Rule | undefined {
    const ref = this.#exact.get(written.text);
    const exact = ref !== undefined && normal !== undefined &&
        normalOfExact(ref.pattern) !== normal.text
      ? undefined
      : ref;
    const wild = this.#wild.find(
      [written],
      exact?.order ?? Infinity,
      (matchers) =>
        matchers.written(written) &&
        (normal === undefined || (matchers.second ?? matchers.written)(normal)),
    );
    return (wild ?? exact)?.rule;
  }
}

/** Denies what a rule matches in any form. */
class DenyList implements RuleList {
  readonly #exact = new Map<string, RuleRef>();
  readonly #wild = new WildIndex<RuleRef>();

  constructor(refs: readonly RuleRef[], language: "name" | "uri") {
    for (const ref of unique(refs)) {
      if (isExact(ref.pattern)) this.#addExact(ref, language);
      else this.#wild.add(ref, language, "deny");
    }
  }

  #addExact(ref: RuleRef, language: "name" | "uri"): void {
    const normal = language === "name" ? ref.pattern : normalOfExact(ref.pattern);
    const folded = foldName(normal);
    const forms = language === "name"
      ? [folded]
      : [ref.pattern, ...[normal, folded].flatMap((form) => [form, form.replace(/\/$/, "")])];
    for (const form of forms) if (!this.#exact.has(form)) this.#exact.set(form, ref);
  }

  find({ forms }: PreparedTarget): Rule | undefined {
    let exact: RuleRef | undefined;
    for (const form of forms) {
      const ref = this.#exact.get(form.text);
      if (ref !== undefined && (exact === undefined || ref.order < exact.order)) exact = ref;
    }
    const wild = this.#wild.find(forms, exact?.order ?? Infinity, ({ written, second }) => {
      for (const form of forms) if (written(form) || second?.(form) === true) return true;
      return false;
    });
    return (wild ?? exact)?.rule;
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
