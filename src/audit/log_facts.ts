/**
 * A record of the audit trail as a log record of OpenTelemetry, without any of its libraries.
 *
 * Made from the record's line, so that what leaves has the bounds of what is in the file. Whoever
 * reads a log elsewhere gets the texts decoded: what is not seen stands as `\uXXXX` in them.
 *
 * @module
 */

import { AUDIT_TEXT_CHARS } from "../limits.ts";
import { cutText, escapeUnseen } from "./line_text.ts";
import type { RecordField } from "./read_record.ts";
import type { AuditRecord, AuditResult } from "./record.ts";
import { recordBody } from "./record_line.ts";

/** What goes to a collector. */
export interface LogFacts {
  /** ms since 1970. */
  readonly time: number;
  readonly eventName: string;
  readonly severity: Severity;
  /** One short sentence. */
  readonly body: string;
  readonly attributes: Readonly<Record<string, string | number | string[]>>;
  readonly trace?: TraceFacts | undefined;
  /** Characters of the record's line. */
  readonly chars: number;
}

/** Severities that records have. */
export type Severity = "INFO" | "WARN" | "ERROR";

/** What a `traceparent` says (W3C Trace Context, 3.2). */
export interface TraceFacts {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

/** The log record of an exchange. */
export function logFacts(record: AuditRecord): LogFacts {
  const line = `${recordBody(record)}}`;
  // Proof of the cast: it was written as an object a moment ago.
  const fields = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const attributes: Record<string, string | number | string[]> = {};
  for (const [field, value] of Object.entries(fields)) {
    if (ELSEWHERE.has(field)) continue;
    if (field === "http_method") Object.assign(attributes, methodAttributes(String(value)));
    else attributes[attributeName(field)] = attributeValue(value);
  }
  return {
    time: record.time,
    eventName: `mcptun.${record.type}`,
    severity: severityOf(record.result),
    body: sentence(record),
    attributes,
    trace: traceOf(record.traceparent),
    chars: line.length,
  };
}

/** The attribute that has a field of the record; `docs/audit.md` lists those that differ. */
export function attributeName(field: string): string {
  return Object.hasOwn(CONVENTIONS, field) ? CONVENTIONS[field as RecordField]! : `mcptun.${field}`;
}

/** Fields whose meaning is that of an attribute of the semantic conventions. */
export const CONVENTIONS: Readonly<Partial<Record<RecordField, string>>> = {
  client: "client.address",
  user: "user.name",
  protocol: "mcp.protocol.version",
  http_method: "http.request.method",
  http_path: "url.path",
  status: "http.response.status_code",
  method: "mcp.method.name",
  bytes_in: "http.request.body.size",
  bytes_out: "http.response.body.size",
};

/** Fields that a log record has a place of its own for. */
const ELSEWHERE: ReadonlySet<string> = new Set<RecordField>(["time", "type", "traceparent"]);

/** What the convention for `http.request.method` knows; anything else must not become a value of it. */
const METHODS: ReadonlySet<string> = new Set(
  ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"],
);

function methodAttributes(method: string): Record<string, string> {
  if (METHODS.has(method)) return { "http.request.method": method };
  return {
    "http.request.method": "_OTHER",
    "http.request.method_original": escapeUnseen(method),
  };
}

function attributeValue(value: unknown): string | number | string[] {
  if (typeof value === "string") return escapeUnseen(value);
  if (typeof value === "number") return value;
  if (Array.isArray(value) && value.every((entry) => typeof entry === "string")) {
    return value.map(escapeUnseen);
  }
  // Of arbitrary depth: what was kept of arguments, and a batch.
  return escapeUnseen(JSON.stringify(value));
}

function severityOf(result: AuditResult | undefined): Severity {
  switch (result) {
    case "denied":
    case "refused":
      return "WARN";
    case "tool_error":
    case "rpc_error":
    case "upstream_error":
    case "timeout":
      return "ERROR";
    case "ok":
    case "aborted_by_client":
    case undefined:
      return "INFO";
  }
}

/** `tools/call read_file on code-server: denied`. */
function sentence({ method, name, http_method, http_path, tunnel, result }: AuditRecord): string {
  const what = method === undefined ? [http_method, http_path] : [method, name];
  const words = what.filter((word) => word !== undefined && word !== "").join(" ");
  const end = `${tunnel === undefined ? "" : ` on ${tunnel}`}: ${result ?? "begun"}`;
  const room = AUDIT_TEXT_CHARS - end.length;
  return escapeUnseen((words.length > room ? cutText(words, room) : words) + end);
}

function traceOf(traceparent: string | undefined): TraceFacts | undefined {
  const [version, traceId, spanId, flags] = traceparent?.split("-") ?? [];
  if (version === "ff" || traceId === undefined || spanId === undefined) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags ?? "0", 16) };
}
