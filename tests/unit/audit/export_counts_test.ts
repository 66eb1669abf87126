import assert from "node:assert/strict";
import { test } from "node:test";

import { ExportCounts, type ExportCountsOptions } from "../../../src/audit/export_counts.ts";
import { OTLP_TELL_MS } from "../../../src/limits.ts";
import { keptLog } from "../../support/audit_fixture.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const ENDPOINT = "http://127.0.0.1:4318/v1/logs";

function begin(bounds: Pick<ExportCountsOptions, "queueRecords" | "queueChars"> = {}) {
  const clock = fakeClock();
  const log = keptLog();
  return { clock, log, counts: new ExportCounts({ endpoint: ENDPOINT, clock, log, ...bounds }) };
}

test("what waits is bounded by number and by size; more is dropped and counted", () => {
  const { counts: byNumber } = begin({ queueRecords: 2 });
  const { counts: bySize } = begin({ queueChars: 100 });

  const taken = [10, 10, 10].map((chars) => byNumber.take(chars));
  const fits = [60, 60, 40].map((chars) => bySize.take(chars));

  assert.deepEqual(taken, [true, true, false]);
  assert.deepEqual(fits, [true, false, true]);
  assert.deepEqual(byNumber.stats, { exported: 0, waiting: 2, dropped: 1, failed: 0 });
  assert.deepEqual(bySize.stats, { exported: 0, waiting: 2, dropped: 1, failed: 0 });
});

test("a batch that is over makes room, of its own size, and counts once", () => {
  const { counts } = begin({ queueChars: 100 });
  for (const chars of [60, 30]) counts.take(chars);

  const over = counts.begin(1);
  over({ failed: 0 });
  over({ failed: 1 });

  assert.deepEqual(counts.stats, { exported: 1, waiting: 1, dropped: 0, failed: 0 });
  assert.deepEqual([counts.take(71), counts.take(70)], [false, true]);
});

test("the first loss is told at once, more of them once a minute, with their number", () => {
  const { counts, clock, log } = begin();
  const lose = (failed: number): void => {
    for (let at = 0; at < 2; at++) counts.take(1);
    counts.begin(2)({ failed, reason: "the collector answered with status 500" });
  };

  lose(2);
  lose(1);
  counts.drop("too many wait for the collector");
  clock.advance(OTLP_TELL_MS - 1);
  lose(1);
  assert.equal(log.events.length, 1);
  clock.advance(1);
  lose(2);

  assert.deepEqual(log.events.map(({ level, fields }) => [level, fields]), [
    ["warn", {
      endpoint: ENDPOINT,
      dropped: 0,
      failed: 2,
      reason: "the collector answered with status 500",
    }],
    ["warn", {
      endpoint: ENDPOINT,
      dropped: 1,
      failed: 4,
      reason: "the collector answered with status 500",
    }],
  ]);
});

test("that it works again is told once every loss was", () => {
  const { counts, clock, log } = begin();
  const send = (failed: number): void => {
    counts.take(1);
    counts.begin(1)({ failed });
  };

  send(1);
  send(1);
  send(0);
  assert.deepEqual(log.events.map(({ level }) => level), ["warn"]);
  clock.advance(OTLP_TELL_MS);
  send(0);
  send(0);

  assert.deepEqual(log.events.map(({ level }) => level), ["warn", "warn", "info"]);
});

test("at the end what still waits has failed, and what was not told is", () => {
  const { counts, log } = begin();
  for (let at = 0; at < 3; at++) counts.take(1);
  const over = counts.begin(1);

  counts.end();
  counts.end();
  over({ failed: 0 });
  const taken = counts.take(1);

  assert.equal(taken, false);
  assert.deepEqual(counts.stats, { exported: 0, waiting: 0, dropped: 1, failed: 3 });
  assert.deepEqual(log.events.map(({ fields }) => [fields?.["failed"], fields?.["dropped"]]), [
    [3, 0],
  ]);
});
