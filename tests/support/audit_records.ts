/** Records for tests of the audit trail. @module */

import type { AuditRecord } from "../../src/audit/record.ts";

/** The least a record has. */
export const RECORD: AuditRecord = {
  time: 1_800_000_000_123,
  type: "exchange",
  edge: "edge-1",
  exchange: "3f2a9c0d1e4b5a69",
};

/** A record with every member, in the order of the contract. */
export const FULL_RECORD: AuditRecord = {
  type: "exchange",
  time: 1_800_000_000_123,
  duration_ms: 12.3456,
  edge: "edge-1",
  exchange: "3f2a9c0d1e4b5a69",
  tunnel: "code-server",
  transport: "quic",
  rift: "laptop",
  connection: "c-17",
  client: "203.0.113.9",
  user: "alice@example.com",
  groups: ["frontend", "staff"],
  how: "jwt",
  era: "modern",
  protocol: "2026-03-26",
  http_method: "POST",
  http_path: "/code-server/mcp",
  status: 200,
  code: "INTERNAL",
  method: "tools/call",
  kind: "tool",
  name: "read_file",
  rpc_id: '"17"',
  session: "q0dJ0mQd2a8",
  decision: "allow",
  layer: "user.toml",
  reason: "allow_rule",
  rule: 'allow_tools "read_*"',
  rule_at: "user.toml:12:3",
  batch: [{ method: "ping", rpc_id: "18", decision: "allow" }],
  policy: "a0dJ0mQd2a8x",
  result: "ok",
  error_code: -32603,
  bytes_in: 412,
  bytes_out: 1_833,
  events: 1,
  items_before: 20,
  items_after: 3,
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  arguments: { path: "README.md" },
};

/** A record of its own for each number. */
export function recordOf(number: number): AuditRecord {
  return {
    ...FULL_RECORD,
    time: 1_800_000_000_000 + number,
    exchange: number.toString(16).padStart(16, "0"),
    bytes_in: number,
  };
}
