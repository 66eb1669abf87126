import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import fc from "fast-check";

import { quoteText, timeText } from "../../../src/audit/line_text.ts";
import { type AuditRecord, RECORD_FIELDS } from "../../../src/audit/record.ts";
import { closeLine, recordBody } from "../../../src/audit/record_line.ts";
import {
  AUDIT_ARGUMENTS_BYTES,
  AUDIT_GROUPS,
  AUDIT_LINE_BYTES,
  AUDIT_NAME_CHARS,
  AUDIT_TEXT_CHARS,
  MAX_BATCH_ELEMENTS,
} from "../../../src/limits.ts";
import { FULL_RECORD, RECORD } from "../../support/audit_records.ts";

const PREV = "p".repeat(43);

test("a full record has every field, in the order of the contract", () => {
  const line = closeLine(recordBody(FULL_RECORD), PREV);

  assert.deepEqual(Object.keys(JSON.parse(line)), [...RECORD_FIELDS]);
  assert.deepEqual(JSON.parse(line), {
    v: 1,
    ...FULL_RECORD,
    time: "2027-01-15T08:00:00.123Z",
    duration_ms: 12.346,
    prev: PREV,
  });
});

test("what is not known is absent", () => {
  const line = closeLine(recordBody({ ...RECORD, user: undefined, name: "", groups: [] }), PREV);

  assert.deepEqual(Object.keys(JSON.parse(line)), [
    "v",
    "type",
    "time",
    "edge",
    "exchange",
    "prev",
  ]);
});

test("a number that is none is absent", () => {
  const odd = { duration_ms: Number.NaN, status: Number.POSITIVE_INFINITY, bytes_in: 1.5 };

  const { duration_ms, status, bytes_in } = JSON.parse(`${recordBody({ ...RECORD, ...odd })}}`);

  assert.deepEqual([duration_ms, status, bytes_in], [undefined, undefined, undefined]);
});

test("texts that would move a terminal or forge a line stand escaped, and read back as they were", () => {
  const hostile = [
    'rm\n{"v":1}',
    "a\r\u0000b\tc\u0007",
    "\u001b[2J\u001b]0;owned\u0007",
    "\u009b31m",
    "\u007f",
    "user\u202etxt.exe",
    "\u2066isolated\u2069",
    "line\u2028separator\u2029",
    "zero\u200bwidth\ufeff",
    "lone \ud800 surrogate",
    "lone \udfff too",
    "tag \u{e0041}",
    'quote " and \\ backslash',
  ];
  let tried = 0;
  for (const name of hostile) {
    const line = closeLine(recordBody({ ...RECORD, name, user: name, groups: [name] }), PREV);

    assert.match(line, /^[ -~]*$/, JSON.stringify(name));
    assert.equal(JSON.parse(line).name, name);
    assert.deepEqual(JSON.parse(line).groups, [name]);
    tried++;
  }
  assert.equal(tried, 13);
});

test("text that people can read stays readable", () => {
  assert.equal(quoteText("Grüße, 日本 🚀", 100), '"Grüße, 日本 🚀"');
});

test("a text above its bound is cut and says so, without half of a pair", () => {
  const record = { ...RECORD, user: "u".repeat(AUDIT_TEXT_CHARS + 1), name: "n".repeat(5_000) };

  const { user, name } = JSON.parse(`${recordBody(record)}}`);

  assert.equal(user, `${"u".repeat(AUDIT_TEXT_CHARS - 1)}…`);
  assert.equal(name.length, AUDIT_NAME_CHARS);
  assert.equal(quoteText("ab🚀cd", 4), '"ab…"');
  assert.equal(quoteText("ab🚀cd", 5), '"ab🚀…"');
});

test("a list of groups above its bound says that there was more; of a batch no call is left out", () => {
  const call = {
    method: "tools/call",
    kind: "tool",
    name: "n".repeat(AUDIT_NAME_CHARS),
    rpc_id: `"${"\u200b".repeat(500)}"`,
    decision: "allow",
  } as const;
  const record = {
    ...RECORD,
    groups: Array.from({ length: AUDIT_GROUPS + 1 }, (_, index) => `g${index}`),
    batch: [...Array.from({ length: 99 }, () => call), { ...call, name: "wire_money" }],
  };

  const { groups, batch } = JSON.parse(`${recordBody(record)}}`);

  assert.equal(groups.length, AUDIT_GROUPS + 1);
  assert.equal(groups.at(-1), "…");
  assert.equal(batch.length, 100);
  assert.deepEqual(batch.at(-1), {
    method: "tools/call",
    kind: "tool",
    name: "wire_money",
    decision: "allow",
  });
});

test("arguments above their bound become a text that is cut", () => {
  const small = JSON.parse(`${recordBody({ ...RECORD, arguments: { path: "a\u202eb" } })}}`);
  const big = { text: "\u0000".repeat(AUDIT_ARGUMENTS_BYTES) };
  const cut = JSON.parse(`${recordBody({ ...RECORD, arguments: big })}}`);

  assert.deepEqual(small.arguments, { path: "a\u202eb" });
  assert.equal(typeof cut.arguments, "string");
  assert.match(cut.arguments, /^\{"text":".*…$/s);
});

test("arguments that JSON cannot say do not throw", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = cycle;

  assert.equal(JSON.parse(`${recordBody({ ...RECORD, arguments: cycle })}}`).arguments, "…");
  assert.equal(JSON.parse(`${recordBody({ ...RECORD, arguments: 1n })}}`).arguments, "…");
  assert.equal("arguments" in JSON.parse(`${recordBody({ ...RECORD, arguments: test })}}`), false);
});

test("a record whose every text is at its worst fits the longest line", () => {
  const worst = "\u0001".repeat(100_000);
  const texts = Object.fromEntries(
    Object.entries(FULL_RECORD).map(([field, value]) => [
      field,
      typeof value === "string" && !FIXED.has(field) ? worst : value,
    ]),
  );
  const record = {
    ...texts,
    groups: Array.from({ length: 1_000 }, () => worst),
    // As many as an edge takes in one batch.
    batch: Array.from({ length: MAX_BATCH_ELEMENTS }, () => ({
      method: worst,
      name: worst,
      arguments: worst,
    })),
    arguments: worst,
  } as unknown as AuditRecord;

  const line = closeLine(recordBody(record), PREV);

  assert.ok(Buffer.byteLength(line) < AUDIT_LINE_BYTES, String(Buffer.byteLength(line)));
  assert.deepEqual(Object.keys(JSON.parse(line)), [...RECORD_FIELDS]);
});

test("any text reads back as it was, or as its start", () => {
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
    const line = closeLine(recordBody({ ...RECORD, user: text, name: text }), PREV);

    assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    const { user = "", name = "" } = JSON.parse(line);
    assert.equal(name, text);
    assert.ok(user === text || user.endsWith("…") && text.startsWith(user.slice(0, -1)));
  }));
});

test("a time is RFC 3339 with milliseconds, also across seconds and out of range", () => {
  const times = [0, 999, 1_000, -1, 1_800_000_000_005, 1_800_000_000_050, 1_799_999_999_999.9];
  for (const ms of times) {
    assert.equal(timeText(ms), new Date(Math.trunc(ms)).toISOString());
  }
  assert.equal(times.length, 7);
  assert.equal(timeText(Number.NaN), "1970-01-01T00:00:00.000Z");
  assert.equal(timeText(1e300), "1970-01-01T00:00:00.000Z");
});

/** Our own words, which the encoder does not look at. */
const FIXED: ReadonlySet<string> = new Set(["type", "how", "era", "kind", "decision", "result"]);
