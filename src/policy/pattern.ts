/**
 * Patterns, compiled: `*` within a path segment, `**` across segments, `?`, `[a-z]`, `{a,b}`.
 *
 * A pattern is cut at its stars, and what stands between is looked for from left to right, first
 * place first. Nothing is tried again, so the time is at most pattern times target: a regular
 * expression for `*a*a*b` would take the power of its stars, on text that a client chooses.
 *
 * @module
 */

import { expandBraces, type PatternLanguage } from "./pattern_problem.ts";
import { decodeOnce } from "./uri.ts";

/** A text to match, with its segments cut once. */
export class Text {
  readonly text: string;
  #segments: readonly string[] | undefined;
  #hasDots: boolean | undefined;

  constructor(text: string) {
    this.text = text;
  }

  get segments(): readonly string[] {
    return this.#segments ??= this.text.split("/");
  }

  /** Has it a segment `.` or `..`, which no wildcard of an allow rule covers? */
  get hasDots(): boolean {
    return this.#hasDots ??= this.segments.some((segment) => segment === "." || segment === "..");
  }
}

/** Allow rules are read narrowly, deny rules broadly. */
export type Reading = "allow" | "deny";

/** How one form of a pattern is compiled. */
export interface MatcherOptions {
  readonly language: PatternLanguage;
  readonly reading: Reading;
  /** `normal`: of URIs, decoded as targets are; `folded`: for deny rules, see {@link foldName}. */
  readonly form: "written" | "normal" | "folded" | "normal folded";
}

/** Does the pattern match? */
export type Matcher = (target: Text) => boolean;

/** True when the pattern is one text, so that a lookup in a map can stand for it. */
export function isExact(pattern: string): boolean {
  return !/[*?[{]/.test(pattern);
}

/** Compiles a pattern that `patternProblem` has passed. */
export function compileMatcher(pattern: string, options: MatcherOptions): Matcher {
  const programs = expandBraces(pattern).map((one) => compileOne(one, options));
  if (programs.length === 1) return programs[0]!;
  return (target) => programs.some((matches) => matches(target));
}

/** An exact URI pattern in normal form, for maps. */
export function normalOfExact(pattern: string): string {
  const options = { language: "uri", reading: "deny", form: "normal" } as const;
  return segmentsOf(pattern, options).map((segment) =>
    segment === ACROSS ? "**" : segment.literal ?? ""
  ).join("/");
}

/** Names that a careless server or reader takes for one another: NFKC, case folded, no invisible characters. */
export function foldName(name: string): string {
  if (/^[\x00-\x7f]*$/.test(name)) return name.toLowerCase();
  return name.normalize("NFKC").replace(/\p{Default_Ignorable_Code_Point}/gu, "")
    .toUpperCase().toLowerCase().replaceAll("ς", "σ").normalize("NFKC");
}

/** The stars between segments. */
const ACROSS = Symbol("**");

/** One character: its code point, any (`undefined`), or a class. */
type Character = number | undefined | CharacterClass;

/** Characters between two stars. */
interface Fragment {
  readonly characters: readonly Character[];
  /** All of it, when every character is itself. */
  readonly literal: string | undefined;
}

/** One segment: fragments with `*` between them. */
interface Glob {
  readonly fragments: readonly Fragment[];
  /** All of it, when there is no wildcard. */
  readonly literal: string | undefined;
}

type Segment = Glob | typeof ACROSS;

class CharacterClass {
  readonly #ranges: readonly (readonly [from: number, to: number])[];
  readonly #folded: boolean;

  constructor(body: string, folded: boolean) {
    this.#ranges = [...body.matchAll(/(.)-(.)|./gsu)].map(([one, from, to]) => [
      (from ?? one).codePointAt(0)!,
      (to ?? one).codePointAt(0)!,
    ]);
    this.#folded = folded;
  }

  has(point: number): boolean {
    if (this.#covers(point)) return true;
    // A folded name is in lower case, a class may be in capitals.
    return this.#folded && this.#covers(String.fromCodePoint(point).toUpperCase().codePointAt(0)!);
  }

  #covers(point: number): boolean {
    for (const [from, to] of this.#ranges) if (point >= from && point <= to) return true;
    return false;
  }
}

function compileOne(pattern: string, options: MatcherOptions): Matcher {
  const segments = segmentsOf(pattern, options);
  const isNarrow = options.reading === "allow";
  const literal = literalOf(segments);
  if (literal !== undefined) return ({ text }) => text === literal;
  if (options.language === "subject" || options.language === "tunnel") {
    // Proof of the cast: names are not cut, so there is one segment, and it has a wildcard.
    const glob = segments[0] as Glob;
    return ({ text }) => matchesGlob(glob, text, "deny");
  }
  if (options.reading === "deny") broaden(segments);
  const groups = groupsOf(segments);
  const prefix = prefixOf(segments);
  const suffix = suffixOf(segments);
  return (target) => {
    // Most patterns fail here, for little.
    const { text } = target;
    if (!text.startsWith(prefix) || !text.endsWith(suffix)) return false;
    if (isNarrow && target.hasDots) return false;
    return matchesGroups(groups, target.segments, options.reading);
  };
}

/** In a deny rule, a last segment that ends in `*` matches what is deeper too. */
function broaden(segments: Segment[]): void {
  const last = segments.at(-1);
  if (last === undefined || last === ACROSS || last.literal !== undefined) return;
  if (last.fragments.at(-1)!.characters.length > 0) return;
  if (isStar(last)) segments.pop();
  segments.push(ACROSS);
}

function isStar(glob: Glob): boolean {
  return glob.fragments.length > 1 &&
    glob.fragments.every(({ characters }) => characters.length === 0);
}

function literalOf(segments: readonly Segment[]): string | undefined {
  const literals: string[] = [];
  for (const segment of segments) {
    if (segment === ACROSS || segment.literal === undefined) return undefined;
    literals.push(segment.literal);
  }
  return literals.join("/");
}

/** What every match begins with: whole segments, or the start of the first that has a wildcard. */
function prefixOf(segments: readonly Segment[]): string {
  const literals: string[] = [];
  for (const segment of segments) {
    // "a/**" matches "a" as well, so the slash before "**" is no part of it.
    if (segment === ACROSS) return literals.join("/");
    if (segment.literal === undefined) {
      return [...literals, segment.fragments[0]!.literal ?? ""].join("/");
    }
    literals.push(segment.literal);
  }
  return literals.join("/");
}

/** What every match ends with: as far back as the first wildcard. */
function suffixOf(segments: readonly Segment[]): string {
  const last = segments.at(-1);
  return last === undefined || last === ACROSS ? "" : last.fragments.at(-1)!.literal ?? "";
}

/** The segments between `**`: the first group stands at the start, the last one at the end. */
function groupsOf(segments: readonly Segment[]): Glob[][] {
  const groups: Glob[][] = [[]];
  for (const segment of segments) {
    if (segment === ACROSS) groups.push([]);
    else groups.at(-1)!.push(segment);
  }
  return groups;
}

function matchesGroups(
  groups: readonly (readonly Glob[])[],
  segments: readonly string[],
  reading: Reading,
): boolean {
  const first = groups[0]!;
  if (!groupAt(first, segments, 0, reading)) return false;
  if (groups.length === 1) return segments.length === first.length;
  const last = groups.at(-1)!;
  const end = segments.length - last.length;
  let at = first.length;
  if (end < at || !groupAt(last, segments, end, reading)) return false;
  for (const group of groups.slice(1, -1)) {
    while (at + group.length <= end && !groupAt(group, segments, at, reading)) at++;
    at += group.length;
    if (at > end) return false;
  }
  return true;
}

function groupAt(
  group: readonly Glob[],
  segments: readonly string[],
  at: number,
  reading: Reading,
): boolean {
  if (at + group.length > segments.length) return false;
  for (let index = 0; index < group.length; index++) {
    if (!matchesGlob(group[index]!, segments[at + index]!, reading)) return false;
  }
  return true;
}

function matchesGlob(glob: Glob, text: string, reading: Reading): boolean {
  if (glob.literal !== undefined) return text === glob.literal;
  // A lone "*" is a segment that is there; a deny rule does not mind.
  if (text === "" && reading === "allow" && isStar(glob)) return false;
  const { fragments } = glob;
  let at = endOf(fragments[0]!, text, 0);
  if (at === -1) return false;
  if (fragments.length === 1) return at === text.length;
  for (let index = 1; index < fragments.length - 1; index++) {
    at = find(fragments[index]!, text, at);
    if (at === -1) return false;
  }
  const last = fragments.at(-1)!;
  const start = startFromEnd(last, text);
  return start >= at && endOf(last, text, start) === text.length;
}

/** Where the fragment ends that begins at `at`; -1 when it is not there. */
function endOf(fragment: Fragment, text: string, at: number): number {
  if (fragment.literal !== undefined) {
    return text.startsWith(fragment.literal, at) ? at + fragment.literal.length : -1;
  }
  for (const character of fragment.characters) {
    if (at >= text.length) return -1;
    const point = text.codePointAt(at)!;
    const fits = character === undefined || character === point ||
      (typeof character !== "number" && character.has(point));
    if (!fits) return -1;
    at += point > 0xffff ? 2 : 1;
  }
  return at;
}

/** Where the first occurrence from `at` on ends; -1 when there is none. */
function find(fragment: Fragment, text: string, at: number): number {
  if (fragment.literal !== undefined) {
    const start = text.indexOf(fragment.literal, at);
    return start === -1 ? -1 : start + fragment.literal.length;
  }
  for (let start = at; start < text.length; start++) {
    const end = endOf(fragment, text, start);
    if (end !== -1) return end;
    if (text.codePointAt(start)! > 0xffff) start++;
  }
  return -1;
}

/** Where a fragment would begin that ends the text; -1 when the text is too short. */
function startFromEnd(fragment: Fragment, text: string): number {
  if (fragment.literal !== undefined) return text.length - fragment.literal.length;
  let at = text.length;
  for (let count = fragment.characters.length; count > 0; count--) {
    if (at <= 0) return -1;
    at--;
    // The second half of a pair has its first half before it.
    const unit = text.charCodeAt(at);
    if (unit >= 0xdc00 && unit <= 0xdfff) at--;
  }
  return at;
}

/** Cuts a pattern without braces into segments; names of users and tunnels are not cut. */
function segmentsOf(pattern: string, { language, form }: MatcherOptions): Segment[] {
  const isFlat = language === "subject" || language === "tunnel";
  const builder = new SegmentBuilder();
  for (const [token] of pattern.matchAll(/\[[^[\]]*\]|\*+|\?|\/|[^[*?/]+/g)) {
    if (token === "/" && !isFlat) builder.cut();
    else if (token.startsWith("[")) {
      builder.add(new CharacterClass(token.slice(1, -1), isFolded(form)));
    } else if (token === "?") builder.add(undefined);
    else if (token === "**" && !isFlat) builder.across();
    else if (token.startsWith("*")) builder.star();
    else addLiteral(builder, token, form);
  }
  const segments = builder.end();
  return isNormal(form) ? withoutEmpty(segments) : segments;
}

function isNormal(form: MatcherOptions["form"]): boolean {
  return form === "normal" || form === "normal folded";
}

function isFolded(form: MatcherOptions["form"]): boolean {
  return form === "folded" || form === "normal folded";
}

function addLiteral(builder: SegmentBuilder, run: string, form: MatcherOptions["form"]): void {
  const decoded = isNormal(form) ? decodeOnce(run) ?? run : run;
  const text = isFolded(form) ? foldName(decoded) : decoded;
  for (const character of text) {
    // A run as written has no slash; this one was encoded, or looks like one.
    if (isNormal(form) && character === "/") builder.cut();
    else builder.add(character.codePointAt(0)!);
  }
}

class SegmentBuilder {
  readonly #segments: Segment[] = [];
  #fragments: Character[][] = [[]];
  #isAcross = false;

  add(character: Character): void {
    this.#fragments.at(-1)!.push(character);
  }

  star(): void {
    this.#fragments.push([]);
  }

  /** `**`; the check has made sure that it stands alone in its segment. */
  across(): void {
    this.#isAcross = true;
  }

  cut(): void {
    this.#segments.push(this.#isAcross ? ACROSS : globOf(this.#fragments));
    this.#fragments = [[]];
    this.#isAcross = false;
  }

  end(): Segment[] {
    this.cut();
    return this.#segments;
  }
}

function globOf(fragments: readonly (readonly Character[])[]): Glob {
  const parts = fragments.map((characters) => ({
    characters,
    literal: characters.every((character) => typeof character === "number")
      ? String.fromCodePoint(...characters)
      : undefined,
  }));
  return { fragments: parts, literal: parts.length === 1 ? parts[0]!.literal : undefined };
}

/** Without empty segments, as targets are in normal form; those of `scheme://` and at the end stay. */
function withoutEmpty(segments: readonly Segment[]): Segment[] {
  const isEmpty = (segment: Segment | undefined) =>
    segment !== undefined && segment !== ACROSS && segment.literal === "";
  const [first, second] = segments;
  const hasAuthority = first !== undefined && first !== ACROSS &&
    first.literal?.endsWith(":") === true && isEmpty(second);
  const start = hasAuthority ? 3 : isEmpty(first) ? 1 : 0;
  return segments.filter((segment, index) =>
    index < start || index === segments.length - 1 || !isEmpty(segment)
  );
}
