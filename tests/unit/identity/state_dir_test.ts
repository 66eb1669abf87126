import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { prepareStateDir, readStateFile } from "../../../src/identity/state_dir.ts";
import { withStateLock } from "../../../src/identity/state_lock.ts";
import { claimPathOf } from "../../../src/runtime/lock_file.ts";

const onPosix = { skip: process.platform === "win32" };

test("prepareStateDir() makes all folders of the path, private", onPosix, async (t) => {
  const path = join(await makeFolder(t), "a", "b");

  await prepareStateDir(path);

  assert.equal((await stat(path)).mode & 0o777, 0o700);
});

test(
  "prepareStateDir() refuses a folder where nothing can be made, and does not try for ever",
  { skip: process.platform !== "linux" },
  async () => {
    await assert.rejects(prepareStateDir("/proc/mcptun/state"), unusable(/nothing can be made/));
  },
);

test("prepareStateDir() says that a file is in the way", async (t) => {
  const folder = await makeFolder(t);
  const file = join(folder, "file");
  await writeFile(file, "");

  await assert.rejects(prepareStateDir(file), unusable(/it is a file, not a folder/));
  await assert.rejects(prepareStateDir(join(file, "in")), unusable(/is a file, not a folder/));
});

test(
  "prepareStateDir() and readStateFile() refuse what belongs to another user",
  onPosix,
  async (t) => {
    const folder = await makeFolder(t);
    const file = join(folder, "file");
    await writeFile(file, "", { mode: 0o600 });
    const own = process.getuid!();
    t.mock.method(process as { getuid: () => number }, "getuid", () => own + 1);
    const reason = new RegExp(`belongs to user ${own}, and this process runs as user ${own + 1}`);

    await assert.rejects(prepareStateDir(folder), unusable(reason));
    await assert.rejects(readStateFile(file), unusable(reason));
  },
);

test("withStateLock() takes over the lock of a process that was killed", onPosix, async (t) => {
  const lock = join(await makeFolder(t), "list.lock");
  const { pid } = spawnSync("true");
  const before = performance.now();
  await writeFile(lock, `${pid} ${hostname()} 0123456789abcdef\n`);

  const result = await withStateLock(lock, () => readFile(lock, "utf8"));

  assert.match(result, new RegExp(`^${process.pid} `));
  assert.ok(performance.now() - before < 4_000, "it did not wait for the lock");
  assert.deepEqual(await readdir(join(lock, "..")), []);
});

test("withStateLock() takes over a lock that an earlier process with its own number left", async (t) => {
  const lock = join(await makeFolder(t), "list.lock");
  await writeFile(lock, `${process.pid} ${hostname()} 0123456789abcdef\n`);

  const result = await withStateLock(lock, () => Promise.resolve("done"));

  assert.equal(result, "done");
});

test("withStateLock() lets one of many work at a time, with a dead lock in the way", async (t) => {
  const lock = join(await makeFolder(t), "list.lock");
  await writeFile(lock, `${process.pid} ${hostname()} 0123456789abcdef\n`);
  let inside = 0;
  let most = 0;
  let ran = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++inside);
    await new Promise((resolve) => setImmediate(resolve));
    inside--;
    ran++;
  };

  await Promise.all(Array.from({ length: 20 }, () => withStateLock(lock, work)));

  assert.deepEqual({ most, ran }, { most: 1, ran: 20 });
});

test("withStateLock() gets on where takeovers of takeovers were killed as well", async (t) => {
  const folder = await makeFolder(t);
  const lock = join(folder, "list.lock");
  const { pid } = spawnSync(process.execPath, ["--version"]);
  const before = performance.now();
  let rounds = 0;
  for (; rounds < 10; rounds++) {
    const dead = (level: number) => `${pid} ${hostname()} 0123456789abc${level}${rounds}f\n`;
    let path = lock;
    for (let level = 0; level < 4; level++) {
      await writeFile(path, dead(level));
      path = claimPathOf(path, dead(level));
    }
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    };

    await Promise.all(Array.from({ length: 8 }, () => withStateLock(lock, work)));

    assert.equal(most, 1);
    assert.deepEqual(await readdir(folder), []);
  }
  assert.equal(rounds, 10);
  assert.ok(performance.now() - before < 10 * 4_000, "no round waited for a dead lock");
});

test("withStateLock() leaves alone what may be held or taken over: a living process, another host", async (t) => {
  const folder = await makeFolder(t);
  const { pid } = spawnSync(process.execPath, ["--version"]);
  const beingTakenOver = `${pid} ${hostname()}`;
  const living = `${process.ppid} ${hostname()}`;
  const holders = [living, `${process.ppid} elsewhere.example`, beingTakenOver];
  let ran = 0;

  await Promise.all(holders.map(async (holder, index) => {
    const lock = join(folder, `${index}.lock`);
    const text = `${holder} 0123456789abcdef\n`;
    await writeFile(lock, text);
    if (holder === beingTakenOver) {
      await writeFile(claimPathOf(lock, text), `${living} 0123456789abcdef\n`);
    }
    const reason = new RegExp(`process ${holder.replace(" ", " on ")}.*delete this file`);
    await assert.rejects(withStateLock(lock, () => Promise.resolve()), unusable(reason));
    assert.equal(await readFile(lock, "utf8"), text);
    ran++;
  }));

  assert.equal(ran, 3);
});

function unusable(reason: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof TunnelError && error.code === "STATE_UNUSABLE" && reason.test(error.message);
}

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-state-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}
