/**
 * What a step of the doctor found, and how text from outside becomes safe to show.
 *
 * @module
 */

import { DOCTOR_LINE_CHARS, DOCTOR_SHOWN_CHARS } from "../limits.ts";

/** How a step ended. A `note` is worth reading, but nothing is broken. */
export type StepStatus = "ok" | "fail" | "skip" | "note";

/** What one step found. */
export interface Finding {
  readonly status: StepStatus;
  /** What was seen; several lines for several facts. */
  readonly detail: string | readonly string[];
  /** How to mend it. */
  readonly hint?: string | undefined;
}

/** All went well. */
export function ok(...detail: string[]): Finding {
  return { status: "ok", detail };
}

/** Nothing is broken, but a person should know. */
export function note(detail: string | readonly string[], hint?: string): Finding {
  return { status: "note", detail, hint };
}

/** A client would not get through. */
export function fail(detail: string | readonly string[], hint: string): Finding {
  return { status: "fail", detail, hint };
}

/** Not looked at, and why. */
export function skip(...detail: string[]): Finding {
  return { status: "skip", detail };
}

/** Text from outside, in double quotes, cut, with everything a terminal could act on escaped. */
export function shown(text: string, maxChars: number = DOCTOR_SHOWN_CHARS): string {
  return `"${bounded(inert(text.slice(0, maxChars + 1)), maxChars)}"`;
}

/** The same without the quotes, for what is nearly always plain: a name, a version, a scope. */
export function plain(text: string, maxChars: number = DOCTOR_SHOWN_CHARS): string {
  return bounded(inert(text.slice(0, maxChars + 1)), maxChars);
}

/** Several short texts from outside: the first few, and how many more there are. */
export function shownList(texts: readonly string[], most = 5): string {
  const first = texts.slice(0, most).map((text) => plain(text, 60)).join(", ");
  return texts.length > most ? `${first} and ${texts.length - most} more` : first;
}

/** One line of a finding as it goes out: the last stop before a terminal or a file. */
export function line(text: string): string {
  return bounded(inert(text.slice(0, DOCTOR_LINE_CHARS + 1)), DOCTOR_LINE_CHARS);
}

/** Controls, invisible and reordering characters, odd spaces and halves of characters as `\u{…}`. */
function inert(text: string): string {
  return text.replace(
    NOT_INERT,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

function bounded(text: string, maxChars: number): string {
  return text.length > maxChars ? `${text.slice(0, maxChars - 1)}…` : text;
}

// Unicode categories: C has controls, format (bidi, zero width), surrogates, private and unassigned;
// Z has separators, of which only the space is itself; M would pile up on what stands before.
const NOT_INERT = /(?! )[\p{C}\p{Z}\p{M}]/gu;
