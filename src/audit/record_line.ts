/**
 * A record as one line of JSON, but for its last member: the hash of the line before is known only
 * when it is written. On the path of every exchange, so it is put together by hand.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import {
  AUDIT_ARGUMENTS_BYTES,
  AUDIT_BATCH_CHARS,
  AUDIT_GROUPS,
  AUDIT_NAME_CHARS,
  AUDIT_TEXT_CHARS,
} from "../limits.ts";
import { cutText, escapeUnseen, quoteText, timeText } from "./line_text.ts";
import { type AuditCall, type AuditRecord, RECORD_VERSION } from "./record.ts";

/**
 * The line of a record up to `prev`, in the order of `RECORD_FIELDS`: {@link closeLine} ends it.
 *
 * Never throws; whatever a text holds, the line is one line, valid JSON, and at most
 * `AUDIT_LINE_BYTES` long.
 */
export function recordBody(record: AuditRecord): string {
  return `{"v":${RECORD_VERSION},"type":"${record.type}","time":"${timeText(record.time)}"` +
    milliseconds("duration_ms", record.duration_ms) +
    text("edge", record.edge) +
    text("exchange", record.exchange) +
    text("tunnel", record.tunnel) +
    text("transport", record.transport) +
    text("rift", record.rift) +
    text("connection", record.connection) +
    text("client", record.client) +
    text("user", record.user) +
    groups(record.groups) +
    word("how", record.how) +
    word("era", record.era) +
    text("protocol", record.protocol) +
    text("http_method", record.http_method) +
    name("http_path", record.http_path) +
    whole("status", record.status) +
    text("code", record.code) +
    target(record) +
    text("session", record.session) +
    decision(record) +
    batch(record.batch) +
    text("policy", record.policy) +
    word("result", record.result) +
    whole("error_code", record.error_code) +
    whole("bytes_in", record.bytes_in) +
    whole("bytes_out", record.bytes_out) +
    whole("events", record.events) +
    whole("items_before", record.items_before) +
    whole("items_after", record.items_after) +
    text("traceparent", record.traceparent) +
    keptArguments(record.arguments);
}

/** Ends a body with the hash of the line before. Without the newline. */
export function closeLine(body: string, prev: string): string {
  return `${body},"prev":"${prev}"}`;
}

function target(call: AuditCall): string {
  return name("method", call.method) + word("kind", call.kind) + name("name", call.name) +
    text("rpc_id", call.rpc_id);
}

function decision(call: AuditCall): string {
  return word("decision", call.decision) + text("layer", call.layer) + text("reason", call.reason) +
    name("rule", call.rule) + name("rule_at", call.rule_at);
}

function text(field: string, value: string | undefined): string {
  if (value === undefined || value === "") return "";
  return `,"${field}":${quoteText(value, AUDIT_TEXT_CHARS)}`;
}

/** One of our own words, which need no look. */
function word(field: string, value: string | undefined): string {
  return value === undefined ? "" : `,"${field}":"${value}"`;
}

function name(field: string, value: string | undefined): string {
  if (value === undefined || value === "") return "";
  return `,"${field}":${quoteText(value, AUDIT_NAME_CHARS)}`;
}

function whole(field: string, value: number | undefined): string {
  return Number.isSafeInteger(value) ? `,"${field}":${value}` : "";
}

/** To the microsecond. */
function milliseconds(field: string, value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "";
  return `,"${field}":${Math.round(value * 1_000) / 1_000}`;
}

/** A list that is cut has `…` as its last entry. */
function groups(list: readonly string[] | undefined): string {
  if (list === undefined || list.length === 0) return "";
  let entries = "";
  for (const [index, group] of list.entries()) {
    if (index === AUDIT_GROUPS) {
      entries += ',"…"';
      break;
    }
    entries += `${index === 0 ? "" : ","}${quoteText(group, AUDIT_TEXT_CHARS)}`;
  }
  return `,"groups":[${entries}]`;
}

/** Every call is in it, however much the client has put around some: a list that is too long is told briefly. */
function batch(calls: readonly AuditCall[] | undefined): string {
  if (calls === undefined || calls.length === 0) return "";
  const full = calls.map((call) => target(call) + decision(call) + keptArguments(call.arguments));
  const length = full.reduce((sum, members) => sum + members.length, 0);
  const entries = length <= AUDIT_BATCH_CHARS ? full : calls.map(brief);
  return `,"batch":[${entries.map((members) => `{${members.slice(1)}}`).join(",")}]`;
}

/** What was called, and whether it was allowed: at most 3 KB. */
function brief({ method, kind, name: called, decision: decided }: AuditCall): string {
  return text("method", method) + word("kind", kind) + text("name", called) +
    word("decision", decided);
}

/** Too long, or nothing that JSON can say: what there is of it, as a text. */
function keptArguments(value: unknown): string {
  if (value === undefined) return "";
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch {
    // A cycle or a BigInt: whoever keeps arguments made them from JSON, so that is a defect there.
    json = '"…"';
  }
  if (json === undefined) return "";
  const inert = escapeUnseen(json);
  if (Buffer.byteLength(inert) <= AUDIT_ARGUMENTS_BYTES) return `,"arguments":${inert}`;
  // A sixth: every character of the part may need an escape.
  return `,"arguments":${quoteText(cutText(json, AUDIT_ARGUMENTS_BYTES / 6), json.length)}`;
}
