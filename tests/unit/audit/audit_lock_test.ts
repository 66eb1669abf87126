import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { lockTrail } from "../../../src/audit/audit_lock.ts";
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
  const child = spawn(process.execPath, ["--version"], { stdio: "ignore" });
  await once(child, "exit");
  await writeFile(`${path}.lock`, holder({ pid: child.pid! }));

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
  const child = spawn(process.execPath, ["--version"], { stdio: "ignore" });
  await once(child, "exit");
  await writeFile(`${path}.lock`, holder({ pid: child.pid! }));

  const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockTrail(path)));

  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  assert.deepEqual(await readdir(folder), ["audit.jsonl.lock"]);
});

async function place(t: TestContext): Promise<{ readonly folder: string; readonly path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-lock-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return { folder, path: join(folder, "audit.jsonl") };
}

function holder(of: { pid: number; host?: string; started?: string }): string {
  return JSON.stringify({ host: hostname(), started: "", nonce: "x", ...of });
}
