/**
 * Patterns with wildcards, found by what they begin or end with: of hundreds only few are tried.
 *
 * @module
 */

import { compileMatcher, foldName, type Matcher, type Reading, type Text } from "./pattern.ts";

/** What the index holds; `order` says which of two that match comes first. */
export interface Ordered {
  readonly pattern: string;
  readonly order: number;
}

/** The matchers of one pattern. */
export interface Matchers {
  readonly written: Matcher;
  /** URIs: in normal form. For deny rules: folded, or either. `undefined` when that is the same. */
  readonly second: Matcher | undefined;
}

/** Longest start or end that is looked up, characters: more would not tell more patterns apart. */
const MAX_KEY_CHARS = 24;

/** Patterns of one list. */
export class WildIndex<T extends Ordered> {
  readonly #byStart = new Map<string, Wild<T>[]>();
  readonly #byEnd = new Map<string, Wild<T>[]>();
  readonly #others: Wild<T>[] = [];
  /** The lengths of the keys of both maps. */
  readonly #startLengths = new Set<number>();
  readonly #endLengths = new Set<number>();

  /** Compiles and adds a pattern that has wildcards. */
  add(item: T, language: "name" | "uri", reading: Reading): void {
    const wild: Wild<T> = { item, matchers: matchersOf(item.pattern, language, reading) };
    const { pattern } = item;
    // A slash beside "**" need not be there, so it is no part of the key. With a second form, the
    // key of the first says nothing.
    const isPlain = wild.matchers.second === undefined;
    const start = isPlain ? /^[^*?[{]*/.exec(pattern)![0].replace(/\/$/, "") : "";
    const end = isPlain ? /[^*?\]}]*$/.exec(pattern)![0].replace(/^\//, "") : "";
    if (start !== "") {
      const key = start.slice(0, MAX_KEY_CHARS);
      push(this.#byStart, key, wild);
      this.#startLengths.add(key.length);
    } else if (end !== "") {
      const key = end.slice(-MAX_KEY_CHARS);
      push(this.#byEnd, key, wild);
      this.#endLengths.add(key.length);
    } else this.#others.push(wild);
  }

  /** The first item before `before` whose pattern may match one of `texts` and passes `test`. */
  find(
    texts: readonly Text[],
    before: number,
    test: (matchers: Matchers) => boolean,
  ): T | undefined {
    let found: T | undefined;
    const visit = (wilds: readonly Wild<T>[] | undefined): void => {
      if (wilds === undefined) return;
      for (const { item, matchers } of wilds) {
        // In order, so no later one can come before what is found.
        if (item.order >= (found?.order ?? before)) return;
        if (test(matchers)) found = item;
      }
    };
    visit(this.#others);
    for (const { text } of texts) {
      for (const length of this.#startLengths) visit(this.#byStart.get(text.slice(0, length)));
      for (const length of this.#endLengths) visit(this.#byEnd.get(text.slice(-length)));
    }
    return found;
  }
}

interface Wild<T> {
  readonly item: T;
  readonly matchers: Matchers;
}

function matchersOf(pattern: string, language: "name" | "uri", reading: Reading): Matchers {
  const written = compileMatcher(pattern, { language, reading, form: "written" });
  const isUri = language === "uri";
  const forms: ("normal" | "folded" | "normal folded")[] = [];
  if (isUri && !isNormal(pattern)) forms.push("normal");
  // What is encoded may have capitals in it.
  if (reading === "deny" && (forms.length > 0 || foldName(pattern) !== pattern)) {
    forms.push(isUri ? "normal folded" : "folded");
  }
  const [first, other] = forms.map((form) => compileMatcher(pattern, { language, reading, form }));
  if (first === undefined || other === undefined) return { written, second: first };
  return { written, second: (text) => first(text) || other(text) };
}

/** ASCII, nothing encoded, and no empty segment behind the authority. */
function isNormal(pattern: string): boolean {
  return /^[\x00-\x24\x26-\x7f]*$/.test(pattern) &&
    !pattern.replace(/^[^/]*:\/\//, "x").slice(1).includes("//") && !pattern.startsWith("//");
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
