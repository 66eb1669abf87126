/** What users and groups may be called, whoever names them. @module */

import { MAX_GROUPS, MAX_USER_CHARS } from "../limits.ts";

/**
 * Controls, formats (bidi marks, zero widths), halves of a character, private use, line breaks and
 * what is drawn as nothing: a name has to look like what it is, in a log and in a terminal. Not
 * "unassigned": that differs between runtimes, and a file must not be valid on one of them only.
 */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
/** Every space but U+0020. */
const ODD_SPACE = /(?! )\p{Zs}/u;
const UNSHOWN = new RegExp(`${INVISIBLE.source}|${ODD_SPACE.source}`, "gu");
const MAX_SHOWN = 80;

/**
 * Is this a name for a user or a group: 1 to `MAX_USER_CHARS` visible characters, without a comma
 * (lists of groups are written with commas) and without spaces at the ends?
 */
export function isUserName(text: string): boolean {
  return text.length > 0 && text.length <= MAX_USER_CHARS && text === text.trim() &&
    !text.includes(",") && !INVISIBLE.test(text) && !ODD_SPACE.test(text);
}

/** A name for people to read, right or wrong: quoted, cut, and nothing in it does anything to a terminal. */
export function quotedName(text: string): string {
  return JSON.stringify(text.slice(0, MAX_SHOWN)).replace(
    UNSHOWN,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** Is this a list of at most `MAX_GROUPS` different groups? */
export function areGroups(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= MAX_GROUPS &&
    value.every((group) => typeof group === "string" && isUserName(group)) &&
    new Set(value).size === value.length;
}
