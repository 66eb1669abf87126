/**
 * From an HTTP request to what it asks for, or to a refusal: the one place where eras, versions,
 * headers and body are held against each other. Nothing that is not understood gets through.
 *
 * The body is the truth; headers must agree with it. What is allowed is for policy to say.
 *
 * @module
 */

import { MAX_BATCH_ELEMENTS, MAX_REQUEST_MEMBERS } from "../limits.ts";
import { isMessageProblem, readClientMessage } from "./client_message.ts";
import type { ClientMessage, MessageProblem } from "./client_message.ts";
import type { JsonDocument } from "./document.ts";
import { NONE } from "./document.ts";
import { isHeaderProblem, mediaProblem, readMcpHeaders } from "./mcp_headers.ts";
import type { McpHeaders } from "./mcp_headers.ts";
import { ASSUMED_REVISION, eraOf, existsIn, isRevision, REVISIONS } from "./methods.ts";
import type { Era, Revision } from "./methods.ts";
import { scanJson } from "./scanner.ts";
import type { ScanCode } from "./scanner.ts";
import { REQUEST_SHAPE } from "./shape.ts";

/** What is classified. */
export interface RequestFacts {
  readonly httpMethod: string;
  /** Flat pairs, as node gives them: duplicates must be seen. */
  readonly rawHeaders: readonly string[];
  /** The whole body; empty for GET and DELETE. Must not change while the answer is in use. */
  readonly body: Uint8Array;
  /** Largest body, bytes. */
  readonly maxBytes: number;
}

/** A request that was understood. */
export interface Classified {
  readonly outcome: "classified";
  readonly kind: "request" | "notification" | "response" | "batch" | "stream" | "end_session";
  readonly era: Era;
  readonly version: Revision;
  /** One, or those of the batch; none for `stream` (GET) and `end_session` (DELETE). */
  readonly messages: readonly ClientMessage[];
  /** Headers that must not travel on, lower case: nobody has judged them. */
  readonly strip: readonly string[];
  readonly sessionId: string | undefined;
  readonly lastEventId: string | undefined;
  /** The body's ranges, for edits; absent without a body. */
  readonly document: JsonDocument | undefined;
}

/** A request that goes no further. `refusalAnswer` makes the answer. */
export interface Refusal {
  readonly outcome: "refused";
  readonly httpStatus: 200 | 400 | 404 | 405 | 413 | 415;
  readonly code: -32700 | -32600 | -32601 | -32602 | -32020 | -32022;
  readonly message: string;
  /** The request's id as its JSON text, or `null`. */
  readonly id: string;
  /** For -32022, as the specification wants it. */
  readonly data?: { readonly supported: readonly string[]; readonly requested: string };
  /** Stable, for the audit record and metrics. */
  readonly reason: RefusalReason;
}

/** Why a request was refused, in one word. */
export type RefusalReason =
  | ScanCode
  | "http_method"
  | "media_type"
  | "header"
  | "message"
  | "params"
  | "method"
  | "version"
  | "mismatch"
  | "batch";

/** Classifies one HTTP request. Never throws. */
export function classifyRequest(facts: RequestFacts): Classified | Refusal {
  const headers = readMcpHeaders(facts.rawHeaders);
  if (isHeaderProblem(headers)) {
    const { httpStatus, message } = headers;
    if (headers.mismatch) return refuse("mismatch", message);
    return refuse("header", message, { httpStatus });
  }
  switch (facts.httpMethod) {
    case "POST":
      return classifyPost(facts, headers);
    case "GET":
    case "DELETE":
      return classifyBare(facts, headers);
    default:
      return refuse("http_method", "This method is not allowed");
  }
}

function classifyPost(facts: RequestFacts, headers: McpHeaders): Classified | Refusal {
  const media = mediaProblem(headers);
  if (media !== undefined) return refuse("media_type", media.message);
  const scan = scanJson(facts.body, {
    shape: REQUEST_SHAPE,
    maxBytes: facts.maxBytes,
    maxMembers: MAX_REQUEST_MEMBERS,
    loneSurrogates: "refuse",
  });
  if (!scan.ok) {
    const message = scan.code === "too_large"
      ? `The body is larger than ${facts.maxBytes} bytes`
      : `${SCAN_MESSAGES[scan.code]} (byte ${scan.offset})`;
    return refuse(scan.code, message);
  }
  const { document } = scan;
  if (document.kind(document.root) === "array") return classifyBatch(headers, document);

  const message = readClientMessage(document, document.root);
  if (isMessageProblem(message)) {
    return missingMethod(document, message, headers) ??
      refuse(message.code === -32602 ? "params" : "message", message.message, message);
  }
  const version = versionOf(document, message, headers.version);
  if (typeof version !== "string") return version;
  const era = eraOf(version);
  const problem = eraProblem(message, era) ??
    (era === "modern" ? modernProblem(document, message) : undefined) ??
    mirrorProblem(message, headers, era);
  if (problem !== undefined) return problem;
  return {
    outcome: "classified",
    kind: message.kind,
    era,
    version,
    messages: [message],
    strip: stripped(headers, era, "POST"),
    sessionId: era === "legacy" ? headers.sessionId : undefined,
    lastEventId: undefined,
    document,
  };
}

/** GET opens the legacy era's own stream, DELETE ends its session; the modern era has neither. */
function classifyBare(facts: RequestFacts, headers: McpHeaders): Classified | Refusal {
  const version = headers.version ?? ASSUMED_REVISION;
  if (!isRevision(version)) return unsupported(version, "null");
  if (eraOf(version) === "modern") {
    return refuse("http_method", `This method is not allowed in ${version}`);
  }
  if (facts.body.length > 0) return refuse("message", "This request must not have a body");
  if (facts.httpMethod === "DELETE" && headers.sessionId === undefined) {
    return refuse("header", 'The header "mcp-session-id" is missing', { httpStatus: 400 });
  }
  return {
    outcome: "classified",
    kind: facts.httpMethod === "GET" ? "stream" : "end_session",
    era: "legacy",
    version,
    messages: [],
    strip: stripped(headers, "legacy", facts.httpMethod),
    sessionId: headers.sessionId,
    lastEventId: headers.lastEventId,
    document: undefined,
  };
}

/** 2025-03-26, basic/transports: requests and notifications, or responses, but never both. */
function classifyBatch(
  headers: McpHeaders,
  document: JsonDocument,
): Classified | Refusal {
  const version = headers.version ?? ASSUMED_REVISION;
  if (version !== "2025-03-26") {
    return refuse("batch", "A body must be one message, not a batch");
  }
  if (headers.method !== undefined || headers.name !== undefined) {
    return refuse("mismatch", "A batch has no one method that a header could name");
  }
  const messages: ClientMessage[] = [];
  const ids = new Set<string>();
  for (const node of document.children(document.root)) {
    if (messages.length === MAX_BATCH_ELEMENTS) {
      return refuse("batch", `A batch has more than ${MAX_BATCH_ELEMENTS} messages`);
    }
    const message = readClientMessage(document, node);
    if (isMessageProblem(message)) return refuse("batch", message.message);
    if (hasModernNames(document, metaOf(document, message))) return refuse("mismatch", MODERN_META);
    const problem = eraProblem(message, "legacy");
    if (problem !== undefined) return { ...problem, id: "null", httpStatus: 400 };
    if (message.method === "initialize") {
      return refuse("batch", '"initialize" must not be in a batch');
    }
    if (message.id !== undefined && ids.size === ids.add(message.id.key).size) {
      return refuse("batch", "Two messages of a batch have the same id");
    }
    messages.push(message);
  }
  const responses = messages.filter((message) => message.kind === "response").length;
  if (messages.length === 0 || (responses > 0 && responses < messages.length)) {
    return refuse("batch", "A batch must hold requests and notifications, or responses");
  }
  return {
    outcome: "classified",
    kind: "batch",
    era: "legacy",
    version,
    messages,
    strip: stripped(headers, "legacy", "POST"),
    sessionId: headers.sessionId,
    lastEventId: undefined,
    document,
  };
}

/** The revision that header and body agree on. */
function versionOf(
  document: JsonDocument,
  message: Envelope,
  header: string | undefined,
): Revision | Refusal {
  const id = message.kind === "request" ? message.id?.raw ?? "null" : "null";
  const meta = metaOf(document, message);
  const node = document.member(meta, META_NAMES.protocolVersion);
  if (node === NONE) {
    const version = header ?? ASSUMED_REVISION;
    if (!isRevision(version)) return unsupported(version, id);
    // Servers choose the era by the body, so a half-modern body would be judged as one and run as the other.
    if (eraOf(version) === "legacy" && hasModernNames(document, meta)) {
      return refuse("mismatch", MODERN_META, { id });
    }
    return version;
  }
  const body = document.string(node);
  if (body === undefined) {
    return refuse("params", "The protocol version in the body must be a string", { id });
  }
  if (header === undefined) {
    return refuse("mismatch", 'The header "mcp-protocol-version" is missing', { id });
  }
  if (header !== body) {
    const message = 'The header "mcp-protocol-version" and the body name different versions';
    return refuse("mismatch", message, { id });
  }
  // Only a modern body names its version, so an older one there is as unknown as a newer one.
  if (!isRevision(body) || eraOf(body) === "legacy") return unsupported(body, id, MODERN_REVISIONS);
  return body;
}

/** A method that does not exist in the era is told before what is wrong with its parameters. */
function missingMethod(
  document: JsonDocument,
  { rest }: MessageProblem,
  headers: McpHeaders,
): Refusal | undefined {
  if (rest === undefined) return undefined;
  const version = versionOf(document, rest, headers.version);
  return typeof version === "string" ? eraProblem(rest, eraOf(version)) : version;
}

/** Methods of the other era or the other direction do not exist here. */
function eraProblem(message: Envelope, era: Era): Refusal | undefined {
  if (message.kind === "response") {
    if (era === "legacy") return undefined;
    return refuse("message", "A client must not send responses in this version");
  }
  const { row } = message;
  if (row === undefined || (existsIn(row, era) && row.from !== "server")) return undefined;
  const id = message.id?.raw ?? "null";
  if (message.kind === "notification") {
    return refuse("method", "There is no such notification", { id, httpStatus: 400 });
  }
  const httpStatus = era === "modern" ? 404 : 200;
  return refuse("method", "Method not found", { id, httpStatus });
}

function modernProblem(document: JsonDocument, message: ClientMessage): Refusal | undefined {
  if (message.kind !== "request") return undefined;
  const id = message.id?.raw ?? "null";
  const meta = metaOf(document, message);
  if (document.member(meta, META_NAMES.protocolVersion) === NONE) {
    return refuse("params", '"io.modelcontextprotocol/protocolVersion" is missing', { id });
  }
  if (document.kind(document.member(meta, META_NAMES.clientCapabilities)) !== "object") {
    return refuse("params", '"io.modelcontextprotocol/clientCapabilities" is missing', { id });
  }
  return undefined;
}

/** Do `Mcp-Method` and `Mcp-Name` say what the body says? In the modern era requests must have them. */
function mirrorProblem(
  message: ClientMessage,
  headers: McpHeaders,
  era: Era,
): Refusal | undefined {
  const id = message.kind === "request" ? message.id?.raw ?? "null" : "null";
  const required = era === "modern" && message.kind === "request";
  if (headers.method === undefined) {
    if (required) return refuse("mismatch", 'The header "mcp-method" is missing', { id });
  } else if (headers.method !== message.method) {
    return refuse("mismatch", 'The header "mcp-method" and the body differ', { id });
  }
  const name = message.row?.nameHeader === undefined ? undefined : message.mirroredName;
  if (headers.name === undefined) {
    if (required && name !== undefined) {
      return refuse("mismatch", 'The header "mcp-name" is missing', { id });
    }
  } else if (headers.name !== name) {
    return refuse("mismatch", 'The header "mcp-name" and the body differ', { id });
  }
  return undefined;
}

/** What no one has judged in this era: a server that reads it all the same would be misled. */
function stripped(headers: McpHeaders, era: Era, httpMethod: string): string[] {
  const strip: string[] = [];
  if (era === "modern") {
    if (headers.sessionId !== undefined) strip.push("mcp-session-id");
  } else {
    if (headers.method !== undefined) strip.push("mcp-method");
    if (headers.name !== undefined) strip.push("mcp-name");
    strip.push(...headers.params);
  }
  if (headers.lastEventId !== undefined && httpMethod !== "GET") strip.push("last-event-id");
  return strip;
}

function metaOf(document: JsonDocument, message: Envelope): number {
  return document.member(document.member(message.node, "params"), "_meta");
}

function hasModernNames(document: JsonDocument, meta: number): boolean {
  return meta !== NONE && MODERN_NAMES.some((name) => document.member(meta, name) !== NONE);
}

function unsupported(
  requested: string,
  id: string,
  revisions: readonly Revision[] = REVISIONS,
): Refusal {
  const data = { supported: [...revisions].reverse(), requested: requested.slice(0, 64) };
  return { ...refuse("version", "Unsupported protocol version", { id }), data };
}

function refuse(
  reason: RefusalReason,
  message: string,
  more: { readonly id?: string; readonly httpStatus?: Refusal["httpStatus"] } = {},
): Refusal {
  const { id = "null", httpStatus = STATUS[reason] ?? 400 } = more;
  return { outcome: "refused", httpStatus, code: CODES[reason] ?? -32700, message, id, reason };
}

/** What of a message its `params` do not change. */
type Envelope = Omit<ClientMessage, "targets">;

const META_NAMES = {
  protocolVersion: "io.modelcontextprotocol/protocolVersion",
  clientCapabilities: "io.modelcontextprotocol/clientCapabilities",
  clientInfo: "io.modelcontextprotocol/clientInfo",
  logLevel: "io.modelcontextprotocol/logLevel",
} as const;
const MODERN_NAMES = Object.values(META_NAMES);
/** What may be named where a legacy version may not: the private server may know fewer, but no more. */
const MODERN_REVISIONS = REVISIONS.filter((revision) => eraOf(revision) === "modern");
const MODERN_META = "The body is of a newer version than its header says";
const STATUS: Partial<Record<RefusalReason, Refusal["httpStatus"]>> = {
  http_method: 405,
  media_type: 415,
  too_large: 413,
};
/** The others are -32700: what could not be read at all. */
const CODES: Partial<Record<RefusalReason, Refusal["code"]>> = {
  too_large: -32600,
  depth: -32600,
  members: -32600,
  duplicate: -32600,
  look_alike: -32600,
  http_method: -32600,
  media_type: -32600,
  header: -32600,
  message: -32600,
  batch: -32600,
  params: -32602,
  method: -32601,
  version: -32022,
  mismatch: -32020,
};
const SCAN_MESSAGES: Readonly<Record<ScanCode, string>> = {
  too_large: "The body is too large",
  empty: "The body is empty",
  bom: "The body begins with a byte order mark",
  utf8: "The body is not UTF-8",
  syntax: "The body is not JSON",
  control_character: "A string has a control character",
  escape: "A string has an escape that JSON does not have",
  surrogate: "A string has half of a character",
  number: "A number is not one of JSON",
  depth: "The body is nested too deeply",
  members: "The body has too many members",
  duplicate: "A member is there twice",
  look_alike: "A member's name looks like one of the protocol's",
  unterminated: "The body ends too early",
  trailing: "The body goes on after its end",
};
