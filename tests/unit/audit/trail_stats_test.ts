import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import fc from "fast-check";

import { DurationHistogram, QUANTILE_ERROR } from "../../../src/audit/duration_histogram.ts";
import { OpenIntents } from "../../../src/audit/open_intents.ts";
import { readRecord, type SeenRecord } from "../../../src/audit/read_record.ts";
import { TrailStats } from "../../../src/audit/trail_stats.ts";
import { MAX_OPEN_INTENTS, MAX_STATS_KEYS } from "../../../src/limits.ts";
import { deniedLine, recordLine, toolLine } from "../../support/audit_lines.ts";

function record(line: string): SeenRecord {
  const read = readRecord(Buffer.from(line));
  assert.ok(typeof read !== "string");
  return read;
}

test("a quantile is within its error of the true one, by nearest rank", () => {
  const duration = fc.oneof(
    fc.double({ min: 0.1, max: 1_000, noNaN: true }),
    fc.double({ min: 0.1, max: 900_000_000, noNaN: true }),
  );
  fc.assert(
    fc.property(fc.array(duration, { minLength: 1, maxLength: 300 }), (durations) => {
      const histogram = new DurationHistogram();
      for (const ms of durations) histogram.add(ms);
      const sorted = [...durations].sort((a, b) => a - b);

      for (const share of [0.5, 0.95, 1]) {
        const exact = sorted[Math.ceil(share * sorted.length) - 1]!;
        const found = histogram.quantile(share)!;
        assert.ok(Math.abs(found - exact) <= exact * QUANTILE_ERROR, `${found} for ${exact}`);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("a histogram takes durations outside of its range, and has no quantile without any", () => {
  const histogram = new DurationHistogram();
  assert.equal(histogram.quantile(0.5), undefined);

  for (const ms of [0, -5, 1e-9, 1e300]) histogram.add(ms);

  assert.equal(histogram.count, 4);
  assert.equal(histogram.quantile(0.5), 0.1);
  assert.ok(histogram.quantile(1)! > 1e9);
});

test("each exchange is counted by tunnel, by user, and by each tool of a batch", () => {
  const stats = new TrailStats();
  const lines = [
    toolLine("read", { duration_ms: 10 }),
    toolLine("read", { duration_ms: 20, result: "tool_error" }),
    deniedLine("shell", { user: "bob" }),
    toolLine("a", { batch: [{ kind: "tool", name: "b" }, { kind: "prompt", name: "p" }] }),
    recordLine({ tunnel: "wiki", status: 401, result: "refused", duration_ms: 1 }),
    recordLine({ tunnel: "wiki", http_method: "GET", result: "ok", duration_ms: 1e9 }),
    toolLine("slow", { result: "timeout" }),
    toolLine("left", { result: "aborted_by_client" }),
  ];
  for (const line of lines) stats.add(record(line));

  const counts = ({ rows }: TrailStats["tools"]) =>
    rows.map(({ name, counts: { calls, denied, refused, errors, durations } }) =>
      `${name} ${calls} ${denied} ${refused} ${errors} ${durations.count}`
    );
  assert.deepEqual(counts(stats.tunnels), ["code-server 6 1 0 2 3", "wiki 2 0 1 0 0"]);
  assert.deepEqual(counts(stats.users), ["alice 5 0 0 2 3", "bob 1 1 0 0 0"]);
  assert.deepEqual(counts(stats.tools), [
    "read 2 0 0 1 2",
    "a 1 0 0 0 1",
    "b 1 0 0 0 1",
    "left 1 0 0 0 0",
    "shell 1 1 0 0 0",
    "slow 1 0 0 1 0",
  ]);
  assert.equal(stats.total.calls, lines.length);
  assert.deepEqual(Object.fromEntries(stats.results), {
    ok: 3,
    tool_error: 1,
    denied: 1,
    refused: 1,
    timeout: 1,
    aborted_by_client: 1,
  });
});

test("more names than there is room for are counted together", () => {
  const stats = new TrailStats();
  for (let at = 0; at < MAX_STATS_KEYS + 7; at++) stats.add(record(toolLine(`t${at}`)));
  stats.add(record(toolLine("t0")));

  const { rows, others } = stats.tools;

  assert.equal(rows.length, MAX_STATS_KEYS);
  assert.deepEqual([rows[0]!.name, rows[0]!.counts.calls], ["t0", 2]);
  assert.equal(others?.calls, 7);
});

test("intents that nothing follows have a bound, the oldest goes", () => {
  const intents = new OpenIntents();
  for (let at = 0; at < MAX_OPEN_INTENTS + 5; at++) {
    intents.see(record(recordLine({ type: "intent", exchange: `x${at}` })));
  }

  const open = intents.takeAll();

  assert.equal(open.length, MAX_OPEN_INTENTS);
  assert.equal(open[0]!.exchange, "x5");
  assert.deepEqual(intents.takeAll(), []);
});
