// test-timeout: 180s
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, test } from "node:test";

import fc from "fast-check";

import { LineSplitter } from "../../src/audit/line_splitter.ts";
import { endOf, readRecord } from "../../src/audit/read_record.ts";
import { compileFilter } from "../../src/audit/record_filter.ts";
import { searchTime } from "../../src/audit/time_search.ts";
import { TrailSnapshot } from "../../src/audit/trail_files.ts";
import { AUDIT_DISORDER_MS, AUDIT_PROBE_BYTES } from "../../src/limits.ts";
import {
  checkpointLine,
  openLine,
  recordLine,
  textOfLines,
  TRAIL_MS,
} from "../support/audit_lines.ts";
import { linesOf, TrailFolder } from "../support/trail_folder.ts";

const trail = new TrailFolder();
after(() => trail.close());

/** One line: how long after the one before it was over, how long it took, how late it was written. */
const step = fc.record({
  pauseMs: fc.oneof(fc.nat(50), fc.nat(100_000)),
  durationMs: fc.oneof(fc.nat(500), fc.nat(200_000_000)),
  lateMs: fc.nat(AUDIT_DISORDER_MS),
  bytes: fc.oneof(
    { weight: 20, arbitrary: fc.nat(300) },
    { weight: 1, arbitrary: fc.nat(3 * AUDIT_PROBE_BYTES) },
  ),
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constant("exchange") },
    { weight: 1, arbitrary: fc.constantFrom("intent", "open", "checkpoint", "nonsense") },
  ),
});

/** A trail of some files, and how many lines each of them has. */
const shape = fc.record({
  // The same steps again and again, so that files are larger than what one step looks at.
  steps: fc.array(step, { minLength: 1, maxLength: 30, size: "max" }),
  repeats: fc.constantFrom(1, 10, 40),
  files: fc.integer({ min: 1, max: 4 }),
  torn: fc.constantFrom("", "", '{"v":1,"type":"exch'),
});

function filesOf({ steps, repeats, files, torn }: typeof shape extends fc.Arbitrary<infer T> ? T
  : never): string[][] {
  const written: { readonly atMs: number; readonly line: string }[] = [];
  let endMs = TRAIL_MS;
  for (let round = 0; round < repeats; round++) {
    for (const { pauseMs, durationMs, lateMs, bytes, kind } of steps) {
      endMs += pauseMs;
      const line = kind === "open"
        ? openLine(endMs)
        : kind === "checkpoint"
        ? checkpointLine(endMs)
        : kind === "nonsense"
        ? "x".repeat(bytes)
        : kind === "intent"
        ? recordLine({ type: "intent", time: endMs })
        : recordLine({
          exchange: `x${written.length}`,
          time: endMs - durationMs,
          duration_ms: durationMs,
          arguments: "a".repeat(bytes),
        });
      written.push({ atMs: endMs + lateMs, line });
    }
  }
  written.sort((a, b) => a.atMs - b.atMs);
  const lines = written.map(({ line }) => line);
  const each = Math.ceil(lines.length / files);
  const cut = Array.from({ length: files }, (_, at) => lines.slice(at * each, (at + 1) * each));
  return torn === "" ? cut : [...cut.slice(0, -1), [...cut.at(-1)!, torn]];
}

test("a search by time in a nearly sorted trail finds what reading all of it finds", async () => {
  let bisected = 0;
  await fc.assert(
    fc.asyncProperty(
      shape,
      fc.integer({ min: -10, max: 110 }),
      async (drawn, percent) => {
        const files = filesOf(drawn);
        trail.write(
          files.map((lines, at) =>
            at === files.length - 1 && drawn.torn !== ""
              ? textOfLines(lines).slice(0, -1)
              : textOfLines(lines)
          ),
        );
        const all = files.flat().slice(0, drawn.torn === "" ? undefined : -1);
        const ends = all.flatMap((line) => {
          const record = readRecord(Buffer.from(line));
          return typeof record === "string" ? [] : endOf(record) ?? [];
        });
        const lastMs = Math.max(TRAIL_MS, ...ends);
        const sinceMs = Math.round(TRAIL_MS + percent / 100 * (lastMs - TRAIL_MS));
        const filter = compileFilter({ sinceMs });
        const isWanted = (line: string) => {
          const record = readRecord(Buffer.from(line));
          return typeof record !== "string" && filter.matches(record);
        };

        const { lines } = await linesOf(trail.path, { filter });

        assert.deepEqual(lines.filter(isWanted), all.filter(isWanted));
        // And what it begins with is the end of the trail, whole lines.
        assert.deepEqual(lines, all.slice(all.length - lines.length));
        if (lines.length < all.length) bisected++;
      },
    ),
    { numRuns: 120 },
  );
  assert.ok(bisected > 8, `${bisected} searches left something out`);
});

test("a search begins close to what it looks for", async () => {
  const lines = Array.from(
    { length: 40_000 },
    (_, at) => recordLine({ time: TRAIL_MS + at * 1_000, duration_ms: at % 900 }),
  );
  trail.write([textOfLines(lines)]);
  const bytes = textOfLines(lines).length;
  let cases = 0;

  for (let at = 0; at < 40_000; at += 1_237) {
    const snapshot = await TrailSnapshot.take(trail.path);
    const { from } = await searchTime(snapshot, TRAIL_MS + at * 1_000);
    await snapshot.close();

    const exact = bytes / 40_000 * at;
    assert.ok(from.offset <= exact, `${from.offset} is not behind ${exact}`);
    assert.ok(
      exact - from.offset < 3 * AUDIT_PROBE_BYTES,
      `${exact - from.offset} bytes too early`,
    );
    cases++;
  }
  assert.equal(cases, 33);
});

test("the last lines are the same as with everything read, wherever pieces and files end", async () => {
  await fc.assert(
    fc.asyncProperty(shape, fc.nat(30), async (drawn, count) => {
      const files = filesOf({ ...drawn, torn: "" });
      trail.write(files.map(textOfLines));
      const isRecord = (line: string) => typeof readRecord(Buffer.from(line)) !== "string";
      const all = files.flat();
      let left = count;
      let start = all.length;
      while (start > 0 && left > 0) if (isRecord(all[--start]!)) left--;
      const wanted = left > 0 ? all : all.slice(start);

      const { lines } = await linesOf(trail.path, { last: { count, counts: () => true } });

      assert.deepEqual(lines, wanted);
    }),
    { numRuns: 60 },
  );
});

test("lines do not depend on where pieces are cut", () => {
  const line = fc.string({ unit: fc.constantFrom("a", "é", "😀", " "), maxLength: 12 });
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 20 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 24 }),
      (lines, cuts, maxBytes) => {
        const bytes = Buffer.from(textOfLines(lines));
        const splitter = new LineSplitter(maxBytes);
        const found: string[] = [];

        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const end = at + cuts[cut % cuts.length]!;
          // A copy that is written over, as a reader does it.
          const piece = Buffer.from(bytes.subarray(at, end));
          found.push(...splitter.split(piece).map(String));
          piece.fill(0);
          at = end;
        }

        const fits = lines.filter((one) => Buffer.byteLength(one) <= maxBytes);
        assert.deepEqual(found, fits);
        assert.equal(splitter.takeSkipped(), lines.length - fits.length);
      },
    ),
    { numRuns: 3_000 },
  );
});
