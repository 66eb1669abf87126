/** The written forms of single values: durations, sizes, addresses, hosts, URLs. @module */

import { isIP } from "node:net";

import { TunnelError } from "../errors.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import { type PatternLanguage, patternProblem } from "../policy/pattern_problem.ts";

/** Why a written value is not accepted; `problem` ends with the hint in parentheses. */
export interface Refusal {
  readonly problem: string;
}

/** Either the typed value or the reason there is none. */
export type Parsed<T> = { readonly value: T } | Refusal;

/** What {@link parseDuration} accepts: inclusive bounds in ms; `off` lets the word "off" mean 0. */
export interface DurationRange {
  readonly minMs: number;
  readonly maxMs: number;
  readonly off?: boolean;
}

/** An integer and a unit, `"500ms"`, `"10s"`, `"5m"`, `"1h"`, `"30d"`, in milliseconds. */
export function parseDuration(text: string, range: DurationRange): Parsed<number> {
  if (range.off === true && text === "off") return { value: 0 };
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  if (match === null) {
    const off = range.off === true ? ', or "off"' : "";
    return refuse(
      `${quote(text)} is not a duration`,
      `write a whole number and ms, s, m, h or d, such as "10s"${off}`,
    );
  }
  const ms = Number(match[1]) * MS_PER_UNIT[match[2]!]!;
  if (ms < range.minMs || ms > range.maxMs) {
    const from = formatDuration(range.minMs);
    return refuse(
      `${quote(text)} is out of range`,
      `from ${from} to ${formatDuration(range.maxMs)}`,
    );
  }
  return { value: ms };
}

/** The shortest exact text {@link parseDuration} reads back: 90_000 is "90s", 60_000 is "1m". */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0ms";
  const units = ["d", "h", "m", "s"] as const;
  const unit = units.find((unit) => ms % MS_PER_UNIT[unit]! === 0) ?? "ms";
  return `${ms / MS_PER_UNIT[unit]!}${unit}`;
}

/** An integer and a unit, `"512B"`, `"16KiB"`, `"16MiB"`, `"1GiB"`, in bytes. */
export function parseSize(text: string): Parsed<number> {
  const match = /^(\d{1,9})(B|KiB|MiB|GiB)$/.exec(text);
  if (match === null) {
    return refuse(
      `${quote(text)} is not a size`,
      'write a whole number and B, KiB, MiB or GiB, such as "16MiB", or bytes as an integer',
    );
  }
  return { value: Number(match[1]) * BYTES_PER_UNIT[match[2]!]! };
}

/** The shortest exact text {@link parseSize} reads back: 16_384 is "16KiB". */
export function formatSize(bytes: number): string {
  const unit =
    (["GiB", "MiB", "KiB"] as const).find((unit) =>
      bytes > 0 && bytes % BYTES_PER_UNIT[unit]! === 0
    ) ?? "B";
  return `${bytes / BYTES_PER_UNIT[unit]!}${unit}`;
}

/** A host and a port. IPv6 literals stand without brackets in `host`. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`; IPv6 literals in brackets. Port 0 only where `ports` is `"any"`. */
export function parseAddress(text: string, ports: "any" | "dialable"): Parsed<HostPort> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    return refuse(`${quote(text)} has a scheme`, 'write host:port alone, such as "127.0.0.1:8080"');
  }
  const match = ADDRESS.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    return refuse(
      `${quote(text)} is not an address`,
      'write host:port, such as "127.0.0.1:8080" or "[::1]:8080"',
    );
  }
  if (port === 0 && ports === "dialable") {
    return refuse(`${quote(text)} has port 0`, "nobody can dial port 0; write the real port");
  }
  return { value: { host: match[1] ?? match[2]!, port } };
}

/** Splits an address that the schema has already accepted. */
export function splitAddress(address: string): HostPort {
  const parsed = parseAddress(address, "any");
  if ("problem" in parsed) throw new TypeError(`Cannot split address: ${parsed.problem}`);
  return parsed.value;
}

/** `host:port` again, with brackets around IPv6 literals. */
export function joinAddress({ host, port }: HostPort): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** True for names and literals that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** True for literals that mean "every interface", which nobody can dial. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || /^[0:]+$/.test(host);
}

/** A `Host` value: a name or literal, lower-cased, with or without a port. */
export function parseHost(text: string): Parsed<string> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    return refuse(`${quote(text)} has a scheme`, `write the host alone, such as "mcp.example.com"`);
  }
  const port = /:(\d+)$/.exec(text.replace(/^\[[^\]]*\]/, ""))?.[1];
  if (
    !HOST.test(text) || text.includes("..") || Number(port ?? 1) > 65_535
  ) {
    return refuse(
      `${quote(text)} is not a host`,
      'write a name with or without a port, such as "mcp.example.com" or "localhost:8080"',
    );
  }
  return { value: text.toLowerCase() };
}

/** A browser origin as it stands in an `Origin` header: `scheme://host[:port]`, never "null". */
export function parseOrigin(text: string): Parsed<string> {
  const hint = 'write scheme://host[:port], such as "https://app.example.com"';
  if (text === "null") {
    return refuse(
      '"null" is not an origin to allow',
      `every sandboxed page and local file sends it; ${hint}`,
    );
  }
  const url = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s\\]+$/i.test(text) ? parseUrl(text) : undefined;
  if (url === undefined || url.host === "") return refuse(`${quote(text)} is not an origin`, hint);
  // Browsers send the canonical form: lower case, without the scheme's default port (RFC 6454, 6.2).
  return { value: `${url.protocol}//${url.host}` };
}

/**
 * The URL of a private server: http or https, no credentials, no query, no fragment.
 *
 * A refused text is not repeated: wherever a password stands in it, it must not reach a log.
 */
export function parseUpstream(text: string): Parsed<string> {
  const hint = 'such as "http://127.0.0.1:9090/mcp"';
  const url = /^https?:\/\/[^/]/i.test(text) ? parseUrl(text) : undefined;
  if (url === undefined) {
    return refuse("not an http or https URL", `write http://HOST:PORT/PATH, ${hint}`);
  }
  if (url.username !== "" || url.password !== "") {
    return refuse("the URL carries credentials", `remove the part before "@", ${hint}`);
  }
  if (text.includes("#")) return refuse("the URL has a fragment", 'remove "#" and what follows');
  if (text.includes("?")) {
    return refuse(
      "the URL has a query",
      'remove "?" and what follows: a request brings its own query, and a fixed one would be lost',
    );
  }
  return { value: url.href };
}

/** An absolute route path without query, escapes, empty or dot segments. */
export function parseRoutePath(text: string): Parsed<string> {
  const plain = /^\/$|^(\/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+$/.test(text);
  if (!plain || /\/\.{1,2}(\/|$)/.test(text)) {
    return refuse(
      `${quote(text)} is not a route path`,
      'write an absolute path without query, "%", "." segments or a trailing "/", such as "/code/mcp"',
    );
  }
  return { value: text };
}

/** The path of a file or folder. A credential pasted in its place is refused, and not repeated. */
export function parsePath(text: string): Parsed<string> {
  if (SECRET.test(text)) {
    return refuse(
      "holds a credential instead of a path",
      "write it to a file of mode 0600 and name that file; treat this credential as leaked",
    );
  }
  return { value: text };
}

/** An IP address, or a network in CIDR form. */
export function parseNetwork(text: string): Parsed<string> {
  const [address = "", bits, ...more] = text.split("/");
  const family = isIP(address);
  const widest = family === 6 ? 128 : 32;
  const fits = bits === undefined || /^\d{1,3}$/.test(bits) && Number(bits) <= widest;
  if (family === 0 || !fits || more.length > 0) {
    return refuse(
      `${quote(text)} is not an address or network`,
      'write an IP address or a network, such as "127.0.0.1" or "10.0.0.0/8"',
    );
  }
  return { value: text.toLowerCase() };
}

/** The URL of an issuer or of its keys: https, or http on loopback; no credentials, no fragment. */
export function parseIssuerUrl(text: string): Parsed<string> {
  const hint = 'such as "https://login.example.com"';
  const url = /^https?:\/\/[^/]/i.test(text) ? parseUrl(text) : undefined;
  if (url === undefined) return refuse(`${quote(text)} is not an https URL`, hint);
  if (url.username !== "" || url.password !== "" || text.includes("#")) {
    return refuse("the URL has credentials or a fragment", `write it without them, ${hint}`);
  }
  if (url.protocol !== "https:" && !isLoopback(url.hostname.replace(/^\[|\]$/g, ""))) {
    return refuse(`${quote(text)} is not encrypted`, `use https; http is for loopback, ${hint}`);
  }
  // As written: an issuer is compared byte by byte (RFC 8414, 3.3), so nothing is normalized.
  return { value: text };
}

/** Where a collector takes logs: https, or http on loopback; no credentials, no query, a path. */
export function parseCollectorUrl(text: string): Parsed<string> {
  const hint = 'such as "https://collector.example.com:4318/v1/logs"';
  const parsed = parseIssuerUrl(text);
  if ("problem" in parsed) return parsed;
  if (text.includes("?")) {
    return refuse("the URL has a query", `put what authenticates into otlp_headers_file, ${hint}`);
  }
  const url = new URL(text); // it was parsed
  if (url.pathname === "/") {
    return refuse(`${quote(text)} has no path`, `write where the collector takes logs, ${hint}`);
  }
  return { value: url.href };
}

/** A pattern over names. */
export function parseNameGlob(text: string): Parsed<string> {
  try {
    compileNameGlob([text]);
    return { value: text };
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error;
    return { problem: error.message };
  }
}

/** A pattern of a rule, in the language of its list. */
export function parsePattern(text: string, language: PatternLanguage): Parsed<string> {
  const problem = patternProblem(text, language);
  return problem === undefined
    ? { value: text }
    : { problem: `${quote(text)} is not a pattern: ${problem}` };
}

/** An OAuth scope (RFC 6749, 3.3). */
export function parseScope(text: string): Parsed<string> {
  if (/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/.test(text)) return { value: text };
  return refuse(`${quote(text)} is not a scope`, "visible ASCII without spaces and quotes");
}

/** The name of a claim, or the value of one. */
export function parseClaim(text: string): Parsed<string> {
  if (/^[\x20-\x7e]{1,512}$/.test(text)) return { value: text };
  return refuse(`${quote(text)} cannot be used`, "1 to 512 printable ASCII characters");
}

/** The name of a header that is not one of HTTP's own. */
export function parseHeaderName(text: string): Parsed<string> {
  const hint = 'such as "X-Auth-User"';
  if (!/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(text)) {
    return refuse(`${quote(text)} is not a header name`, hint);
  }
  if (RESERVED_HEADERS.test(text)) {
    return refuse(`${quote(text)} has a meaning of its own`, `choose another, ${hint}`);
  }
  return { value: text.toLowerCase() };
}

/** The name of a tunnel. */
export function parseName(text: string): Parsed<string> {
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(text)) {
    return refuse(
      `${quote(text)} is not a name`,
      'use 1 to 63 of a-z, 0-9, "-" and "_", a letter or digit first',
    );
  }
  return { value: text };
}

/** A URL for people to read. With "@" anywhere, a part of it may be a password: nothing is shown. */
export function shownUrl(text: string): string {
  if (text.includes("@") || parseUrl(text) === undefined) return "[redacted]";
  return text.replace(/\?.*$/, "?[redacted]");
}

/** A refused value for people to read, unless it looks like one with a password or a credential. */
export function quote(text: string): string {
  if (text.includes("@") || SECRET.test(text)) return "the value (not shown: it may be secret)";
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/** `problem (hint)`. */
export function refuse(problem: string, hint: string): Refusal {
  return { problem: `${problem} (${hint})` };
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    // `URL.canParse` is missing in early Node 20; a refusal is the answer, not an error.
    return undefined;
  }
}

/** As strict as the credential that carries the address: names of DNS hosts have no "_". */
const ADDRESS =
  /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)):(\d{1,5})$/;

/** As strict as the edge that compares it with what clients send. */
const HOST =
  /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?)(:\d{1,5})?$/;

/** The start of a rift credential, a user token or an admin token. */
const SECRET = /mcp[atu]_/;

/** Headers that say something else already. */
const RESERVED_HEADERS =
  /^(?:host|origin|authorization|cookie|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|accept.*|forwarded|x-forwarded-.*|x-real-ip|mcp-.*|mcptun-.*|proxy-.*|last-event-id)$/i;

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1_024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
};
