import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { CONVENTIONS } from "../../../src/audit/log_facts.ts";
import {
  checkpointBody,
  checkpointLine,
  lostBody,
  openLine,
} from "../../../src/audit/marker_line.ts";
import { RECORD_FIELDS } from "../../../src/audit/record.ts";
import { closeLine } from "../../../src/audit/record_line.ts";
import {
  AUDIT_GROUPS,
  AUDIT_NAME_CHARS,
  AUDIT_TEXT_CHARS,
  OTLP_CLOSE_MS,
  OTLP_QUEUE_BYTES,
  OTLP_QUEUE_RECORDS,
  OTLP_TELL_MS,
  OTLP_TIMEOUT_MS,
} from "../../../src/limits.ts";
import { repositoryRoot } from "../../support/cli_process.ts";

const PAGE = readFileSync(join(repositoryRoot(), "docs", "audit.md"), "utf8");

test("the document lists every field of a record, in order, each with its meaning", () => {
  const rows = rowsAfter("<!-- fields of a record -->");

  assert.deepEqual(rows.map(([field]) => field), RECORD_FIELDS.map((field) => `\`${field}\``));
  for (const [field, meaning] of rows) assert.ok(meaning!.length >= 9, field);
});

test("the document lists every member of the other lines, in order", () => {
  const state = { edge: "e", file: 1, first: 1, records: 1, prev: "p" };
  const open = openLine({
    wallMs: 0,
    state,
    key: "k",
    keyId: "i",
    torn: { bytes: 1, hash: "h" },
    missing: { records: 1, hash: "h" },
  });
  const checkpoint = (why: "rotated" | "end") =>
    checkpointLine(checkpointBody({ wallMs: 0, state, keyId: "i", why }), "s");
  const lost = closeLine(lostBody({ edge: "e", wallMs: 0, sinceMs: 0, count: 1 }), "p");
  const membersOf = (line: string) => Object.keys(JSON.parse(line)).slice(COMMON.length);
  const ended = membersOf(checkpoint("end"));

  const rows = rowsAfter("<!-- fields of other lines -->");

  const told = Object.fromEntries(
    rows.map(([type, , members]) => [type, members!.split(", ").map((name) => name.slice(1, -1))]),
  );
  assert.deepEqual(told, {
    "`open`": membersOf(open),
    "`checkpoint`": membersOf(checkpoint("rotated")).toSpliced(4, 0, ended[3]!),
    "`lost`": membersOf(lost),
  });
  for (const line of [open, checkpoint("end"), lost]) {
    assert.deepEqual(Object.keys(JSON.parse(line)).slice(0, COMMON.length), COMMON);
  }
});

test("the document lists the attributes of the semantic conventions", () => {
  const rows = rowsAfter("<!-- attributes of the semantic conventions -->");

  assert.deepEqual(
    rows.map(([field, attribute]) => [field, attribute!.split(";")[0]]),
    Object.entries(CONVENTIONS).map(([field, name]) => [`\`${field}\``, `\`${name}\``]),
  );
});

test("the bounds of the export in the document are those of the code", () => {
  const told = `${OTLP_QUEUE_RECORDS.toLocaleString("en-US")} records or ` +
    `${OTLP_QUEUE_BYTES / 1_048_576} MiB may wait`;

  assert.ok(PAGE.includes(told), told);
  assert.ok(PAGE.includes(`A request gets ${OTLP_TIMEOUT_MS / 1_000} s`));
  assert.ok(PAGE.includes(`what waits gets ${OTLP_CLOSE_MS / 1_000} s to leave`));
  assert.equal(OTLP_TELL_MS, 60_000);
});

test("the bounds in the document are those of the code", () => {
  assert.ok(PAGE.includes(`(${AUDIT_TEXT_CHARS} characters; names, paths and rules 1,024)`));
  assert.equal(AUDIT_NAME_CHARS, 1_024);
  assert.ok(PAGE.includes(`of more than ${AUDIT_GROUPS} the rest is cut`));
});

const COMMON = ["v", "type", "time", "edge"];

/** The cells of the table behind a marker. */
function rowsAfter(marker: string): string[][] {
  const at = PAGE.indexOf(marker);
  assert.notEqual(at, -1, marker);
  const table = PAGE.slice(at + marker.length).trimStart().split("\n\n")[0]!;
  return table.split("\n").slice(2).map((row) =>
    row.slice(1, -1).split(" | ").map((cell) => cell.trim())
  );
}
