import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFile, readdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";

import type { LineSink } from "../../../src/audit/file_sink.ts";
import { openFileSink } from "../../../src/audit/file_sink.ts";
import { lineHash } from "../../../src/audit/marker_line.ts";
import { AUDIT_CHECKPOINT_MS, AUDIT_FLUSH_MS, AUDIT_RETRY_MS } from "../../../src/limits.ts";
import { auditFolder } from "../../support/audit_fixture.ts";
import { recordOf } from "../../support/audit_records.ts";

test("records become lines that each hold the hash of the one before", async (t) => {
  const { open, lines, path } = await auditFolder(t);
  const audit = await open();
  for (let number = 0; number < 3; number++) audit.write(recordOf(number));

  await audit.close();
  await audit.close();

  const written = await lines();
  const values = written.map((line) => JSON.parse(line));
  assert.deepEqual(values.map(({ type }) => type), [
    "open",
    "checkpoint",
    "exchange",
    "exchange",
    "exchange",
    "checkpoint",
  ]);
  assert.equal(values[0].prev, undefined);
  for (let at = 1; at < values.length; at++) {
    assert.equal(values[at].prev, lineHash(written[at - 1]!), String(at));
  }
  assert.deepEqual(values.at(-1).records, 3);
  assert.deepEqual(values.at(-1).end, true);
  if (process.platform !== "win32") assert.equal((await stat(path)).mode & 0o777, 0o600);
});

test("a trail that was closed is clean, and the next run goes on with it", async (t) => {
  const { open, verify } = await auditFolder(t);
  const first = await open();
  first.write(recordOf(1));
  await first.close();
  const second = await open();
  second.write(recordOf(2));
  await second.close();

  const report = await verify();

  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.equal(report.end, "clean");
  assert.equal(report.records, 2);
  assert.deepEqual(report.notes, []);
  assert.equal(report.unsignedLines, 0);
});

test("a batch waits for its time, and the timer writes it", async (t) => {
  const { open, lines, clock } = await auditFolder(t);
  const audit = await open();
  const before = (await lines()).length;
  audit.write(recordOf(1));
  audit.write(recordOf(2));

  clock.advance(AUDIT_FLUSH_MS - 1);
  const waiting = (await lines()).length;
  clock.advance(1);
  await audit.flush();

  assert.equal(waiting, before);
  assert.equal((await lines()).length, before + 2);
});

test("an intent resolves once its line is in the file", async (t) => {
  const { open, lines } = await auditFolder(t);
  const audit = await open({ intent: true });

  const told = await Promise.all([
    audit.intent({ ...recordOf(1), type: "intent" }),
    audit.intent({ ...recordOf(2), type: "intent" }),
  ]);

  assert.deepEqual(told, [true, true]);
  const types = (await lines()).map((line) => JSON.parse(line).type);
  assert.deepEqual(types.slice(-2), ["intent", "intent"]);
});

test("intents that follow one another, many at a time, wait for no timer", async (t) => {
  const { open, clock, lines } = await auditFolder(t);
  const audit = await open({ intent: true });
  let next = 0;

  await Promise.all(Array.from({ length: 8 }, async () => {
    while (next < 200) {
      const number = next++;
      assert.equal(await audit.intent({ ...recordOf(number), type: "intent" }), true);
      audit.write(recordOf(number));
    }
  }));
  await audit.close();

  assert.equal(clock.now(), 0);
  const types = (await lines()).map((line) => JSON.parse(line).type);
  assert.equal(types.filter((type) => type === "intent").length, 200);
  assert.equal(types.filter((type) => type === "exchange").length, 200);
});

test("intents that are not asked for are not written", async (t) => {
  const { open } = await auditFolder(t);
  const audit = await open();

  assert.equal(audit.intent(recordOf(1)), undefined);
});

test("with always, all that waits shares one fsync, and is told after it", async (t) => {
  const { open, clock } = await auditFolder(t);
  const calls: string[] = [];
  const audit = await open({ sync: "always" }, {
    openSink: (path, how) => watched(openFileSink(path, how), calls),
  });
  calls.length = 0;

  for (let number = 0; number < 50; number++) audit.write(recordOf(number));
  await audit.flush();

  assert.deepEqual(calls, ["write", "sync"]);
  assert.equal(clock.now(), 0);
});

test("records that no signature covers get one in time", async (t) => {
  const { open, lines, clock } = await auditFolder(t);
  const audit = await open();
  audit.write(recordOf(1));
  await audit.flush();
  const before = JSON.parse((await lines()).at(-1)!).type;

  clock.advance(AUDIT_CHECKPOINT_MS);
  await audit.flush();

  assert.equal(before, "exchange");
  assert.equal(JSON.parse((await lines()).at(-1)!).type, "checkpoint");
  assert.equal(JSON.parse((await lines()).at(-1)!).records, 1);
});

test("a checkpoint follows every so many records", async (t) => {
  const { open, lines } = await auditFolder(t);
  const audit = await open({ checkpointRecords: 10 });
  for (let number = 0; number < 35; number++) audit.write(recordOf(number));
  await audit.flush();

  const values = (await lines()).map((line) => JSON.parse(line));
  const counts = values.filter(({ type }) => type === "checkpoint").map(({ records }) => records);
  assert.deepEqual(counts, [0, 10, 20, 30]);
});

test("a file is rotated by size, named by time and number, and none is above it", async (t) => {
  const { open, folder, verify, clock } = await auditFolder(t);
  const audit = await open({ rotateBytes: 20_000 });
  for (let number = 0; number < 100; number++) {
    audit.write(recordOf(number));
    if (number % 10 === 9) await audit.flush();
    clock.advance(10);
  }
  await audit.close();

  const names = (await readdir(folder)).filter((name) => name.startsWith("audit"));
  const rotated = names.filter((name) => name !== "audit.jsonl").sort();
  assert.ok(rotated.length >= 3, names.join());
  assert.match(rotated[0]!, /^audit-20270115T08000\dZ-000001\.jsonl$/);
  for (const name of names) assert.ok((await stat(join(folder, name))).size <= 20_000, name);
  const report = await verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.equal(report.records, 100);
  assert.deepEqual(report.files.map(({ number }) => number), names.map((_, index) => index + 1));
  assert.deepEqual(report.notes, []);
});

test("a file is rotated by age, also across a restart, and not while it is empty", async (t) => {
  const { open, folder, clock } = await auditFolder(t);
  const count = async () => (await readdir(folder)).filter((name) => /-0000\d\d/.test(name)).length;
  const first = await open({ rotateMs: 10 * 60_000 });
  clock.advance(11 * 60_000);
  await first.flush();
  const whenEmpty = await count();
  first.write(recordOf(1));
  await first.flush();
  const whenWritten = await count();
  first.write(recordOf(2));
  await first.close();
  clock.advance(11 * 60_000);

  const second = await open({ rotateMs: 10 * 60_000 });
  second.write(recordOf(3));
  await second.flush();

  assert.deepEqual([whenEmpty, whenWritten, await count()], [0, 1, 2]);
});

test("old files go by number and by age, and the trail says from where on it is kept", async (t) => {
  const { open, folder, verify, clock } = await auditFolder(t);
  const settings = { rotateBytes: 5_000, keepFiles: 2, keepMs: 0 };
  const audit = await open(settings);
  for (let number = 0; number < 40; number++) {
    audit.write(recordOf(number));
    await audit.flush();
  }
  const byNumber = (await readdir(folder)).filter((name) => /-0000\d\d/.test(name)).length;
  const kept = await verify();
  await audit.close();
  clock.advance(100_000);
  const later = await open({ ...settings, keepMs: 50_000 });
  for (let number = 0; number < 10; number++) {
    later.write(recordOf(number));
    await later.flush();
  }
  await later.close();

  assert.equal(byNumber, 2);
  assert.equal(kept.verdict, "intact", JSON.stringify(kept));
  assert.deepEqual(kept.notes.map(({ code }) => code), ["starts_later"]);
  const report = await verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
});

test("a file that was moved away is ended and followed by a new one", async (t) => {
  const { open, path, verify, lines, folder } = await auditFolder(t);
  const audit = await open();
  audit.write(recordOf(1));
  await audit.flush();
  const moved = join(folder, "audit-20270115T080000Z-000001.jsonl");
  await rename(path, moved);

  audit.write(recordOf(2));
  await audit.reopen();
  await audit.close();

  assert.equal(JSON.parse((await lines(moved)).at(-1)!).rotated, true);
  assert.equal(JSON.parse((await lines())[0]!).file, 2);
  const report = await verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.equal(report.records, 2);
});

test("reopening a file that is still there changes nothing", async (t) => {
  const { open, lines } = await auditFolder(t);
  const audit = await open();
  const before = await lines();

  await audit.reopen();

  assert.deepEqual(await lines(), before);
});

test("a file that was removed under the edge is told of, and found by verify", async (t) => {
  const { open, path, verify, log, clock, folder } = await auditFolder(t);
  const audit = await open();
  audit.write(recordOf(1));
  await audit.flush();
  await rename(path, join(folder, "elsewhere"));

  clock.advance(AUDIT_RETRY_MS);
  audit.write(recordOf(2));
  await audit.flush();
  await audit.close();

  assert.ok(log.events.some(({ message }) => message.includes("moved or removed")));
  const report = await verify();
  assert.deepEqual(report.problems.map(({ code }) => code), ["file_missing"]);
});

test("a file that was emptied under the edge is told of, and the next one is whole", async (t) => {
  const { open, path, verify, log, clock, lines } = await auditFolder(t);
  const audit = await open();
  for (let number = 0; number < 9; number++) audit.write(recordOf(number));
  await audit.flush();
  await writeFile(path, "");

  clock.advance(AUDIT_RETRY_MS);
  audit.write(recordOf(20));
  await audit.flush();
  await audit.close();

  const told = log.events.filter(({ message }) => message.startsWith("The audit file was cut"));
  assert.deepEqual(told.map(({ level, fields }) => [level, fields?.["found"]]), [["error", 0]]);
  assert.equal(JSON.parse((await lines())[0]!).file, 2);
  assert.equal((await lines()).length, 4);
  const report = await verify();
  // What is left of the file does not say its number.
  assert.deepEqual(report.problems.map(({ code }) => code), ["start_missing", "file_missing"]);
  assert.equal(report.end, "clean");
});

test("an unsigned line that says older files need not be there does not hide that they are gone", async (t) => {
  const { open, path, lines, verify, folder } = await auditFolder(t);
  const audit = await open({ rotateBytes: 20_000, keepFiles: 0, keepMs: 0 });
  for (let number = 0; number < 200; number++) {
    audit.write(recordOf(number));
    if (number % 10 === 0) await audit.flush();
  }
  await audit.close();
  const rotated = (await readdir(folder)).filter((name) => /-\d{6}\.jsonl$/.test(name));
  for (const name of rotated) await rename(join(folder, name), join(folder, `${name}.gone`));
  const all = await lines();
  const opened = JSON.parse(all[0]!);
  const prev = createHash("sha256").update(all.at(-1)!).digest("base64url");
  const forged = { ...opened, first: rotated.length + 1, records: 200, prev };
  await appendFile(path, `${JSON.stringify(forged)}\n`);

  const report = await verify();

  assert.ok(rotated.length > 0);
  assert.equal(report.verdict, "damaged");
  assert.deepEqual(report.problems.map(({ code }) => code).sort(), ["added", "file_missing"]);
});

test("a disk that is full blocks, is told, and passes by itself", async (t) => {
  const { open, verify, log, clock } = await auditFolder(t);
  const disk = { room: Number.POSITIVE_INFINITY };
  const audit = await open({ intent: true, checkpointRecords: 5 }, {
    openSink: (path, how) => small(openFileSink(path, how), disk),
  });
  disk.room = 1_000;
  for (let number = 0; number < 20; number++) audit.write(recordOf(number));
  await audit.flush();
  const whileFull = [audit.problem(), audit.blockedBy()];
  const intent = await audit.intent({ ...recordOf(20), type: "intent" });
  clock.advance(AUDIT_RETRY_MS);
  await audit.flush();
  const stillFull = audit.problem();

  disk.room = Number.POSITIVE_INFINITY;
  clock.advance(AUDIT_RETRY_MS);
  await audit.flush();
  await audit.close();

  assert.match(whileFull[0]!, /^Cannot write to ".*audit\.jsonl": no space is left on the disk/);
  assert.equal(whileFull[1], whileFull[0]);
  assert.equal(intent, false);
  assert.equal(stillFull, whileFull[0]);
  const report = await verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.equal(report.records, 21);
  assert.equal(report.end, "clean");
  assert.deepEqual(
    log.events.filter(({ level }) => level === "error").map(({ message }) => message),
    ["Cannot write the audit trail, new exchanges are refused"],
  );
  assert.ok(log.events.some(({ message }) => message === "The audit trail can be written again"));
});

test("what finds no room while the disk fails is counted, and the count is in the trail", async (t) => {
  const { open, verify, clock, lines } = await auditFolder(t);
  const disk = { room: Number.POSITIVE_INFINITY };
  const audit = await open({ onFailure: "continue" }, {
    openSink: (path, how) => small(openFileSink(path, how), disk),
    queueBytes: 10_000,
  });
  disk.room = 0;
  for (let number = 0; number < 100; number++) audit.write(recordOf(number));
  await audit.flush();
  const lost = audit.stats.lost;
  const whileFull = [audit.blockedBy(), audit.problem() === undefined];

  disk.room = Number.POSITIVE_INFINITY;
  clock.advance(AUDIT_RETRY_MS);
  await audit.flush();
  audit.write(recordOf(100));
  await audit.close();

  assert.ok(lost > 50 && lost < 100, String(lost));
  assert.deepEqual(whileFull, [undefined, false]);
  const told = (await lines()).map((line) => JSON.parse(line)).filter(({ type }) =>
    type === "lost"
  );
  assert.deepEqual(told.map((line) => line.lost), [lost]);
  const report = await verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.equal(report.records, 101 - lost);
  assert.deepEqual(report.notes.map(({ code }) => code), ["lost"]);
});

test("a real disk that is full is told of", {
  skip: process.platform !== "linux" && "/dev/full is Linux",
}, async (t) => {
  const { open } = await auditFolder(t);
  let target = "file";
  const audit = await open({}, {
    openSink: (path, how) => {
      const sink = openFileSink(path, how);
      return {
        ...asObject(sink),
        write: (text) => target === "file" ? sink.write(text) : full(text),
      };
    },
  });
  target = "full";
  audit.write(recordOf(1));
  await audit.flush();

  assert.match(audit.problem()!, /no space is left/);
});

test("a file that others can read, a link and a folder are refused, with what to do", async (t) => {
  if (process.platform === "win32") return;
  const { open, path, folder } = await auditFolder(t);
  const { chmod, mkdir, rm, symlink } = await import("node:fs/promises");
  const { TunnelError } = await import("../../../src/errors.ts");
  const refused = async (pattern: RegExp) => {
    await assert.rejects(open(), (error: Error) => {
      assert.ok(error instanceof TunnelError, String(error));
      assert.equal(error.code, "STATE_UNUSABLE");
      assert.match(error.message, pattern);
      return true;
    });
    assert.deepEqual((await readdir(folder)).filter((name) => name.includes(".lock")), []);
  };
  await writeFile(path, "");
  await chmod(path, 0o640);
  await refused(/others have access to it \(mode 640\) \(run: chmod 600/);
  await rm(path);
  await writeFile(join(folder, "target"), "", { mode: 0o600 });
  await symlink(join(folder, "target"), path);
  await refused(/symbolic link/);
  await rm(path);
  await mkdir(path);
  await refused(/it is a folder \(name a file in it, such as ".*audit\.jsonl\/audit\.jsonl"\)/);
  await rm(path, { recursive: true });
  await writeFile(path, "something else entirely\n", { mode: 0o600 });
  await refused(/is not an audit trail/);
  await rm(path);
  execFileSync("mkfifo", ["-m", "600", path]);
  await refused(/it is not a regular file \(name another audit\.file\)/);
});

/** A sink that says what is called. */
function watched(sink: LineSink, calls: string[]): LineSink {
  return {
    ...asObject(sink),
    write: (text) => (calls.push("write"), sink.write(text)),
    sync: () => (calls.push("sync"), sink.sync()),
  };
}

/** A sink on a disk with so much room: it writes a part, and fails. */
function small(sink: LineSink, disk: { room: number }): LineSink {
  let rest = "";
  const write = async (text: string): Promise<void> => {
    const part = text.slice(0, Math.min(text.length, disk.room));
    rest = text.slice(part.length);
    disk.room -= part.length;
    if (part !== "") await sink.write(part);
    if (rest !== "") throw Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" });
  };
  return { ...asObject(sink), write, retry: () => write(rest) };
}

function asObject(sink: LineSink): LineSink {
  return {
    inode: sink.inode,
    size: sink.size,
    get written() {
      return sink.written;
    },
    write: (text) => sink.write(text),
    retry: () => sink.retry(),
    sync: () => sink.sync(),
    close: () => sink.close(),
  };
}

async function full(text: string): Promise<void> {
  await writeFile("/dev/full", text);
}
