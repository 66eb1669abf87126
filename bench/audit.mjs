/**
 * What the audit trail costs: `node bench/audit.mjs [--quick]`, on a build.
 *
 * A record on its way (encoding, chain and signature, in the process of the edge), how long an
 * exchange waits for its intent, and how fast a trail is checked, beside a plain SHA-256 over the same
 * bytes in the same run.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const load = (path) => import(new URL(`../dist/${path}.js`, import.meta.url));
const [{ recordBody }, { openAudit, readAuditState }, { verifyTrail }, clocks, logs, records] =
  await Promise.all([
    load("src/audit/record_line"),
    load("src/cli/audit_setup"),
    load("src/audit/verify"),
    load("src/clock"),
    load("src/log"),
    load("tests/support/audit_records"),
  ]);
const quick = process.argv.includes("--quick");
const ENCODES = quick ? 20_000 : 300_000;
const WRITES = quick ? 20_000 : 200_000;
const INTENTS = quick ? 500 : 5_000;
const VERIFY_BYTES = (quick ? 16 : 512) * 1_048_576;
const ROUNDS = quick ? 1 : 5;
/** A record as most are: without batch, error and arguments. */
const TYPICAL = {
  ...records.FULL_RECORD,
  code: undefined,
  batch: undefined,
  arguments: undefined,
  error_code: undefined,
  items_before: undefined,
  items_after: undefined,
};

const folder = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), "mcptun-bench-audit-"));
try {
  const results = {
    encode: measureEncode(),
    write: await measureWrite(),
    fsync: await measureFsync(),
    intents: [await measureIntents("batch"), await measureIntents("always")],
    verify: await measureVerify(),
  };
  console.table([results.encode]);
  console.table([results.write]);
  console.table([results.fsync]);
  console.table(results.intents);
  console.table([results.verify]);
  if (!quick) save(results);
} finally {
  rmSync(folder, { recursive: true });
}

function measureEncode() {
  const ours = [];
  const theirs = [];
  const made = Array.from(
    { length: 1_000 },
    (_, number) => ({ ...TYPICAL, time: 1.8e12 + number }),
  );
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(nsEach(ENCODES, (number) => recordBody(made[number % made.length])));
    theirs.push(nsEach(ENCODES, (number) => JSON.stringify(made[number % made.length])));
  }
  return {
    lineBytes: recordBody(TYPICAL).length + 54,
    medianNs: median(ours),
    jsonStringifyMedianNs: median(theirs),
  };
}

/** All that a record costs this process with `batch`: encode, hash, sign every 1,000, write. */
async function measureWrite() {
  const audit = await openIn("write", { sync: "batch" });
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  for (let number = 0; number < WRITES; number++) {
    audit.write({ ...TYPICAL, time: 1.8e12 + number });
    if (number % 500 === 499) await new Promise((resolve) => setImmediate(resolve));
    while (audit.stats.waitingBytes > 16_777_216) await audit.flush();
  }
  await audit.flush();
  const tookMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  assert.equal(audit.stats.lost, 0);
  await audit.close();
  return {
    records: WRITES,
    recordsPerSecond: Math.round(WRITES / tookMs * 1_000),
    cpuUsPerRecord: round((user + system) / WRITES),
  };
}

/** The disk itself: what one fsync of one line takes. */
async function measureFsync() {
  const file = await open(join(folder, "fsync"), "a");
  const times = [];
  for (let number = 0; number < (quick ? 20 : 300); number++) {
    await file.write("x".repeat(800));
    const startedAt = performance.now();
    await file.sync();
    times.push(performance.now() - startedAt);
  }
  await file.close();
  times.sort((a, b) => a - b);
  return { medianMs: round(median(times)), p99Ms: round(at(times, 0.99)) };
}

/** Exchanges, 32 in flight, each of which waits for its intent and then writes its record. */
async function measureIntents(sync) {
  const audit = await openIn(`intents-${sync}`, { sync, intent: true });
  const times = [];
  let next = 0;
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (next < INTENTS) {
      const record = { ...TYPICAL, time: 1.8e12 + next++ };
      const askedAt = performance.now();
      assert.equal(await audit.intent({ ...record, type: "intent" }), true);
      times.push(performance.now() - askedAt);
      audit.write(record);
      if (sync === "always") await audit.flush();
    }
  }));
  const tookMs = performance.now() - startedAt;
  await audit.close();
  times.sort((a, b) => a - b);
  return {
    sync,
    inFlight: 32,
    exchangesPerSecond: Math.round(INTENTS / tookMs * 1_000),
    intentMedianMs: round(median(times)),
    intentP99Ms: round(at(times, 0.99)),
  };
}

async function measureVerify() {
  const path = join(folder, "verify.jsonl");
  const audit = await openIn("verify", { rotateBytes: 134_217_728 });
  let number = 0;
  for (let bytes = 0; bytes < VERIFY_BYTES; number++) {
    audit.write({ ...TYPICAL, time: 1.8e12 + number });
    bytes += 850;
    if (number % 5_000 === 4_999) await audit.flush();
  }
  await audit.close();
  const { key, head } = await readAuditState(join(folder, "state-verify"), path);
  const files = readdirSync(folder).filter((name) => /^verify.*\.jsonl$/.test(name))
    .map((name) => join(folder, name));
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
  const ours = [];
  const plain = [];
  for (let round = 0; round < ROUNDS; round++) {
    plain.push(mbPerSecond(bytes, await timed(() => hashAll(files))));
    ours.push(mbPerSecond(
      bytes,
      await timed(async () => {
        const report = await verifyTrail({
          source: { trail: path },
          trust: { keys: [key], ids: [] },
          head,
          signal: new AbortController().signal,
        });
        assert.equal(report.verdict, "intact", JSON.stringify(report.problems));
        assert.equal(report.records, number);
      }),
    ));
  }
  return {
    files: files.length,
    mib: Math.round(bytes / 1_048_576),
    records: number,
    mbPerSecond: Math.round(median(ours)),
    lowest: Math.round(Math.min(...ours)),
    plainSha256MbPerSecond: Math.round(median(plain)),
  };
}

/** One hash over each file, read in the same pieces. */
async function hashAll(files) {
  const buffer = new Uint8Array(1_048_576);
  for (const path of files) {
    const hash = createHash("sha256");
    const file = await open(path, "r");
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
    }
    hash.digest();
    await file.close();
  }
}

function openIn(name, settings) {
  const stateDir = join(folder, `state-${name}`);
  mkdirSync(stateDir, { mode: 0o700 });
  return openAudit({
    settings: {
      file: join(folder, `${name}.jsonl`),
      onFailure: "block",
      sync: "batch",
      intent: false,
      rotateBytes: 1_073_741_824,
      rotateMs: 0,
      keepFiles: 0,
      keepMs: 0,
      checkpointRecords: 1_000,
      ...settings,
    },
    edgeId: "edge-1",
    stateDir,
    clock: clocks.systemClock,
    log: logs.silentLogger,
  });
}

function nsEach(count, run) {
  for (let index = 0; index < count / 10; index++) run(index);
  const startedAt = performance.now();
  let length = 0;
  for (let index = 0; index < count; index++) length += run(index).length;
  assert.ok(length > 0);
  return Math.round((performance.now() - startedAt) * 1e6 / count);
}

async function timed(run) {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}

function mbPerSecond(bytes, ms) {
  return bytes / 1_000 / ms;
}

function median(values) {
  return at([...values].sort((a, b) => a - b), 0.5);
}

function at(sorted, fraction) {
  return sorted[Math.ceil(sorted.length * fraction) - 1];
}

function round(number) {
  return Math.round(number * 1_000) / 1_000;
}

function save(results) {
  const file = new URL("results/audit.json", import.meta.url);
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, loadAverage: loadavg() };
  const facts = { command: "node bench/audit.mjs", date: new Date().toISOString(), machine };
  writeFileSync(
    file,
    `${JSON.stringify({ ...facts, node: process.version, ...results }, null, 2)}\n`,
  );
}
