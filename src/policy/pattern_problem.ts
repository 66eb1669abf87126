/**
 * What makes a pattern malformed: found when it is loaded, without compiling it.
 *
 * A malformed pattern is never read as literal text: as a deny it would match nothing, and nobody
 * would notice.
 *
 * @module
 */

import {
  MAX_PATTERN_ALTERNATIVES,
  MAX_PATTERN_CHARS,
  MAX_PATTERN_EXPANDED_CHARS,
  MAX_PATTERN_STARS,
} from "../limits.ts";
import { uriPatternProblem } from "./uri.ts";

/**
 * How a pattern is read: `name` for tools, prompts and methods; `uri` for resources; `subject` for
 * users and groups and `tunnel` for tunnels, where `*` crosses `/`.
 */
export type PatternLanguage = "name" | "uri" | "subject" | "tunnel";

/** Why the pattern cannot be used, with a hint in parentheses; `undefined` when it can. */
export function patternProblem(text: string, language: PatternLanguage): string | undefined {
  if (text === "") return "it is empty (remove it, or write a name)";
  if (text.length > MAX_PATTERN_CHARS) {
    return `it has ${text.length} characters (at most ${MAX_PATTERN_CHARS} are allowed)`;
  }
  // Nearly all are names with a star or two: one test for them.
  if (SIMPLE[language].test(text) && starsOf(text) <= MAX_PATTERN_STARS) return undefined;
  return meaningProblem(text) ?? shapeProblem(text, language) ?? strangeProblem(text, language) ??
    (language === "uri" ? uriPatternProblem(text) : undefined);
}

/** The pattern with its braces written out; it must be well formed. */
export function expandBraces(text: string): string[] {
  let expanded = [""];
  for (const part of partsOf(text)) {
    expanded = expanded.flatMap((head) => part.map((alternative) => head + alternative));
  }
  return expanded;
}

/** Plain characters with single stars, and segments `**`: well formed without a further look. */
const SIMPLE: Readonly<Record<PatternLanguage, RegExp>> = {
  name: simple("", "[A-Za-z0-9_.-]", "/"),
  uri: simple(
    String.raw`(?:file://|(?!file:)[a-z][a-z0-9+-]*://[a-z0-9-]*)/`,
    "[A-Za-z0-9_-]",
    "/",
  ),
  subject: simple("", "[A-Za-z0-9_.@-]", ""),
  tunnel: simple("", "[a-z0-9_-]", ""),
};

/** Each star is followed by characters or by the end, so there is one way to match. */
function simple(start: string, character: string, separator: "/" | ""): RegExp {
  const segment = `${character}*(?:\\*${character}+)*\\*?`;
  if (separator === "") return new RegExp(`^${segment}$`);
  const one = `(?:\\*\\*|${segment})`;
  return new RegExp(`^${start}${one}(?:/${one})*$`);
}

/** Characters with a meaning in shells or regular expressions, which somebody may have meant. */
const STRANGE: Readonly<Record<PatternLanguage, RegExp>> = {
  name: /[\\()|^$,]/,
  uri: /[\\|^]/,
  subject: /\\[*?[\]{}]/,
  tunnel: /[^a-z0-9._*?[\]{},-]/u,
};

function meaningProblem(text: string): string | undefined {
  if (/\p{Cc}/u.test(text)) return "it has a control character (remove it)";
  if (/\p{Cs}/u.test(text)) return "it has half of a surrogate pair (write the whole character)";
  if (text.startsWith("!")) {
    return 'it starts with "!" (nothing is negated here: write what is meant in the other list)';
  }
  if (/[@+!*?]\(/.test(text)) return "it has an extended glob (write {a,b} or several patterns)";
  return undefined;
}

function strangeProblem(text: string, language: PatternLanguage): string | undefined {
  // Inside of [ ] every character stands for itself.
  const open = text.replace(/\[[^[\]]*\]/g, "").replace(
    /\{[^{}]*\}/g,
    (inner) => inner.replaceAll(",", ""),
  );
  const strange = STRANGE[language].exec(language === "subject" ? text : open);
  if (strange === null) return undefined;
  const shown = JSON.stringify(strange[0]);
  if (strange[0] === ",") return '"," belongs between { } (write one pattern per list entry)';
  if (language === "tunnel") {
    return `${shown} is not allowed (names of tunnels have a-z 0-9 _ -, patterns also * ? [a-z] {a,b})`;
  }
  if (strange[0].startsWith("\\")) {
    return `it has a backslash (it escapes nothing: write [*] for a "*" that stands for itself)`;
  }
  return `${shown} has no meaning here (patterns have * ** ? [a-z] {a,b}; write [${
    strange[0]
  }] for the character itself)`;
}

function shapeProblem(text: string, language: PatternLanguage): string | undefined {
  for (const [, body = ""] of text.matchAll(/\[([^[\]]*)\]/g)) {
    const problem = classProblem(body);
    if (problem !== undefined) return problem;
  }
  const withoutClasses = text.replace(/\[[^[\]]*\]/g, "x");
  if (/[[\]]/.test(withoutClasses)) return "its [ ] do not pair (write [a-z] or [abc])";
  const braces = [...withoutClasses.matchAll(/\{([^{}]*)\}/g)].map(([, body = ""]) => body);
  if (/[{}]/.test(withoutClasses.replace(/\{[^{}]*\}/g, ""))) {
    return "its { } do not pair, or are nested (write {a,b})";
  }
  if (braces.some((body) => body.split(",").length < 2 || body.split(",").includes(""))) {
    return "its { } hold fewer than two alternatives, or an empty one (write {a,b})";
  }
  if (braces.some((body) => body.includes(".."))) {
    return 'it has ".." between { } (ranges are written [a-z] or [0-9])';
  }
  return sizeProblem({ text, language, withoutClasses, braces });
}

function classProblem(body: string): string | undefined {
  if (body === "") return "its [ ] are empty (write [a-z] or [abc])";
  if (/^[!^]./.test(body)) {
    return "it negates a class (nothing is negated here: name what is meant)";
  }
  if (body.includes("/")) return 'it has "/" between [ ] (write it outside)';
  if (/^:.*:$|^[.=].*[.=]$/.test(body) && body.length > 2) {
    return "it has a named class (write a range, such as [a-z])";
  }
  for (const [, from = "", to = ""] of body.matchAll(/(.)-(.)/gu)) {
    if (from.codePointAt(0)! > to.codePointAt(0)!) return "a range in [ ] runs backwards";
  }
  return undefined;
}

function sizeProblem({ text, language, withoutClasses, braces }: {
  readonly text: string;
  readonly language: PatternLanguage;
  /** The text with "x" for each class. */
  readonly withoutClasses: string;
  /** What stands between each pair of braces. */
  readonly braces: readonly string[];
}): string | undefined {
  const stars = starsOf(withoutClasses);
  if (stars > MAX_PATTERN_STARS) return `it has ${stars} "*" (at most ${MAX_PATTERN_STARS})`;
  let alternatives = 1;
  for (const body of braces) alternatives *= body.split(",").length;
  if (alternatives > MAX_PATTERN_ALTERNATIVES) {
    return `its { } come to ${alternatives} alternatives (at most ${MAX_PATTERN_ALTERNATIVES})`;
  }
  const expanded = expandBraces(text);
  const chars = expanded.reduce((sum, one) => sum + one.length, 0);
  if (chars > MAX_PATTERN_EXPANDED_CHARS) {
    return `it is too long with its { } written out (${chars} characters, at most ` +
      `${MAX_PATTERN_EXPANDED_CHARS})`;
  }
  if (language === "name" || language === "uri") {
    const isAlone = (segment: string) => !segment.includes("**") || segment === "**";
    if (!expandBraces(withoutClasses).every((one) => one.split("/").every(isAlone))) {
      return '"**" stands beside other characters (write it alone between slashes: "a/**/b")';
    }
  }
  return undefined;
}

function starsOf(text: string): number {
  return text.match(/\*+/g)?.length ?? 0;
}

/** The pattern cut at its braces: every part is a list of alternatives. */
function partsOf(text: string): string[][] {
  const parts: string[][] = [];
  // A class, a brace with classes in it, or a run of anything else.
  for (const [part] of text.matchAll(/\[[^[\]]*\]|\{(?:\[[^[\]]*\]|[^{}])*\}|[^[{]+/g)) {
    parts.push(part.startsWith("{") ? alternativesOf(part.slice(1, -1)) : [part]);
  }
  return parts;
}

function alternativesOf(body: string): string[] {
  const alternatives = [""];
  for (const [part] of body.matchAll(/\[[^[\]]*\]|,|[^[,]+/g)) {
    if (part === ",") alternatives.push("");
    else alternatives[alternatives.length - 1] += part;
  }
  return alternatives;
}
