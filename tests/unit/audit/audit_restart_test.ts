import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { appendFile, copyFile, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import type { LineSink } from "../../../src/audit/file_sink.ts";
import { openFileSink } from "../../../src/audit/file_sink.ts";
import { lineHash, openLine } from "../../../src/audit/marker_line.ts";
import { closeLine, recordBody } from "../../../src/audit/record_line.ts";
import { AUDIT_RETRY_MS } from "../../../src/limits.ts";
import { type AuditFolder, auditFolder } from "../../support/audit_fixture.ts";
import { recordOf } from "../../support/audit_records.ts";

test("whatever a crash leaves behind the last whole line is kept, told of, and no damage", async (t) => {
  const lastLine = async ({ lines }: AuditFolder) => (await lines()).at(-1)!;
  const cases: [string, (made: AuditFolder) => Promise<void>, string[]][] = [
    ["nothing", async () => {}, ["no_clean_exit"]],
    ["half a line", ({ path }) => appendFile(path, '{"v":1,"type":"excha'), [
      "torn",
      "no_clean_exit",
    ]],
    ["half a character", ({ path }) => appendFile(path, Buffer.from([0xe2, 0x80])), [
      "torn",
      "no_clean_exit",
    ]],
    ["zeros of a power cut", ({ path }) => appendFile(path, Buffer.alloc(70_000)), [
      "torn",
      "no_clean_exit",
    ]],
    ["zeros with newlines", ({ path }) => appendFile(path, "\0\0\n\0\n\n"), [
      "torn",
      "no_clean_exit",
    ]],
    ["a line but for its newline", async (made) => {
      const text = await readFile(made.path);
      await writeFile(made.path, text.subarray(0, -1));
      assert.ok((await lastLine(made)) !== undefined);
    }, ["torn", "no_clean_exit"]],
  ];
  let tried = 0;
  for (const [what, leave, notes] of cases) {
    const made = await crashed(t, 5);
    await leave(made);
    const before = await readFile(made.path);

    const beforeRestart = await made.verify();
    const audit = await made.open();
    audit.write(recordOf(99));
    await audit.close();

    const report = await made.verify();
    assert.notEqual(beforeRestart.verdict, "damaged", `${what}: ${JSON.stringify(beforeRestart)}`);
    assert.equal(report.verdict, "intact", `${what}: ${JSON.stringify(report)}`);
    assert.deepEqual(report.notes.map(({ code }) => code), notes, what);
    assert.equal(report.end, "clean", what);
    assert.equal(report.records, what.startsWith("a line") ? 5 : 6, what);
    assert.deepEqual((await readFile(made.path)).subarray(0, before.length), before, what);
    tried++;
  }
  assert.equal(tried, 6);
});

test("a torn line that is changed after the restart is found", async (t) => {
  const made = await crashed(t, 5);
  await appendFile(made.path, '{"v":1,"type":"excha');
  await (await made.open()).close();
  const text = await readFile(made.path, "utf8");
  await writeFile(made.path, text.replace('"excha\n', '"exchb\n'));

  const report = await made.verify();

  assert.equal(report.verdict, "damaged");
});

test("a first line that is torn is gone on behind", async (t) => {
  const made = await auditFolder(t);
  await writeFile(made.path, '{"v":1,"type":"open","ti', { mode: 0o600 });

  const audit = await made.open();
  audit.write(recordOf(1));
  await audit.close();

  const report = await made.verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.deepEqual(report.notes.map(({ code }) => code), ["torn"]);
});

test("what was cut off while the edge was down is told at its start and stays found", async (t) => {
  const made = await auditFolder(t);
  const first = await made.open({ checkpointRecords: 5 });
  for (let number = 0; number < 12; number++) first.write(recordOf(number));
  await first.close();
  const lines = await made.lines();
  await writeFile(made.path, `${lines.slice(0, 8).join("\n")}\n`);
  const beforeStart = await made.verify();

  const second = await made.open();
  second.write(recordOf(12));
  await second.close();

  assert.deepEqual(beforeStart.problems.map(({ code }) => code), ["truncated"]);
  assert.ok(
    made.log.events.some(({ level, message }) =>
      level === "error" && message.startsWith("The audit trail lacks lines that were signed")
    ),
  );
  const report = await made.verify();
  assert.deepEqual(report.problems.map(({ code, line }) => [code, line]), [["truncated", 9]]);
});

test("a trail that is gone or empty when the edge starts is told, and stays found", async (t) => {
  const told = ({ log }: AuditFolder) =>
    log.events.filter(({ level, message }) =>
      level === "error" && message.startsWith("The audit trail lacks lines that were signed")
    ).map(({ fields }) => fields);
  let tried = 0;
  for (const take of [rm, (path: string) => writeFile(path, "")]) {
    const made = await stopped(t);
    await take(made.path);
    const beforeStart = await made.verify();

    const audit = await made.open();
    audit.write(recordOf(12));
    await audit.close();

    const report = await made.verify();
    const expected = tried === 0 ? "file_missing" : "truncated";
    assert.deepEqual(beforeStart.problems.map(({ code }) => code), [expected]);
    assert.deepEqual(told(made), [{ file: made.path, signed: 3, missing: "file 1" }]);
    assert.deepEqual(report.problems.map(({ code }) => code), ["file_missing"]);
    tried++;
  }
  assert.equal(tried, 2);
});

test("a trail whose last file was rotated away is whole when the edge starts", async (t) => {
  const made = await stopped(t);
  await rename(made.path, join(made.folder, "audit-20270115T080000Z-000001.jsonl"));

  await (await made.open()).close();

  assert.deepEqual(made.log.events.filter(({ level }) => level === "error"), []);
  assert.equal((await made.verify()).verdict, "intact");
});

test("records that somebody adds while the edge is down are found, with or without a line that opens", async (t) => {
  const made = await stopped(t);
  const whole = await readFile(made.path, "utf8");
  const headPath = join(made.stateDir, "audit-head.json");
  const head = await readFile(headPath);
  const last = (await made.lines()).at(-1)!;
  const { key, key_id: keyId } = JSON.parse((await made.lines())[0]!);
  const state = { edge: "edge-1", file: 1, first: 1, records: 3 };
  const open = openLine({ wallMs: 0, state: { ...state, prev: lineHash(last) }, key, keyId });
  const direct = closeLine(recordBody(recordOf(7)), lineHash(last));
  const opened = closeLine(recordBody(recordOf(7)), lineHash(open));
  let tried = 0;
  for (const added of [[direct], [open, opened]]) {
    await writeFile(made.path, `${whole}${added.join("\n")}\n`);
    await writeFile(headPath, head);

    const beforeStart = await made.verify();
    await (await made.open()).close();
    const afterStart = await made.verify();

    assert.deepEqual(beforeStart.problems.map(({ code }) => code), ["added"]);
    assert.deepEqual(afterStart.problems.map(({ code }) => code), ["added"]);
    tried++;
  }
  assert.equal(tried, 2);
});

test("a file that was moved away while the edge was down is gone on from", async (t) => {
  const made = await stopped(t);
  const moved = join(made.folder, "moved.jsonl");
  await rename(made.path, moved);

  const audit = await made.open();
  audit.write(recordOf(2));
  await audit.close();

  const [first] = await made.lines();
  assert.equal(JSON.parse(first!).file, 2);
  assert.equal(JSON.parse(first!).records, 3);
  await rename(moved, join(made.folder, "audit-20270115T080000Z-000001.jsonl"));
  const report = await made.verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
});

test("a state directory that was lost costs the key, and the chain goes on", async (t) => {
  const made = await stopped(t);
  await copyFile(join(made.stateDir, "audit-key.pub.pem"), join(made.folder, "old.pem"));
  for (const name of await readdir(made.stateDir)) await rm(join(made.stateDir, name));

  const audit = await made.open();
  audit.write(recordOf(2));
  await audit.close();

  const report = await made.verify();
  assert.deepEqual(report.problems.map(({ code }) => code), ["key_unknown"]);
  assert.equal(report.keys.length, 2);
});

test("a file that cannot be written and is moved away is given up at its last whole line", async (t) => {
  const made = await auditFolder(t);
  let room = Number.POSITIVE_INFINITY;
  const audit = await made.open({}, {
    openSink: (path, how) => failing(openFileSink(path, how), () => room, (left) => room = left),
  });
  room = 2_500; // two records and a part
  for (let number = 0; number < 6; number++) audit.write(recordOf(number));
  await audit.flush();
  const problem = audit.problem();
  await rename(made.path, join(made.folder, "audit-20270115T080000Z-000001.jsonl"));

  made.clock.advance(AUDIT_RETRY_MS);
  await audit.flush();
  room = Number.POSITIVE_INFINITY;
  made.clock.advance(AUDIT_RETRY_MS);
  await audit.flush();
  const after = audit.problem();
  await audit.close();

  assert.notEqual(problem, undefined);
  assert.equal(after, undefined);
  const report = await made.verify();
  assert.equal(report.verdict, "intact", JSON.stringify(report));
  assert.equal(report.records, 6);
  assert.deepEqual(report.notes.map(({ code }) => code), ["torn", "no_clean_exit"]);
});

test("a closed trail takes no more records, and says so", async (t) => {
  const made = await auditFolder(t);
  const audit = await made.open({ intent: true });
  await audit.close();
  const before = await made.lines();

  audit.write(recordOf(1));
  const told = await audit.intent(recordOf(2));

  assert.equal(told, false);
  assert.match(audit.blockedBy()!, /is closed$/);
  assert.equal(audit.stats.lost, 2);
  assert.deepEqual(await made.lines(), before);
});

test("a folder that is not there is refused with what to do", async (t) => {
  const made = await auditFolder(t);

  await assert.rejects(made.open({ file: join(made.folder, "none", "audit.jsonl") }), {
    code: "STATE_UNUSABLE",
    message: /there is no folder ".*none" \(make it/,
  });
});

/** A trail as it is after a crash, with so many records. */
async function crashed(
  t: Parameters<typeof auditFolder>[0],
  records: number,
): Promise<AuditFolder> {
  const made = await auditFolder(t);
  const audit = await made.open();
  for (let number = 0; number < records; number++) audit.write(recordOf(number));
  await audit.flush();
  const text = await readFile(made.path);
  const head = await readFile(join(made.stateDir, "audit-head.json"));
  await audit.close();
  await writeFile(made.path, text);
  await writeFile(join(made.stateDir, "audit-head.json"), head);
  return made;
}

async function stopped(t: Parameters<typeof auditFolder>[0]): Promise<AuditFolder> {
  const made = await auditFolder(t);
  const audit = await made.open();
  for (let number = 0; number < 3; number++) audit.write(recordOf(number));
  await audit.close();
  return made;
}

/** A sink that writes as much as there is room for, and then fails. */
function failing(sink: LineSink, room: () => number, left: (room: number) => void): LineSink {
  let rest = "";
  const write = async (text: string): Promise<void> => {
    const part = text.slice(0, Math.min(text.length, room()));
    rest = text.slice(part.length);
    left(room() - part.length);
    if (part !== "") await sink.write(part);
    if (rest !== "") throw Object.assign(new Error("no space"), { code: "ENOSPC" });
  };
  return {
    inode: sink.inode,
    size: sink.size,
    get written() {
      return sink.written;
    },
    write,
    retry: () => write(rest),
    sync: () => sink.sync(),
    close: () => sink.close(),
  };
}
