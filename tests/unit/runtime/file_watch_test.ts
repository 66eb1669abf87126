import assert from "node:assert/strict";
import { mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { fileStamp, watchFiles } from "../../../src/runtime/file_watch.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";

test("watchFiles() names the file that was written, replaced, made or removed", async (t) => {
  const { clock, folder, changes } = await setUp(t, ["a", "b"]);
  const a = join(folder, "a");
  const b = join(folder, "b");
  const steps: readonly [() => Promise<void>, string][] = [
    [() => writeFile(a, "longer"), a],
    [() => replace(a, "longer"), a],
    [() => writeFile(b, "new"), b],
    [() => rm(b), b],
  ];
  let seen = 0;

  for (const [step, path] of steps) {
    await step();
    await clockIsSet(clock);
    clock.advance(500);
    assert.deepEqual(await changes.next(), [path]);
    seen++;
  }

  assert.equal(seen, 4);
});

test("watchFiles() says nothing while nothing changes", async (t) => {
  const { clock, folder, changes } = await setUp(t, ["a"]);

  for (let look = 0; look < 5; look++) {
    clock.advance(500);
    await clockIsSet(clock);
  }
  await writeFile(join(folder, "a"), "changed");
  clock.advance(500);
  await changes.next();

  assert.equal(changes.count, 1);
});

test("watchFiles() does not look again before onChange is done", async (t) => {
  const folder = await makeFolder(t);
  const clock = fakeClock();
  const controller = new AbortController();
  t.after(() => controller.abort());
  const changes = new Changes();
  let finish!: () => void;
  const done = new Promise<void>((resolve) => finish = resolve);
  watchFiles({
    paths: [join(folder, "a")],
    everyMs: 500,
    clock,
    signal: controller.signal,
    onChange: (changed) => {
      changes.push(changed);
      return done;
    },
  });

  await writeFile(join(folder, "a"), "changed");
  clock.advance(500);
  await changes.next();
  const pendingMeanwhile = clock.pending;
  finish();
  await clockIsSet(clock);

  assert.equal(pendingMeanwhile, 0);
});

test("watchFiles() ends with its signal, also when it was aborted before", async (t) => {
  const folder = await makeFolder(t);
  const clock = fakeClock();
  const controller = new AbortController();
  const options = {
    paths: [join(folder, "a")],
    everyMs: 500,
    clock,
    signal: controller.signal,
    onChange: () => assert.fail("nothing changed"),
  };
  watchFiles(options);
  const before = clock.pending;

  controller.abort();
  watchFiles(options);

  assert.equal(before, 1);
  assert.equal(clock.pending, 0);
});

test("fileStamp() tells two contents of one size and one time apart when the inode differs", async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, "a");
  await writeFile(path, "one");
  await utimes(path, 1, 1);
  const before = await fileStamp(path);

  await replace(path, "two");
  await utimes(path, 1, 1);

  assert.notEqual(await fileStamp(path), before);
  assert.match(await fileStamp(join(folder, "none")), /^absent/);
});

class Changes {
  readonly #waiting: (readonly string[])[] = [];
  #wake: (() => void) | undefined;
  count = 0;

  push(changed: readonly string[]): void {
    this.count++;
    this.#waiting.push(changed);
    this.#wake?.();
  }

  async next(): Promise<readonly string[]> {
    for (;;) {
      const changed = this.#waiting.shift();
      if (changed !== undefined) return changed;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** A watch of two files, of which "a" exists. */
async function setUp(
  t: TestContext,
  names: readonly string[],
): Promise<{ clock: FakeClock; folder: string; changes: Changes }> {
  const folder = await makeFolder(t);
  await writeFile(join(folder, "a"), "first");
  const clock = fakeClock();
  const changes = new Changes();
  const controller = new AbortController();
  t.after(() => controller.abort());
  watchFiles({
    paths: names.map((name) => join(folder, name)),
    everyMs: 500,
    clock,
    signal: controller.signal,
    onChange: (changed) => changes.push(changed),
  });
  return { clock, folder, changes };
}

async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-watch-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** A look is over once the timer of the next is set. */
async function clockIsSet(clock: FakeClock): Promise<void> {
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
}
