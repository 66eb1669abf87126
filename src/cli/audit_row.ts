/** A record as the cells of one line for people: short, inert, without colour. @module */

import { basename } from "node:path";

import type { SeenCall, SeenRecord } from "../audit/read_record.ts";
import { inertText } from "./fitted_table.ts";

/** What a line is about, for its looks. */
export type RowTone = "plain" | "denied" | "failed";

/** The cells of one line. Everything that came from outside is escaped. */
export interface AuditRow {
  /** When it began, ms since 1970; absent when the line does not say. */
  readonly timeMs: number | undefined;
  readonly tone: RowTone;
  readonly result: string;
  readonly took: string;
  readonly status: string;
  readonly bytesIn: string;
  readonly bytesOut: string;
  readonly client: string;
  readonly user: string;
  readonly tunnel: string;
  readonly call: string;
  /** The rule that decided, or what went wrong. */
  readonly rule: string;
  /** The same without what the call says already. */
  readonly shortRule: string;
  /** Where the rule stands, `file:line:column`; empty without a rule. */
  readonly place: string;
  /** The same with the file's name alone. */
  readonly shortPlace: string;
}

/** What became of an exchange that has an intent and no record. */
export type Outcome =
  /** The edge has started anew since: nobody will say. */
  | "lost"
  /** Nothing follows in the trail: it may be in flight. */
  | "open";

/** In the column of the tunnel, where a request has reached none. */
export const NO_TUNNEL = "-";

/** The cells for a record. */
export function rowOf(record: SeenRecord, outcome?: Outcome): AuditRow {
  const { time, status, client, user, tunnel } = record;
  const ruleAt = record.rule === undefined || outcome !== undefined ? "" : record.rule_at ?? "";
  return {
    timeMs: time,
    ...resultOf(record, outcome),
    took: record.duration_ms === undefined ? "" : duration(record.duration_ms),
    status: status === undefined ? "" : String(status),
    bytesIn: record.bytes_in === undefined ? "" : size(record.bytes_in),
    bytesOut: record.bytes_out === undefined ? "" : size(record.bytes_out),
    client: inertText(client ?? ""),
    user: inertText(user ?? "-"),
    tunnel: inertText(tunnel ?? NO_TUNNEL),
    call: record.type === "lost"
      ? `${record.lost ?? "some"} records not written`
      : callText(record),
    rule: ruleText(record, outcome, "whole"),
    shortRule: ruleText(record, outcome, "short"),
    place: inertText(ruleAt),
    shortPlace: inertText(basename(ruleAt)),
  };
}

/** A time of milliseconds in at most six characters: `<1ms`, `12ms`, `1.4s`, `3m04s`, `2h15m`, `3d4h`. */
export function duration(ms: number): string {
  if (ms < 1) return "<1ms";
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${two(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d${hours % 24}h`;
}

/** Bytes in at most five characters: `310B`, `4.1K`, `12M`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 1,000 and not 1,024: four digits would not fit.
  while (value >= 999.5 && unit < SIZE_UNITS.length - 1) {
    value /= 1_024;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? value.toFixed(1) : String(Math.round(value));
  return `${digits}${SIZE_UNITS[unit]}`;
}

function resultOf(
  { type, result }: SeenRecord,
  outcome: Outcome | undefined,
): { readonly result: string; readonly tone: RowTone } {
  if (outcome === "lost") return { result: "NO END", tone: "denied" };
  if (outcome === "open") return { result: "open", tone: "failed" };
  if (type === "lost") return { result: "LOST", tone: "denied" };
  if (type !== "exchange") return { result: inertText(type), tone: "plain" };
  if (result === undefined) return { result: "-", tone: "plain" };
  const known = RESULTS.get(result);
  return known ?? { result: inertText(result), tone: "failed" };
}

function callText(record: SeenRecord): string {
  const { method, http_method: httpMethod, http_path: httpPath, batch } = record;
  let text = targetText(record);
  if (text === "") {
    text = method === undefined
      ? [httpMethod, httpPath].filter((part) => part !== undefined).join(" ") || "-"
      : method;
  }
  const others = batch?.length ?? 0;
  return inertText(text) + (others > 0 ? ` (+${others})` : "");
}

/** A method is told by itself; other kinds say what they are: a tool may be called like a method. */
function targetText({ kind, name }: SeenCall): string {
  if (name === undefined) return "";
  return kind === undefined || kind === "method" ? name : `${kind} ${name}`;
}

function ruleText(
  record: SeenRecord,
  outcome: Outcome | undefined,
  form: "whole" | "short",
): string {
  const { result, code, error_code: errorCode, rule, reason, decision } = record;
  if (outcome === "lost") return "the edge ended before it was over";
  if (outcome === "open") return "in flight, or the edge has ended";
  const parts: string[] = [];
  if (code !== undefined) parts.push(code);
  else if (errorCode !== undefined && result === "rpc_error") parts.push(`error ${errorCode}`);
  if (rule !== undefined) {
    parts.push(form === "short" ? rule.replace(/^(allow|deny)_[a-z]+ /, "$1 ") : rule);
  } else if (result === "refused" && decision === undefined && reason !== undefined) {
    // A message that could not be read: no layer was asked.
    parts.push(reason);
  } else if (decision === "deny" || DEFAULTS.has(reason ?? "")) {
    const words = reason ?? "no reason given";
    const { layer } = record;
    parts.push(form === "short" || layer === undefined ? words : `${layer}: ${words}`);
  }
  return inertText(parts.join(", "));
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}

const RESULTS: ReadonlyMap<string, { readonly result: string; readonly tone: RowTone }> = new Map([
  ["ok", { result: "ok", tone: "plain" }],
  ["denied", { result: "DENIED", tone: "denied" }],
  ["refused", { result: "refused", tone: "failed" }],
  ["tool_error", { result: "tool err", tone: "failed" }],
  ["rpc_error", { result: "rpc err", tone: "failed" }],
  ["upstream_error", { result: "upstream", tone: "failed" }],
  ["aborted_by_client", { result: "aborted", tone: "failed" }],
  ["timeout", { result: "timeout", tone: "failed" }],
]);
/** What allows without a rule, and is worth a word: "ordinary_method" is not. */
const DEFAULTS: ReadonlySet<string> = new Set(["default_allow"]);
const SIZE_UNITS = ["B", "K", "M", "G", "T"];
