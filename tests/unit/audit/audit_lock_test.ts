import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { lockTrail } from "../../../src/audit/audit_lock.ts";
import { claimPathOf } from "../../../src/runtime/lock_file.ts";
import { auditFolder } from "../../support/audit_fixture.ts";

test("a trail has one writer: the second is told whose it is", async (t) => {
  const { open, path } = await auditFolder(t);
  const first = await open();

  await assert.rejects(open(), {
    code: "STATE_UNUSABLE",
    message: new RegExp(`^Cannot write to ".*": it is the audit trail of process ${process.pid} `),
  });
  await first.close();
  const second = await open();

  assert.equal(second.problem(), undefined);
  assert.ok((await readFile(`${path}.lock`, "utf8")).includes(`"pid":${process.pid}`));
});

test("the lock of a process that is gone is taken over", async (t) => {
  const { path, folder } = await place(t);
  await writeFile(`${path}.lock`, holder({ pid: await deadProcess() }));

  const lock = await lockTrail(path);

  assert.ok((await readFile(`${path}.lock`, "utf8")).includes(`"pid":${process.pid}`));
  await lock.release();
  await lock.release();
  assert.deepEqual(await readdir(folder), []);
});

test("a process with the same id that started later is not the one that held it", {
  skip: process.platform !== "linux" && "only Linux tells when a process started",
}, async (t) => {
  const { path } = await place(t);
  await writeFile(`${path}.lock`, holder({ pid: process.ppid, started: "another boot 1" }));

  const lock = await lockTrail(path);

  await lock.release();
});

test("a lock that cannot be judged is left, and the message names it", async (t) => {
  const { path } = await place(t);
  const cases = [
    holder({ pid: 1, host: "another-host" }),
    holder({ pid: process.ppid }),
    "not one of ours",
    "null",
  ];
  let tried = 0;
  for (const text of cases) {
    await writeFile(`${path}.lock`, text);

    await assert.rejects(lockTrail(path), {
      code: "STATE_UNUSABLE",
      message: /delete ".*audit\.jsonl\.lock"\)$/,
    });
    assert.equal(await readFile(`${path}.lock`, "utf8"), text);
    tried++;
  }
  assert.equal(tried, 4);
});

test("of many that want a stale lock at once, one gets it", async (t) => {
  const { path, folder } = await place(t);
  await writeFile(`${path}.lock`, holder({ pid: await deadProcess() }));

  const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockTrail(path)));

  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  assert.deepEqual(await readdir(folder), ["audit.jsonl.lock"]);
});

test("of many that want a lock whose takeover was killed as well, one gets it", async (t) => {
  const { path, folder } = await place(t);
  const pid = await deadProcess();
  let rounds = 0;
  for (; rounds < 20; rounds++) {
    const stale = holder({ pid, nonce: `lock ${rounds}` });
    const claim = claimPathOf(`${path}.lock`, stale);
    const claimOfClaim = claimPathOf(claim, holder({ pid, nonce: "claim" }));
    await writeFile(`${path}.lock`, stale);
    await writeFile(claim, holder({ pid, nonce: "claim" }));
    await writeFile(claimOfClaim, holder({ pid, nonce: "claim of a claim" }));

    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockTrail(path)));

    const won = results.filter((result) => result.status === "fulfilled");
    assert.equal(won.length, 1);
    assert.deepEqual(await readdir(folder), ["audit.jsonl.lock"]);
    await won[0]!.value.release();
    assert.deepEqual(await readdir(folder), []);
  }
  assert.equal(rounds, 20);
});

test("whoever judged a lock that is gone by now removes no other one", async (t) => {
  const { path } = await place(t);
  const pid = await deadProcess();
  const stale = holder({ pid });
  await writeFile(`${path}.lock`, stale);
  // Another has it in hand: the one that waits judges the dead lock, and must then find the living one.
  await writeFile(claimPathOf(`${path}.lock`, stale), holder({ pid: process.ppid }));

  const waiting = lockTrail(path);
  const living = holder({ pid: process.ppid, nonce: "another" });
  await writeFile(`${path}.new`, living);
  await rename(`${path}.new`, `${path}.lock`);
  await rm(claimPathOf(`${path}.lock`, stale));

  await assert.rejects(waiting, { code: "STATE_UNUSABLE" });
  assert.equal(await readFile(`${path}.lock`, "utf8"), living);
});

test("what is no file in the place of the lock is refused, and nobody waits for it", {
  skip: process.platform === "win32" && "there are no FIFOs",
}, async (t) => {
  const { path } = await place(t);
  execFileSync("mkfifo", ["-m", "600", `${path}.lock`]);

  await assert.rejects(lockTrail(path), {
    code: "STATE_UNUSABLE",
    message: /of a process that it does not name .* delete ".*audit\.jsonl\.lock"\)$/,
  });
});

async function deadProcess(): Promise<number> {
  const child = spawn(process.execPath, ["--version"], { stdio: "ignore" });
  await once(child, "exit");
  return child.pid!;
}

async function place(t: TestContext): Promise<{ readonly folder: string; readonly path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-lock-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return { folder, path: join(folder, "audit.jsonl") };
}

function holder(of: { pid: number; host?: string; started?: string; nonce?: string }): string {
  return JSON.stringify({ host: hostname(), started: "", nonce: "x", ...of });
}
