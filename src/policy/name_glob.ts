/**
 * Globs over tunnel and rift names: `*`, `?`, `[a-z]`, `{a,b}`.
 *
 * @module
 */

import picomatch from "picomatch";

import { TunnelError } from "../errors.ts";

/** Longest pattern, characters. */
const MAX_PATTERN_LENGTH = 128;
/**
 * `*` in one pattern. Each multiplies the backtracking over a 64-character name; four stay far
 * below 1 ms.
 */
const MAX_STARS = 4;
/** Alternatives `{a,b}` in one pattern. */
const MAX_BRACES = 4;

/**
 * Compiles patterns to one test: does the name match at least one of them? No pattern, no match.
 *
 * @throws {TunnelError} `CONFIG_INVALID` naming the malformed pattern.
 */
export function compileNameGlob(patterns: readonly string[]): (name: string) => boolean {
  const tests = patterns.map(compileOne);
  return (name) => tests.some((test) => test(name));
}

function compileOne(pattern: string): (name: string) => boolean {
  const problem = problemOf(pattern);
  if (problem !== undefined) {
    const shown = JSON.stringify(pattern.slice(0, MAX_PATTERN_LENGTH));
    throw new TunnelError("CONFIG_INVALID", `Cannot use the name pattern ${shown}: ${problem}`);
  }
  // A run of stars is one star: names have no "/" that "**" could cross.
  const test = picomatch(pattern.replace(/\*+/g, "*"), {
    dot: true,
    nonegate: true,
    noextglob: true,
    strictBrackets: true,
  });
  return (name) => test(name);
}

/** picomatch reads a malformed pattern as literal text; that would silently match nothing. */
function problemOf(pattern: string): string | undefined {
  if (pattern === "") return "it is empty";
  if (pattern.length > MAX_PATTERN_LENGTH) {
    return `it has ${pattern.length} characters, at most ${MAX_PATTERN_LENGTH} are allowed`;
  }
  const strange = /[^a-z0-9._*?[\]{},-]/u.exec(pattern);
  if (strange !== null) {
    return `${JSON.stringify(strange[0])} is not allowed: names have a-z 0-9 _ -, ` +
      "patterns also * ? [a-z] {a,b}";
  }
  // What is left after removing every well-formed class, then every well-formed brace, has neither.
  const flat = pattern
    .replace(/\[[a-z0-9._-]+\]/g, "x")
    .replace(/\{[a-z0-9._*?-]+(?:,[a-z0-9._*?-]+)+\}/g, "x");
  if (/[[\]]/.test(flat)) return "its [ ] do not pair, or are empty";
  if (/[{}]/.test(flat)) return "its { } do not pair, are nested, or hold fewer than two names";
  if (flat.includes(",")) return '"," belongs between { }; write one pattern per list entry';
  if (hasReversedRange(pattern)) return "a range in [ ] runs backwards";
  if (/\{[^}]*\.\./.test(pattern)) return 'it has ".." between { }, which is not supported';
  if ((pattern.match(/\*+/g)?.length ?? 0) > MAX_STARS) return `more than ${MAX_STARS} "*"`;
  if ((pattern.match(/\{/g)?.length ?? 0) > MAX_BRACES) return `more than ${MAX_BRACES} "{ }"`;
  return undefined;
}

function hasReversedRange(pattern: string): boolean {
  for (const [, body] of pattern.matchAll(/\[([^\]]+)\]/g)) {
    for (const [, from, to] of (body ?? "").matchAll(/(.)-(.)/g)) {
      if (from !== undefined && to !== undefined && from > to) return true;
    }
  }
  return false;
}
