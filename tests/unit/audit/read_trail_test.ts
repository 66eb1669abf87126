import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";

import { readRecord } from "../../../src/audit/read_record.ts";
import { readTrail } from "../../../src/audit/read_trail.ts";
import { compileFilter, type RecordFilter } from "../../../src/audit/record_filter.ts";
import { TunnelError } from "../../../src/errors.ts";
import {
  AUDIT_DISORDER_MS,
  AUDIT_LINE_BYTES,
  AUDIT_LONGEST_MS,
  AUDIT_PROBE_BYTES,
  AUDIT_READ_BYTES,
} from "../../../src/limits.ts";
import { recordLine, textOfLines, TRAIL_MS } from "../../support/audit_lines.ts";
import { linesOf, queryOf, TrailFolder } from "../../support/trail_folder.ts";

let trail: TrailFolder;
beforeEach(() => void (trail = new TrailFolder()));
afterEach(() => trail.close());

/** A line that is told by its number and began so many seconds after the start. */
function line(number: number, facts: Parameters<typeof recordLine>[0] = {}): string {
  return recordLine({ exchange: `x${number}`, time: TRAIL_MS + number * 1_000, ...facts });
}

function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, at) => line(from + at));
}

const always = { counts: () => true };

test("the lines of all files come in order, the written file last", async () => {
  trail.write([
    textOfLines(numbered(0, 3)),
    textOfLines(numbered(3, 5)),
    textOfLines(numbered(5, 9)),
  ]);
  writeFileSync(`${trail.folder}/audit-notes.jsonl`, "no part of it\n");
  writeFileSync(`${trail.folder}/audit.jsonl.bak`, "no part of it\n");

  const { lines, notes } = await linesOf(trail.path);

  assert.deepEqual(lines, numbered(0, 9));
  assert.deepEqual(notes, []);
});

test("rotated files are in the order of their numbers, also when the clock was set back", async () => {
  trail.write([textOfLines(numbered(4, 6))]);
  const rotated = (stamp: string, from: number) =>
    writeFileSync(`${trail.folder}/audit-${stamp}.jsonl`, textOfLines(numbered(from, from + 2)));
  rotated("20261125T093000Z-000009", 0);
  rotated("20261125T083000Z-000010", 2);

  assert.deepEqual((await linesOf(trail.path)).lines, numbered(0, 6));
});

test("a rotated file that is named is read alone", async () => {
  trail.write([textOfLines(numbered(0, 3)), textOfLines(numbered(3, 5))]);

  assert.deepEqual((await linesOf(trail.rotated(1))).lines, numbered(0, 3));
});

test("the last lines are found from the end, across files", async () => {
  trail.write([
    textOfLines(numbered(0, 3)),
    textOfLines(numbered(3, 5)),
    textOfLines(numbered(5, 9)),
  ]);
  let cases = 0;

  for (let count = 0; count <= 12; count++) {
    const { lines } = await linesOf(trail.path, { last: { count, ...always } });

    assert.deepEqual(lines, numbered(Math.max(0, 9 - count), 9), `the last ${count}`);
    cases++;
  }
  assert.equal(cases, 13);
});

test("only lines that count are counted, however rare they are", async () => {
  const lines = numbered(0, 20_000);
  trail.write([textOfLines(lines.slice(0, 12_000)), textOfLines(lines.slice(12_000))]);
  assert.ok(lines.join("").length > 2 * AUDIT_READ_BYTES);
  const last = {
    count: 3,
    counts: ({ exchange }: { readonly exchange?: string }) => exchange?.endsWith("000") === true,
  };

  const found = await linesOf(trail.path, { last });

  assert.deepEqual(found.lines, lines.slice(17_000));
});

test("lines longer than a record can be are left out and told, read either way", async () => {
  const long = "x".repeat(AUDIT_LINE_BYTES + 1);
  const empty = line(9, { arguments: "" });
  const fits = line(9, { arguments: "y".repeat(AUDIT_LINE_BYTES - empty.length) });
  const huge = "z".repeat(3 * AUDIT_READ_BYTES);
  trail.write([textOfLines([line(1), long, line(2), fits, huge, line(3)])]);

  const onward = await linesOf(trail.path);
  const backward = await linesOf(trail.path, { last: { count: 3, ...always } });

  // Not a comparison of megabytes: a failure must be readable.
  const short = (lines: readonly string[]) => lines.map((one) => `${one.length} ${one.slice(-60)}`);
  assert.equal(fits.length, AUDIT_LINE_BYTES);
  assert.deepEqual(short(onward.lines), short([line(1), line(2), fits, line(3)]));
  assert.equal(onward.notes.reduce((sum, note) => sum + ("count" in note ? note.count : 0), 0), 2);
  assert.deepEqual(short(backward.lines), short([line(2), fits, line(3)]));
});

test("a last line without an end is told and not given", async () => {
  trail.write([`${textOfLines(numbered(0, 2))}{"v":1,"ty`]);

  const all = await linesOf(trail.path);
  const last = await linesOf(trail.path, { last: { count: 1, ...always } });

  assert.deepEqual(all, {
    lines: numbered(0, 2),
    notes: [{ kind: "torn", file: trail.path }],
  });
  assert.deepEqual(last.lines, [line(1)]);
});

test("files without any whole line give nothing", async () => {
  let cases = 0;
  for (const text of ["", "\n", "torn"]) {
    trail.write([text]);
    const lines = text === "\n" ? [""] : [];

    assert.deepEqual((await linesOf(trail.path)).lines, lines);
    assert.deepEqual((await linesOf(trail.path, { last: { count: 5, ...always } })).lines, lines);
    assert.deepEqual((await linesOf(trail.path, { last: { count: 0, ...always } })).lines, []);
    const filter = compileFilter({ sinceMs: TRAIL_MS });
    assert.deepEqual((await linesOf(trail.path, { filter })).lines, lines);
    cases++;
  }
  assert.equal(cases, 3);
});

test("what began long before it ended is found by its beginning", async () => {
  const stream = line(100, { time: TRAIL_MS, duration_ms: 50 * 3_600_000 });
  const before = numbered(0, 5_000);
  const after = Array.from(
    { length: 5_000 },
    (_, at) => line(at, { time: TRAIL_MS + 50 * 3_600_000 + at * 1_000 }),
  );
  trail.write([textOfLines([...before, stream, ...after])]);
  const wanted = async (sinceMs: number) => {
    const filter = compileFilter({ sinceMs });
    const { lines } = await linesOf(trail.path, { filter });
    return lines.filter((one) => {
      const record = readRecord(Buffer.from(one));
      return typeof record !== "string" && filter.matches(record);
    });
  };

  assert.deepEqual(await wanted(TRAIL_MS), [...before, stream, ...after]);
  assert.deepEqual(await wanted(TRAIL_MS + 1), [...before.slice(1), ...after]);
  assert.deepEqual(await wanted(TRAIL_MS + 50 * 3_600_000), after);
});

test("lines that are out of order by what is allowed are found, also where each step sees one", async () => {
  const text = "a".repeat(AUDIT_PROBE_BYTES);
  const lines = Array.from({ length: 120 }, (_, at) =>
    line(at, {
      time: TRAIL_MS + at * 700 - (at % 3 === 0 ? 0 : at % 3 === 1 ? AUDIT_DISORDER_MS : 5_000),
      arguments: text,
    }));
  trail.write([textOfLines(lines.slice(0, 50)), textOfLines(lines.slice(50))]);
  const numbersOf = (found: readonly string[], filter: RecordFilter) =>
    found.flatMap((one) => {
      const record = readRecord(Buffer.from(one));
      return typeof record !== "string" && filter.matches(record) ? [record.exchange] : [];
    });
  let cases = 0;

  for (let at = 0; at < 120; at += 7) {
    const filter = compileFilter({ sinceMs: TRAIL_MS + at * 700 });
    const found = await linesOf(trail.path, { filter });

    assert.deepEqual(numbersOf(found.lines, filter), numbersOf(lines, filter), `from ${at}`);
    cases++;
  }
  assert.equal(cases, 18);
});

test("reading ends a day behind --until, and the last lines before it are found", async () => {
  const day = AUDIT_LONGEST_MS;
  const lines = Array.from(
    { length: 8_000 },
    (_, at) => line(at, { time: TRAIL_MS + at * day / 1_000 }),
  );
  trail.write([textOfLines(lines.slice(0, 4_000)), textOfLines(lines.slice(4_000))]);
  const filter = compileFilter({ untilMs: TRAIL_MS + day });

  const all = await linesOf(trail.path, { filter });
  const last = await linesOf(trail.path, { filter, last: { count: 2, ...always } });

  assert.ok(all.lines.length < 8_000);
  assert.deepEqual(last.lines[0], lines[998]);
});

test("a trail that is not there, or is a folder, is told with its path", async () => {
  const none = linesOf(trail.path);
  await assert.rejects(none, (error) => {
    assert.ok(error instanceof TunnelError);
    assert.equal(error.code, "AUDIT_UNREADABLE");
    assert.match(error.message, /audit\.jsonl": no such file$/);
    return true;
  });
  mkdirSync(trail.path);

  await assert.rejects(linesOf(trail.path), (error) => {
    assert.ok(error instanceof TunnelError);
    assert.equal(error.code, "AUDIT_UNREADABLE");
    assert.match(error.message, /it is a folder/);
    return true;
  });
});

test("rotated files alone are a trail", async () => {
  trail.write([textOfLines(numbered(0, 2)), textOfLines(numbered(2, 4))]);
  rmSync(trail.path);

  assert.deepEqual((await linesOf(trail.path)).lines, numbered(0, 2));
  assert.deepEqual(
    (await linesOf(trail.path, { last: { count: 1, ...always } })).lines,
    [line(1)],
  );
});

test("an abort ends the reading", async () => {
  trail.write([textOfLines(numbered(0, 20_000))]);
  const stop = new AbortController();
  let batches = 0;

  for await (const _ of readTrail(queryOf(trail.path, { signal: stop.signal }))) {
    batches++;
    stop.abort();
  }

  assert.equal(batches, 1);
});

test("what is written while it is read is read as well", async () => {
  trail.write([textOfLines(numbered(0, 20_000))]);
  const lines: string[] = [];

  for await (const batch of readTrail(queryOf(trail.path))) {
    lines.push(...batch.map(String));
    if (lines.length === batch.length) appendFileSync(trail.path, textOfLines([line(20_000)]));
  }

  assert.deepEqual(lines, numbered(0, 20_001));
});
