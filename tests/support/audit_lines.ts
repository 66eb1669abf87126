/** Lines of an audit trail for tests, as an edge writes them. @module */

import { type AuditRecord, RECORD_FIELDS } from "../../src/audit/record.ts";

/** What a test says of a record; the rest is filled in. */
export type LineFacts = Partial<Omit<AuditRecord, "type" | "time">> & {
  readonly type?: "exchange" | "intent" | undefined;
  /** ms since 1970. */
  readonly time?: number | undefined;
};

/** 2026-11-25T08:30:00.000Z */
export const TRAIL_MS = Date.UTC(2026, 10, 25, 8, 30);

/** A line of an exchange or an intent, without its end. */
export function recordLine(facts: LineFacts = {}): string {
  const { time = TRAIL_MS, ...given } = facts;
  const members: Readonly<Record<string, unknown>> = {
    v: 1,
    type: "exchange",
    edge: "gate",
    exchange: "x1",
    ...given,
    time: new Date(time).toISOString(),
    prev: HASH,
  };
  return JSON.stringify(Object.fromEntries(
    RECORD_FIELDS.flatMap((name) => members[name] === undefined ? [] : [[name, members[name]]]),
  ));
}

/** A call of a tool, decided. */
export function toolLine(name: string, facts: LineFacts = {}): string {
  return recordLine({
    duration_ms: 12,
    tunnel: "code-server",
    client: "192.0.2.7",
    user: "alice",
    groups: ["dev"],
    how: "user_token",
    http_method: "POST",
    http_path: "/code-server/mcp",
    status: 200,
    method: "tools/call",
    kind: "tool",
    name,
    rpc_id: "1",
    decision: "allow",
    layer: "user",
    reason: "allow_rule",
    rule: 'allow_tools "read_*"',
    rule_at: "user.toml:3:16",
    result: "ok",
    bytes_in: 310,
    bytes_out: 4_200,
    ...facts,
  });
}

/** A call that a rule of the tunnel denied. */
export function deniedLine(name: string, facts: LineFacts = {}): string {
  return toolLine(name, {
    duration_ms: 0.8,
    decision: "deny",
    layer: "tunnel",
    reason: "deny_rule",
    rule: 'deny_tools "shell_*"',
    rule_at: "mcptun.toml:12:15",
    result: "denied",
    bytes_out: 140,
    ...facts,
  });
}

/** The first line of a file, and the first of an edge that has started. */
export function openLine(time: number, file = 1): string {
  return `{"v":1,"type":"open","time":"${new Date(time).toISOString()}","edge":"gate",` +
    `"file":${file},"first":1,"records":0,"key":"K","key_id":"k","prev":"${HASH}"}`;
}

/** A signed line. */
export function checkpointLine(time: number, why: "count" | "rotated" | "end" = "count"): string {
  return `{"v":1,"type":"checkpoint","time":"${new Date(time).toISOString()}","edge":"gate",` +
    `"file":1,"first":1,"records":0${why === "count" ? "" : `,"${why}":true`},"key_id":"k",` +
    `"prev":"${HASH}","sig":"S"}`;
}

/** A line that tells of records that could not be written. */
export function lostLine(time: number, lost: number): string {
  const text = new Date(time).toISOString();
  return `{"v":1,"type":"lost","time":"${text}","edge":"gate","lost":${lost},"since":"${text}",` +
    `"prev":"${HASH}"}`;
}

/** A file of lines. */
export function textOfLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

const HASH = "A".repeat(43);
