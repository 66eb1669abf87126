/**
 * The one normal form of resource URIs (RFC 3986, 6.2.2), and what no URI may contain.
 *
 * The form is for comparing only: what is forwarded is what the client sent.
 *
 * @module
 */

import { MAX_MARKS_IN_A_ROW, MAX_TARGET_CHARS } from "../limits.ts";

/** Why a URI is denied whatever the rules say. */
export type UriProblem =
  | "empty"
  | "too_long"
  | "control_character"
  | "lone_surrogate"
  | "too_many_marks"
  | "outer_whitespace"
  | "backslash"
  | "invalid_percent_encoding"
  | "unstable_percent_encoding"
  | "dot_segment_in_query"
  | "ambiguous_dot_segment"
  | "ambiguous_authority";

/** The forms of one URI that rules are compared with. */
export interface NormalUri {
  /** Scheme and host in lower case, percent-encoding decoded once, dot and empty segments removed. */
  readonly normal: string;
  /**
   * Further forms that servers are known to take for the same thing: without query and fragment,
   * user information, default port, host of a `file:` URI, trailing slash, dots and spaces.
   * For deny rules.
   */
  readonly kin: readonly string[];
}

/** Reads a URI, or says why nothing may be compared with it. */
export function normalizeUri(raw: string): NormalUri | { readonly problem: UriProblem } {
  if (PLAIN.test(raw) && raw.length <= MAX_TARGET_CHARS) return { normal: raw, kin: [] };
  const problem = rawProblem(raw);
  if (problem !== undefined) return { problem };
  const [, scheme = "", slashes, authority = "", path = "", query = "", fragment = ""] = PARTS
    .exec(raw.replace(WEB, "$1//"))!;
  const decoded = [authority, path, query, fragment].map(decodeOnce);
  for (const part of decoded) {
    if (part === undefined) return { problem: "invalid_percent_encoding" };
    if (CONTROL.test(part)) return { problem: "control_character" };
    if (hasMarkRun(part)) return { problem: "too_many_marks" };
    if (part.includes("\\")) return { problem: "backslash" };
    if (ENCODED.test(part)) return { problem: "unstable_percent_encoding" };
  }
  // Proof of the cast: the loop has returned when one of them is undefined.
  const [host = "", plainPath = "", plainQuery = "", plainFragment = ""] = decoded as string[];
  // A server that takes "?" or "#" for a part of a file name resolves the dots behind it.
  if (DOT_SEGMENT.test(plainQuery) || DOT_SEGMENT.test(plainFragment)) {
    return { problem: "dot_segment_in_query" };
  }
  // Decoded by one reader and not by the other, it ends at another place.
  if (authority.includes("%") && /[/?#@:]/.test(host)) return { problem: "ambiguous_authority" };
  // "b%2fc/.." is one step back for some, and for others it is none; so it is with "b//..".
  if (DOT_STEP.test(plainPath) && (plainPath.includes("//") || /%2f/i.test(path))) {
    return { problem: "ambiguous_dot_segment" };
  }
  const name = scheme.toLowerCase();
  const isFile = name === "file:";
  const whole = authorityOf(host, name);
  const root = slashes === undefined && !isFile ? "" : "//";
  const steps = withoutDots(plainPath, isFile || root !== "");
  const tail = `${plainQuery}${plainFragment}`;
  const normal = `${name}${root}${whole.normal}${steps}${tail}`;
  const bareHost = isFile ? "" : whole.bare;
  const bareSteps = steps.replace(/[. ]+(?=\/|$)/g, "").replace(/\/+$/, "");
  const bare = `${name}${root}${bareHost}`;
  const kin = [bare + steps + tail, bare + steps + plainQuery, bare + steps, bare + bareSteps];
  return { normal, kin: [...new Set(kin)].filter((form) => form !== normal && form !== raw) };
}

/** Decodes percent-encoding once; `undefined` when it is malformed or not UTF-8. */
export function decodeOnce(text: string): string | undefined {
  if (!text.includes("%")) return composed(text);
  try {
    return composed(decodeURIComponent(text));
  } catch {
    // `URIError` is the answer "malformed", not a failure.
    return undefined;
  }
}

/** Why no URI in normal form can match a pattern, with what to write instead. */
export function uriPatternProblem(text: string): string | undefined {
  const [literal = ""] = /^[^*?[{]*/.exec(text)!;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(literal)?.[1];
  if (scheme !== undefined && scheme !== scheme.toLowerCase()) {
    return `its scheme has capitals (write "${scheme.toLowerCase()}:")`;
  }
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/]*)/.exec(text)?.[1] ?? "";
  if (authority !== authority.toLowerCase()) {
    return "its host has capitals (write it in lower case)";
  }
  if (scheme === "file" && /^file:(?!\/\/\/|[*?[{]|\/{0,2}[*?[{])/.test(text)) {
    return 'it names a host, or lacks slashes (files are written "file:///" and the path)';
  }
  if (text.split("/").some((segment) => segment === "." || segment === "..")) {
    return 'it has a "." or ".." segment (write the path that remains without it)';
  }
  for (const [run] of text.matchAll(/[^*?[\]{},]+/g)) {
    const decoded = decodeOnce(run);
    if (decoded === undefined) {
      return "its percent-encoding is malformed (write % and two hexadecimal digits, as UTF-8)";
    }
    if (ENCODED.test(decoded) || CONTROL.test(decoded) || decoded.includes("\\")) {
      return "it encodes what is always denied (control characters, backslashes, encoding twice)";
    }
  }
  return undefined;
}

/** Most URIs: in normal form, and without any kin. */
const PLAIN =
  /^(?:file:\/\/|(?!file:)[a-z][a-z0-9+-]*:\/\/[a-z0-9-]+(?:\.[a-z0-9-]+)*)(?:\/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)+$/;
/** Schemes that always have an authority: common parsers take any number of slashes for two. */
const WEB = /^((?:https?|wss?|ftp):)\/*/i;
/** Scheme with colon, slashes, authority, path, query and fragment (RFC 3986, appendix B). */
const PARTS = /^([A-Za-z][A-Za-z0-9+.-]*:)?(?:(\/\/)([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?$/s;
const CONTROL = /\p{Cc}/u;
const ENCODED = /%[0-9A-Fa-f]{2}/;
const DOT_STEP = /(?:^|\/)\.{1,2}(?:\/|$)/;
const DOT_SEGMENT = /[/?#]\.{1,2}(?:[/?#&]|$)/;
const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  "http:": "80",
  "https:": "443",
  "ws:": "80",
  "wss:": "443",
  "ftp:": "21",
};

function rawProblem(raw: string): UriProblem | undefined {
  if (raw === "") return "empty";
  if (raw.length > MAX_TARGET_CHARS) return "too_long";
  if (CONTROL.test(raw)) return "control_character";
  if (/\p{Cs}/u.test(raw)) return "lone_surrogate";
  // Common parsers trim it, so that another URI would be read.
  if (raw !== raw.trim()) return "outer_whitespace";
  if (raw.includes("\\")) return "backslash";
  return undefined;
}

function authorityOf(decoded: string, scheme: string): { normal: string; bare: string } {
  if (decoded === "") return { normal: "", bare: "" };
  const at = decoded.lastIndexOf("@");
  const user = decoded.slice(0, at + 1);
  const host = decoded.slice(at + 1).normalize("NFKC").toLowerCase();
  const [, name = host, port = ""] = /^(.*?)(?::(\d*))?$/s.exec(host) ?? [];
  const plain = name.replace(/\.$/, "");
  const isDefault = port === "" || port === DEFAULT_PORTS[scheme];
  const bare = isDefault ? plain : `${plain}:${port}`;
  // RFC 8089: "localhost" in a file URI is this machine, as is no host at all.
  const isHere = scheme === "file:" && bare === "localhost";
  return { normal: isHere ? "" : `${user}${host.replace(/\.(?=:|$)/, "")}`, bare };
}

/** Removes dot segments (RFC 3986, 5.2.4) and empty ones, but not a trailing slash. */
function withoutDots(path: string, rooted: boolean): string {
  if (path === "") return "";
  const isPlain = !path.includes("//") && !path.includes("/.") && !path.startsWith(".");
  if (isPlain && (path.startsWith("/") || !rooted)) return path;
  const kept: string[] = [];
  const segments = path.split("/");
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "." && segment !== "") kept.push(segment);
  }
  const last = segments.at(-1)!;
  const isFolder = last === "" || last === "." || last === "..";
  const start = rooted || path.startsWith("/") ? "/" : "";
  return `${start}${kept.join("/")}${isFolder && kept.length > 0 ? "/" : ""}`;
}

/** As it is when it has a run of marks, which is refused; normalizing takes quadratic time for one. */
function composed(text: string): string {
  return ASCII.test(text) || hasMarkRun(text) ? text : text.normalize("NFC");
}

/**
 * Has it more combining marks in a row than any language writes? Characters that are not seen do not
 * end a run, because folding removes them.
 */
export function hasMarkRun(text: string): boolean {
  return !ASCII.test(text) && MARK_RUN.test(text.replace(IGNORABLE, ""));
}

const ASCII = /^[\x00-\x7f]*$/;
const IGNORABLE = /\p{Default_Ignorable_Code_Point}+/gu;
/** U+FF9E and U+FF9F are letters that NFKC makes marks of. */
const MARK_RUN = new RegExp(`[\\p{M}\\uff9e\\uff9f]{${MAX_MARKS_IN_A_ROW + 1}}`, "u");
