import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { MAX_CREDENTIALS } from "../../../src/identity/credential_store.ts";
import { RiftsSeen } from "../../../src/identity/rifts_seen.ts";
import { SEEN_WRITE_MS } from "../../../src/limits.ts";
import { type Logger, silentLogger } from "../../../src/log.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const NOW_MS = 1_800_000_000_000;
const FILE = "rifts-seen.json";

test("what close() writes is there for the next one that opens", async (t) => {
  const { seen, clock, stateDir, reopen } = await open(t);
  seen.seen("laptop", "4a");
  clock.advance(1_000);
  seen.seen("ci", "0123");

  await seen.close();
  await seen.close();
  const next = await reopen();

  assert.deepEqual(next.of("4a"), { name: "laptop", lastSeenMs: NOW_MS });
  assert.deepEqual(next.of("0123"), { name: "ci", lastSeenMs: NOW_MS + 1_000 });
  assert.equal(next.of("ff"), undefined);
  assert.equal(clock.pending, 0);
  if (process.platform !== "win32") {
    assert.equal((await stat(join(stateDir, FILE))).mode & 0o777, 0o600);
  }
});

test("nothing seen writes no file and sets no timer", async (t) => {
  const { seen, clock, stateDir } = await open(t);

  await seen.flush();
  await seen.close();

  assert.deepEqual(await readdir(stateDir), []);
  assert.equal(clock.pending, 0);
});

test("one timer writes all that came within its time", async (t) => {
  const { seen, clock, stateDir, reopen } = await open(t);
  for (let count = 0; count < 100; count++) seen.seen("laptop", "4a");

  const timers = clock.pending;
  clock.advance(SEEN_WRITE_MS - 1);
  seen.seen("laptop", "4a");
  const before = await readdir(stateDir);
  clock.advance(1);
  await seen.flush(); // waits for the write that the timer began

  assert.equal(timers, 1);
  assert.deepEqual(before, []);
  assert.equal(clock.pending, 0);
  assert.deepEqual((await reopen()).of("4a"), {
    name: "laptop",
    lastSeenMs: NOW_MS + SEEN_WRITE_MS - 1,
  });
});

test("a closed one notes nothing more", async (t) => {
  const { seen, clock, stateDir } = await open(t);
  await seen.close();

  seen.seen("laptop", "4a");
  await seen.close();

  assert.equal(clock.pending, 0);
  assert.deepEqual(await readdir(stateDir), []);
});

test("above its bound it forgets who was seen longest ago", async (t) => {
  const { seen, reopen } = await open(t);
  for (let at = 0; at < MAX_CREDENTIALS; at++) seen.seen("rift", at.toString(16));
  seen.seen("rift", "0");

  seen.seen("rift", "fffff");
  await seen.close();
  const next = await reopen();

  assert.deepEqual(["0", "1", "2", "fffff"].map((serial) => next.of(serial) !== undefined), [
    true,
    false,
    true,
    true,
  ]);
});

test("a damaged file is a warning without its content, and is written anew", async (t) => {
  const { stateDir, warnings, reopen } = await open(t);
  const path = join(stateDir, FILE);
  const rift = { name: "laptop", lastSeenMs: 1 };
  const damaged = [
    "",
    "SECRET{",
    "[]",
    JSON.stringify({ version: 2, rifts: {} }),
    JSON.stringify({ version: 1, rifts: [] }),
    JSON.stringify({ version: 1, rifts: { "SECRET": rift } }),
    JSON.stringify({ version: 1, rifts: { "4a": { ...rift, name: "\u001b[2J" } } }),
    JSON.stringify({ version: 1, rifts: { "4a": { ...rift, lastSeenMs: 1e300 } } }),
  ];

  for (const text of damaged) {
    await writeFile(path, text, { mode: 0o600 });
    const seen = await reopen();
    assert.equal(seen.of("4a"), undefined);
    seen.seen("ci", "5b");
    await seen.close();
    assert.equal((await reopen()).of("5b")?.name, "ci");
  }

  assert.equal(damaged.length, 8);
  assert.equal(warnings.length, 8);
  assert.ok(!warnings.join("\n").includes("SECRET"));
});

test("a write that fails is a warning, and the next one brings it all", async (t) => {
  const { seen, stateDir, warnings, reopen } = await open(t);
  seen.seen("laptop", "4a");
  await rm(stateDir, { recursive: true });

  await seen.flush();
  const next = await reopen(); // makes the directory again
  await seen.close();

  assert.equal(next.of("4a"), undefined);
  assert.equal(warnings.length, 1);
  assert.match(await readFile(join(stateDir, FILE), "utf8"), /"laptop"/);
});

async function open(t: TestContext) {
  const stateDir = await mkdtemp(join(tmpdir(), "mcptun-seen-"));
  t.after(() => rm(stateDir, { recursive: true, force: true }));
  const clock = fakeClock(NOW_MS);
  const warnings: string[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (message, fields) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
  };
  const reopen = () => RiftsSeen.open({ stateDir, clock, log });
  return { seen: await reopen(), clock, stateDir, warnings, reopen };
}
