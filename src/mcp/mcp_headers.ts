/**
 * The headers of MCP, read strictly from node's raw pairs: each at most once, and decoded as the
 * specification says (2026-07-28, transports/streamable-http, "Value encoding").
 *
 * @module
 */

import { Buffer, isUtf8 } from "node:buffer";

import { MAX_SESSION_ID_CHARS } from "../limits.ts";

/** What the headers say; `undefined` when a header is absent. */
export interface McpHeaders {
  readonly version: string | undefined;
  readonly method: string | undefined;
  /** Decoded. */
  readonly name: string | undefined;
  readonly sessionId: string | undefined;
  readonly lastEventId: string | undefined;
  /** Names of the `Mcp-Param-*` headers, lower case. */
  readonly params: readonly string[];
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
}

/** Why headers were refused, and how: `mismatch` is the protocol's own code for it. */
export interface HeaderProblem {
  readonly httpStatus: 400 | 415;
  readonly mismatch: boolean;
  readonly message: string;
}

/** Reads `rawHeaders`, flat pairs. */
export function readMcpHeaders(rawHeaders: readonly string[]): McpHeaders | HeaderProblem {
  const found = new Map<string, string>();
  const params: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    const isParam = name.startsWith("mcp-param-");
    if (!isParam && !READ.has(name)) {
      // What a parser that takes "_" for "-" (CGI, WSGI) would read as one of ours.
      if (!name.includes("_")) continue;
      const message = `The header "${name}" is not allowed`;
      if (/^mcp_|^mcp[-_]\w*_/.test(name)) return mismatch(message);
      if (READ.has(name.replaceAll("_", "-"))) {
        return { httpStatus: 400, mismatch: false, message };
      }
      continue;
    }
    if (found.has(name)) {
      const isMcp = name.startsWith("mcp-");
      const message = `The header "${name}" is there twice`;
      const httpStatus = name.startsWith("content-") ? 415 : 400;
      return isMcp ? mismatch(message) : { httpStatus, mismatch: false, message };
    }
    const value = trimmed(rawHeaders[index + 1]!);
    if (name.startsWith("mcp-") && !VISIBLE.test(value)) {
      return mismatch(`The header "${name}" has a character that is not allowed`);
    }
    found.set(name, value);
    if (isParam) {
      if (decodeHeaderValue(value) === undefined) {
        return mismatch(`The header "${name}" is not valid base64 of UTF-8`);
      }
      params.push(name);
    }
  }
  const rawName = found.get("mcp-name");
  const name = rawName === undefined ? undefined : decodeHeaderValue(rawName);
  if (rawName !== undefined && name === undefined) {
    return mismatch('The header "mcp-name" is not valid base64 of UTF-8');
  }
  for (const id of ["mcp-session-id", "last-event-id"]) {
    const value = found.get(id);
    if (value !== undefined && !ID[id]!.test(value)) {
      return { httpStatus: 400, mismatch: false, message: `The header "${id}" is not valid` };
    }
  }
  return {
    version: found.get("mcp-protocol-version"),
    method: found.get("mcp-method"),
    name,
    sessionId: found.get("mcp-session-id"),
    lastEventId: found.get("last-event-id"),
    params,
    contentType: found.get("content-type"),
    contentEncoding: found.get("content-encoding"),
  };
}

/** Is it a problem, not headers? */
export function isHeaderProblem(value: McpHeaders | HeaderProblem): value is HeaderProblem {
  return "httpStatus" in value;
}

/**
 * What a header value stands for: itself, or the text inside of `=?base64?…?=`.
 *
 * `undefined` when the sentinel does not hold canonical, padded base64 of UTF-8.
 */
export function decodeHeaderValue(value: string): string | undefined {
  // The sentinel is exact and lower case; anything else is a plain value.
  if (!value.startsWith(SENTINEL_START) || !value.endsWith(SENTINEL_END)) return value;
  if (value.length < SENTINEL_START.length + SENTINEL_END.length) return value;
  const base64 = value.slice(SENTINEL_START.length, -SENTINEL_END.length);
  const bytes = Buffer.from(base64, "base64");
  // Node skips what is not base64; the way back shows whether it did.
  if (bytes.toString("base64") !== base64 || !isUtf8(bytes)) return undefined;
  return bytes.toString("utf8");
}

/**
 * What is wrong with how a body is declared, or `undefined`: policy never depends on a media type,
 * so a body is MCP's JSON in UTF-8 or refused.
 */
export function mediaProblem(headers: McpHeaders): HeaderProblem | undefined {
  const encoding = headers.contentEncoding?.toLowerCase();
  if (encoding !== undefined && encoding !== "" && encoding !== "identity") {
    return unsupported("A body must not be compressed");
  }
  const type = headers.contentType;
  if (type === undefined || !JSON_TYPE.test(type)) {
    return unsupported('A body must be "application/json" in UTF-8');
  }
  return undefined;
}

const READ = new Set([
  "mcp-protocol-version",
  "mcp-method",
  "mcp-name",
  "mcp-session-id",
  "last-event-id",
  "content-type",
  "content-encoding",
]);
const VISIBLE = /^[\t\x20-\x7e]*$/;
const ID: Readonly<Record<string, RegExp>> = {
  "mcp-session-id": new RegExp(`^[\\x21-\\x7e]{1,${MAX_SESSION_ID_CHARS}}$`),
  "last-event-id": new RegExp(`^[\\x20-\\x7e\\x80-\\xff]{0,${MAX_SESSION_ID_CHARS}}$`),
};
const SENTINEL_START = "=?base64?";
const SENTINEL_END = "?=";
/** The type in any case, and no parameter but one charset of UTF-8. */
const JSON_TYPE = /^application\/json[\t ]*(?:;[\t ]*charset=(?:utf-8|utf8|"utf-8")[\t ]*)?;?$/i;

/** Without tabs and spaces around it. No pattern: one for the end takes quadratic time. */
function trimmed(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function mismatch(message: string): HeaderProblem {
  return { httpStatus: 400, mismatch: true, message };
}

function unsupported(message: string): HeaderProblem {
  return { httpStatus: 415, mismatch: false, message };
}
