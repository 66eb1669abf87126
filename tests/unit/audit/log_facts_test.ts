import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { attributeName, CONVENTIONS, logFacts } from "../../../src/audit/log_facts.ts";
import type { AuditResult } from "../../../src/audit/record.ts";
import { RECORD_FIELDS } from "../../../src/audit/record.ts";
import { AUDIT_NAME_CHARS, AUDIT_TEXT_CHARS } from "../../../src/limits.ts";
import { FULL_RECORD, RECORD } from "../../support/audit_records.ts";

test("a log record has every field of a record, under the names of the conventions where they exist", () => {
  const { attributes, ...rest } = logFacts(FULL_RECORD);

  assert.deepEqual(attributes, {
    "mcptun.v": 1,
    "mcptun.duration_ms": 12.346,
    "mcptun.edge": "edge-1",
    "mcptun.exchange": "3f2a9c0d1e4b5a69",
    "mcptun.tunnel": "code-server",
    "mcptun.transport": "quic",
    "mcptun.rift": "laptop",
    "mcptun.connection": "c-17",
    "client.address": "203.0.113.9",
    "user.name": "alice@example.com",
    "mcptun.groups": ["frontend", "staff"],
    "mcptun.how": "jwt",
    "mcptun.era": "modern",
    "mcp.protocol.version": "2026-03-26",
    "http.request.method": "POST",
    "url.path": "/code-server/mcp",
    "http.response.status_code": 200,
    "mcptun.code": "INTERNAL",
    "mcp.method.name": "tools/call",
    "mcptun.kind": "tool",
    "mcptun.name": "read_file",
    "mcptun.rpc_id": '"17"',
    "mcptun.session": "q0dJ0mQd2a8",
    "mcptun.decision": "allow",
    "mcptun.layer": "user.toml",
    "mcptun.reason": "allow_rule",
    "mcptun.rule": 'allow_tools "read_*"',
    "mcptun.rule_at": "user.toml:12:3",
    "mcptun.batch": '[{"method":"ping","rpc_id":"18","decision":"allow"}]',
    "mcptun.policy": "a0dJ0mQd2a8x",
    "mcptun.result": "ok",
    "mcptun.error_code": -32603,
    "http.request.body.size": 412,
    "http.response.body.size": 1_833,
    "mcptun.events": 1,
    "mcptun.items_before": 20,
    "mcptun.items_after": 3,
    "mcptun.arguments": '{"path":"README.md"}',
  });
  assert.deepEqual({ ...rest, chars: 0 }, {
    time: 1_800_000_000_123,
    eventName: "mcptun.exchange",
    severity: "INFO",
    body: "tools/call read_file on code-server: ok",
    trace: {
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      spanId: "00f067aa0ba902b7",
      flags: 1,
    },
    chars: 0,
  });
  assert.ok(rest.chars > 500);
});

test("every field but those with a place of their own has an attribute", () => {
  const { attributes } = logFacts(FULL_RECORD);

  const missing = RECORD_FIELDS.filter((field) => !Object.hasOwn(attributes, attributeName(field)));
  assert.deepEqual(missing, ["type", "time", "traceparent", "prev"]);
  assert.equal(Object.keys(CONVENTIONS).length, 9);
});

test("the severity follows from what became of the exchange", () => {
  const cases: readonly (readonly [AuditResult | undefined, string])[] = [
    ["ok", "INFO"],
    ["aborted_by_client", "INFO"],
    [undefined, "INFO"],
    ["denied", "WARN"],
    ["refused", "WARN"],
    ["tool_error", "ERROR"],
    ["rpc_error", "ERROR"],
    ["upstream_error", "ERROR"],
    ["timeout", "ERROR"],
  ];
  let ran = 0;
  for (const [result, severity] of cases) {
    assert.equal(logFacts({ ...RECORD, result }).severity, severity, result);
    ran++;
  }
  assert.equal(ran, 9);
});

test("an HTTP method that the conventions do not know is no value of theirs", () => {
  const { attributes } = logFacts({ ...RECORD, http_method: "PROPFIND" });

  assert.equal(attributes["http.request.method"], "_OTHER");
  assert.equal(attributes["http.request.method_original"], "PROPFIND");
});

test("an exchange that is no message is named by its request", () => {
  const { body } = logFacts({
    ...RECORD,
    http_method: "GET",
    http_path: "/web/a",
    tunnel: "web",
    result: "refused",
  });

  assert.equal(body, "GET /web/a on web: refused");
});

test("a traceparent of the version that there must never be gives no trace", () => {
  const traceparent = FULL_RECORD.traceparent!.replace(/^00/, "ff");

  assert.equal(logFacts({ ...RECORD, traceparent }).trace, undefined);
  assert.equal(logFacts(RECORD).trace, undefined);
});

test("whatever texts hold, they are as long as in the file at most, and inert where they are read", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 400 }),
    fc.constantFrom("\u001b[2J", "\u009b31m", "\u202egnp.exe", "a\nb", "\ud800", "x".repeat(5_000)),
  );
  const seen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
  let ran = 0;
  fc.assert(
    fc.property(text, text, text, (name, user, tunnel) => {
      const { attributes, body } = logFacts({
        ...RECORD,
        method: name,
        name,
        user,
        tunnel: tunnel.slice(0, 63),
        groups: [name, user],
        arguments: { [name]: user },
        batch: [{ name }],
      });
      ran++;
      for (const value of [body, ...Object.values(attributes)].flat()) {
        if (typeof value === "string") assert.doesNotMatch(value, seen);
      }
      assert.ok(String(attributes["mcptun.name"] ?? "").length <= 6 * AUDIT_NAME_CHARS);
      assert.ok(String(attributes["user.name"] ?? "").length <= 6 * AUDIT_TEXT_CHARS);
      assert.ok(body.length <= 6 * AUDIT_TEXT_CHARS);
    }),
    { numRuns: 200 },
  );
  assert.equal(ran, 200);
});
