import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import fc from "fast-check";

import { endOf, readRecord, timeAtStart } from "../../../src/audit/read_record.ts";
import {
  checkpointLine,
  lostLine,
  openLine,
  recordLine,
  toolLine,
  TRAIL_MS,
} from "../../support/audit_lines.ts";

test("a record is read with each member in its type", () => {
  const record = readRecord(Buffer.from(toolLine("read_file", {
    batch: [{ method: "tools/call", kind: "tool", name: "b", decision: "allow" }],
    arguments: { a: 1 },
  })));

  assert.ok(typeof record !== "string");
  assert.equal(record.time, TRAIL_MS);
  assert.equal(record.duration_ms, 12);
  assert.equal(endOf(record), TRAIL_MS + 12);
  assert.deepEqual(record.groups, ["dev"]);
  assert.deepEqual(record.batch, [
    { method: "tools/call", kind: "tool", name: "b", decision: "allow" },
  ]);
  assert.deepEqual(record.arguments, { a: 1 });
});

test("a member of another type is as good as absent", () => {
  const record = readRecord(Buffer.from(
    '{"v":1,"type":"exchange","time":5,"duration_ms":"1","user":{},"groups":["a",1],"batch":[1,' +
      '{"name":2,"kind":"tool"}],"status":1e999,"__proto__":{"user":"x"}}',
  ));

  assert.ok(typeof record !== "string");
  assert.deepEqual({ ...record, ["__proto__"]: undefined }, {
    v: 1,
    type: "exchange",
    batch: [{ kind: "tool" }],
    ["__proto__"]: undefined,
  });
  assert.equal(record.user, undefined);
});

test("what is no record is told from what is too new", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["", "no_record"],
    ['{"v":1,"ty', "no_record"],
    ["[1]", "no_record"],
    ["null", "no_record"],
    ['{"type":"exchange"}', "no_record"],
    ['{"v":1}', "no_record"],
    ['{"v":2,"type":"exchange"}', "newer"],
  ];

  for (const [line, expected] of cases) {
    assert.equal(readRecord(Buffer.from(line)), expected, line);
  }
  assert.equal(cases.length, 7);
});

test("lines about the trail say what readers need", () => {
  const lost = readRecord(Buffer.from(lostLine(TRAIL_MS, 17)));
  const rotated = readRecord(Buffer.from(checkpointLine(TRAIL_MS, "rotated")));
  const counted = readRecord(Buffer.from(checkpointLine(TRAIL_MS)));

  assert.ok(typeof lost !== "string" && typeof rotated !== "string" && typeof counted !== "string");
  assert.equal(lost.lost, 17);
  assert.equal(rotated.rotated, true);
  assert.equal(counted.rotated, undefined);
});

test("the time is found at the start of every line that an edge writes, and only there", () => {
  const lines = [recordLine(), toolLine("x"), lostLine(TRAIL_MS, 1), openLine(TRAIL_MS)];
  for (const line of [...lines, checkpointLine(TRAIL_MS)]) {
    assert.equal(timeAtStart(Buffer.from(line)), TRAIL_MS);
  }
  const forged = recordLine({ tunnel: '","time":"2001-01-01T00:00:00.000Z"' });
  assert.equal(timeAtStart(Buffer.from(forged)), TRAIL_MS);
  assert.equal(timeAtStart(Buffer.from('{"type":"exchange","v":1}')), undefined);
  assert.equal(
    timeAtStart(Buffer.from('{"v":1,"type":"exchange","time":"2026-99-99T00:00:00Z"')),
    undefined,
  );
});

test("any bytes are read without a failure", () => {
  fc.assert(
    fc.property(fc.oneof(fc.json().map((text) => Buffer.from(text)), fc.uint8Array()), (bytes) => {
      readRecord(bytes);
      timeAtStart(Buffer.from(bytes));
    }),
    { numRuns: 2_000 },
  );
});
