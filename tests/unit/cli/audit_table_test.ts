import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { readRecord } from "../../../src/audit/read_record.ts";
import { rowOf } from "../../../src/cli/audit_row.ts";
import { AuditTable, type TableView } from "../../../src/cli/audit_table.ts";
import { deniedLine, type LineFacts, toolLine } from "../../support/audit_lines.ts";

const WIDE: TableView = { width: 160, style: "plain" };
const NARROW: TableView = { width: 80, style: "plain" };
const PIPE: TableView = { width: Infinity, style: "plain" };

function row(facts: LineFacts = {}, line: typeof toolLine = toolLine) {
  const record = readRecord(Buffer.from(line(facts.name ?? "read_file", facts)));
  assert.ok(typeof record !== "string");
  return rowOf(record);
}

function isHead(line: string): boolean {
  return line.includes("RESULT");
}

test("a column grows for a wider cell, stays so, and the head is told again", () => {
  const table = new AuditTable();

  const first = table.lines([row()], WIDE);
  const wider = table.lines([row({ user: "a-much-longer-name" })], WIDE);
  const after = table.lines([row(), row({ user: "another-long-name" })], WIDE);

  assert.equal(first.filter(isHead).length, 1);
  assert.deepEqual(wider.map(isHead), [false, true, false]);
  assert.deepEqual(after.map(isHead), [false, false]);
  const [head = ""] = wider.filter(isHead);
  const place = head.indexOf("TUNNEL");
  const lines = [wider[2]!, ...after];
  assert.equal(lines.length, 3);
  for (const line of lines) {
    assert.equal(line.slice(place, place + "code-server".length), "code-server", line);
  }
  assert.ok(wider[2]!.includes(" a-much-longer-name "));
});

test("columns do not grow past the terminal, nor for what fits already", () => {
  const table = new AuditTable();
  table.lines([row()], NARROW);

  const names = Array.from({ length: 60 }, (_, length) => "x".repeat(length + 1));
  const lines = names.flatMap((name) => table.lines([row({ name, user: name })], NARROW));

  for (const line of lines) assert.ok(line.length <= 80, line);
  const heads = lines.filter(isHead).length;
  assert.ok(heads > 0 && heads < 20, String(heads));
});

test("a terminal that is made wider gets the columns that it has room for", () => {
  const table = new AuditTable();
  const narrow = table.lines([row()], NARROW);

  const wide = table.lines([row()], WIDE);

  assert.equal(narrow[0], "tunnel code-server");
  assert.match(wide[1]!, /^TIME \(UTC\) .* TUNNEL /);
  assert.match(wide[2]!, / code-server /);
});

test("in a pipe columns grow without a second head", () => {
  const table = new AuditTable();

  const lines = [
    ...table.lines([row()], PIPE),
    ...table.lines([row({ user: "a-much-longer-name" }), row()], PIPE),
  ];

  assert.equal(lines.filter(isHead).length, 1);
  assert.equal(lines.length, 4);
  assert.equal(lines[2]!.indexOf("code-server"), lines[3]!.indexOf("code-server"));
});

test("the line of a rule's place is readable however long the path and the rule are", () => {
  const facts = {
    rule: `deny_tools "${"shell_".repeat(20)}*"`,
    rule_at: `/a/${"very/".repeat(40)}long/path/mcptun.toml:12:15`,
  };
  const longName = { ...facts, rule_at: `/a/${"n".repeat(120)}.toml:12:15` };
  const rows = [row(facts, deniedLine), row(longName, deniedLine)];

  const [, short = "", cut = ""] = new AuditTable().lines(rows, WIDE);
  const [, whole = ""] = new AuditTable().lines(rows, PIPE);

  assert.match(short, / deny "shell_.*… mcptun\.toml:12:15$/);
  assert.match(cut, / deny "s… …n+\.toml:12:15$/);
  assert.ok(whole.endsWith(`${facts.rule} ${facts.rule_at}`), whole);
});
