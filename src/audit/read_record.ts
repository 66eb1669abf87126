/**
 * A line of the trail as a typed value, whoever wrote it: what is not of its type is left out.
 *
 * It does not check hashes; that is for `mcptun audit verify`.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

import { type RECORD_FIELDS, RECORD_VERSION } from "./record.ts";

/** A member that a line may have. */
export type RecordField = typeof RECORD_FIELDS[number];

/** What a member holds. */
export type FieldKind = "number" | "time" | "text" | "texts" | "calls" | "json";

/** The kind of each member. A new one does not compile until it has its kind here. */
export const FIELD_KINDS = {
  v: "number",
  type: "text",
  time: "time",
  duration_ms: "number",
  edge: "text",
  exchange: "text",
  tunnel: "text",
  transport: "text",
  rift: "text",
  connection: "text",
  client: "text",
  user: "text",
  groups: "texts",
  how: "text",
  era: "text",
  protocol: "text",
  http_method: "text",
  http_path: "text",
  status: "number",
  code: "text",
  method: "text",
  kind: "text",
  name: "text",
  rpc_id: "text",
  session: "text",
  decision: "text",
  layer: "text",
  reason: "text",
  rule: "text",
  rule_at: "text",
  batch: "calls",
  policy: "text",
  result: "text",
  error_code: "number",
  bytes_in: "number",
  bytes_out: "number",
  events: "number",
  items_before: "number",
  items_after: "number",
  traceparent: "text",
  arguments: "json",
  prev: "text",
} as const satisfies Record<RecordField, FieldKind>;

interface ValueOfKind {
  number: number;
  /** ms since 1970. */
  time: number;
  text: string;
  texts: readonly string[];
  calls: readonly SeenCall[];
  json: unknown;
}

/** A line that was read. Words of fixed lists are text here: a newer edge may know more of them. */
export type SeenRecord =
  & {
    readonly [Field in RecordField]?: ValueOfKind[(typeof FIELD_KINDS)[Field]];
  }
  & {
    readonly type: string;
    /** Of a `lost` line: how many records were not written. */
    readonly lost?: number;
    /** Of a `checkpoint`: the file ends here, and its writer goes on in the next. */
    readonly rotated?: true;
  };

/** One message of a batch, or what a record says of its own message. */
export type SeenCall = Pick<
  SeenRecord,
  "method" | "kind" | "name" | "rpc_id" | "decision" | "layer" | "reason" | "rule" | "rule_at"
>;

/** Why a line cannot be used. */
export type LineProblem =
  /** No JSON object with `v` and `type`: torn by a crash, or not ours. */
  | "no_record"
  /** Of a schema that this version does not know. */
  | "newer";

/** Reads a line, without its end. Never throws. */
export function readRecord(line: Uint8Array): SeenRecord | LineProblem {
  let value: unknown;
  try {
    value = JSON.parse(textOf(line));
  } catch {
    // Nothing is lost: whoever reads lines counts and tells those that are no records.
    return "no_record";
  }
  if (!isObject(value) || typeof value["v"] !== "number" || typeof value["type"] !== "string") {
    return "no_record";
  }
  if (value["v"] > RECORD_VERSION) return "newer";
  // In place: a copy costs more than all the rest. What else a line has is not asked for by anyone.
  for (const { name, read } of MEMBERS) {
    const raw = value[name];
    if (raw === undefined) continue;
    const member = read(raw);
    if (member === raw) continue;
    if (member === undefined) delete value[name];
    else value[name] = member;
  }
  // Proof of the cast: each member was read by the reader of its kind.
  return value as SeenRecord;
}

/** Is it a line about an exchange? Others are about the trail itself. */
export function isAboutExchange({ type }: SeenRecord): boolean {
  return type === "exchange" || type === "intent";
}

/** When what the line tells of was over, ms since 1970: lines stand in this order, nearly. */
export function endOf({ time, duration_ms: durationMs = 0 }: SeenRecord): number | undefined {
  return time === undefined ? undefined : time + durationMs;
}

/**
 * The time of a line without reading the whole of it: `v`, `type` and `time` come first.
 *
 * @returns ms since 1970, or `undefined` when the line begins otherwise.
 */
export function timeAtStart(line: Buffer): number | undefined {
  const match = START.exec(line.toString("latin1", 0, START_CHARS));
  return match === null ? undefined : instantOf(match[1]!);
}

/** All that a record says was called: its own message, then the others of a batch. */
export function callsOf(record: SeenRecord): readonly SeenCall[] {
  return record.batch === undefined ? [record] : [record, ...record.batch];
}

/** An instant as the trail writes it, ms since 1970. */
function instantOf(text: string): number | undefined {
  if (!INSTANT.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

const READERS: Readonly<Record<FieldKind, (value: unknown) => unknown>> = {
  number: (value) => typeof value === "number" && Number.isFinite(value) ? value : undefined,
  time: (value) => typeof value === "string" ? instantOf(value) : undefined,
  text: (value) => typeof value === "string" ? value : undefined,
  texts: (value) =>
    Array.isArray(value) && value.every((one) => typeof one === "string") ? value : undefined,
  calls: (value) => Array.isArray(value) ? value.filter(isObject).map(readCall) : undefined,
  json: (value) => value,
};

function readCall(value: Readonly<Record<string, unknown>>): SeenCall {
  const call: Record<string, string> = {};
  for (const name of CALL_FIELDS) {
    const text = value[name];
    if (typeof text === "string") call[name] = text;
  }
  return call;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(line: Uint8Array): string {
  return DECODER.decode(line);
}

/** Each member with the reader of its kind; the last two are those of lines about the trail. */
const MEMBERS: readonly { readonly name: string; readonly read: (value: unknown) => unknown }[] = [
  ...Object.entries(FIELD_KINDS).map(([name, kind]) => ({ name, read: READERS[kind] })),
  { name: "lost", read: READERS.number },
  { name: "rotated", read: (value) => value === true ? true : undefined },
];
const DECODER = new TextDecoder();
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z$/;
const START = /^\{"v":\d{1,4},"type":"[a-z_]{1,24}","time":"([0-9TZ:.-]{20,30})"/;
/** The longest that {@link START} matches, and some. */
const START_CHARS = 96;
const CALL_FIELDS = [
  "method",
  "kind",
  "name",
  "rpc_id",
  "decision",
  "layer",
  "reason",
  "rule",
  "rule_at",
] as const satisfies readonly (keyof SeenCall)[];
