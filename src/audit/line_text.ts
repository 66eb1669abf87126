/**
 * Text from outside as a JSON string that stays inert, in the file and on a screen.
 *
 * JSON escapes quotes and C0 alone. Escaped here as well: DEL and C1 (an 8-bit terminal reads U+009B
 * as an escape sequence), bidirectional controls and everything else that is not seen, line and
 * paragraph separators, lone surrogates (CWE-117, CWE-150).
 *
 * @module
 */

/** A JSON string of at most `maxChars` characters; a longer text is cut, and ends in `…`. */
export function quoteText(text: string, maxChars: number): string {
  const bounded = text.length > maxChars ? cutText(text, maxChars) : text;
  return PLAIN.test(bounded) ? `"${bounded}"` : escapeUnseen(JSON.stringify(bounded));
}

/** JSON text with what is not seen written as `\uXXXX`; such characters stand in strings only. */
export function escapeUnseen(json: string): string {
  return UNSEEN.test(json) ? json.replace(ALL_UNSEEN, asEscapes) : json;
}

/** The first characters of a text and `…`, `maxChars` together; no half of a pair is left. */
export function cutText(text: string, maxChars: number): string {
  const last = text.charCodeAt(maxChars - 2);
  const isHalf = last >= 0xd800 && last <= 0xdbff;
  return `${text.slice(0, maxChars - (isHalf ? 2 : 1))}…`;
}

/** A wall time in ms as RFC 3339 with milliseconds, UTC. */
export function timeText(wallMs: number): string {
  const ms = Math.trunc(wallMs);
  const second = Math.floor(ms / 1_000);
  if (second !== cachedSecond) {
    if (!(Math.abs(ms) <= MAX_DATE_MS)) return timeText(0);
    cachedPrefix = new Date(second * 1_000).toISOString().slice(0, -4);
    cachedSecond = second;
  }
  const rest = ms - second * 1_000;
  return `${cachedPrefix}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
}

/** What most texts are; the rest takes the slow path. */
const PLAIN = /^[ !#-[\]-~]*$/;
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const ALL_UNSEEN = new RegExp(UNSEEN.source, "gu");
/** What a `Date` can hold (ECMA-262, 21.4.1.1). */
const MAX_DATE_MS = 8.64e15;

// Records of one second share all but their milliseconds: making that text is most of the time.
let cachedSecond = Number.NaN;
let cachedPrefix = "";

function asEscapes(character: string): string {
  let escaped = "";
  for (let at = 0; at < character.length; at++) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return escaped;
}
