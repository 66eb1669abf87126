import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { ConfigReload, type ReloadOptions } from "../../../src/cli/config_reload.ts";
import { TunnelError } from "../../../src/errors.ts";
import { CONFIG_POLL_MS } from "../../../src/limits.ts";
import { silentLogger } from "../../../src/log.ts";
import { stampFiles } from "../../../src/runtime/file_watch.ts";
import { type FakeClock, fakeClock } from "../../support/fake_clock.ts";

test("ConfigReload sees a file that changes between its reading and the end of the reload", async (t) => {
  const { clock, file, options } = setUp(t);
  const read: string[] = [];
  const reload = new ConfigReload({
    ...options,
    reload: () => {
      read.push(readFileSync(file, "utf8"));
      if (read.length === 1) writeFileSync(file, "third, and longer"); // by somebody else
    },
  });
  writeFileSync(file, "second");

  await reload.now();
  clock.advance(CONFIG_POLL_MS);
  await until(() => read.length === 2);

  assert.deepEqual(read, ["second", "third, and longer"]);
});

test("ConfigReload sees a file that changed after the start had read it", async (t) => {
  const { clock, file, options } = setUp(t);
  let reloads = 0;
  writeFileSync(file, "changed while the edge started");
  new ConfigReload({ ...options, reload: () => void reloads++ });

  clock.advance(CONFIG_POLL_MS);
  await until(() => reloads === 1);

  assert.equal(reloads, 1);
});

test("ConfigReload sees a change of a file that only the new configuration names", async (t) => {
  const { clock, folder, file, options } = setUp(t);
  const policy = join(folder, "policy.toml");
  writeFileSync(policy, "one");
  const read: string[] = [];
  let named = [file];
  const reload = new ConfigReload({
    ...options,
    files: () => named,
    reload: (reads) => {
      reads([file, policy]);
      read.push(readFileSync(policy, "utf8"));
      if (read.length === 1) writeFileSync(policy, "another one"); // by somebody else
      named = [file, policy];
    },
  });

  await reload.now();
  clock.advance(CONFIG_POLL_MS);
  await until(() => read.length === 2);

  assert.deepEqual(read, ["one", "another one"]);
});

test("ConfigReload takes a refused configuration once the file that it names is there", async (t) => {
  const { clock, folder, file, options } = setUp(t);
  const certificate = join(folder, "fullchain.pem");
  let reloads = 0;
  const reload = new ConfigReload({
    ...options,
    reload: (reads) => {
      reads([file, certificate]);
      reloads++;
      if (reloads === 1) throw new TunnelError("CONFIG_INVALID", "no such file");
    },
  });
  await reload.now();
  const refused = reload.state.problems;
  writeFileSync(certificate, "now");

  clock.advance(CONFIG_POLL_MS);
  await until(() => reload.state.problems.length === 0);

  assert.equal(reloads, 2);
  assert.deepEqual(refused, ["no such file"]);
});

test("ConfigReload does one reload at a time and keeps one waiting, however many are asked for", async (t) => {
  const { options } = setUp(t);
  const ends: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const reload = new ConfigReload({
    ...options,
    reload: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
    },
  });

  const asked = [reload.now(), reload.now(), reload.now(), reload.now()];
  await until(() => ends.length === 1);
  ends[0]!();
  await until(() => ends.length === 2);
  ends[1]!();
  await Promise.all(asked);
  const last = reload.now();
  await until(() => ends.length === 3);
  ends[2]!();
  await last;

  assert.equal(most, 1);
  assert.equal(ends.length, 3);
});

test("ConfigReload sees a change that comes while a long reload is under way", async (t) => {
  const { clock, file, options } = setUp(t);
  const read: string[] = [];
  const ends: (() => void)[] = [];
  const reload = new ConfigReload({
    ...options,
    reload: async () => {
      read.push(readFileSync(file, "utf8"));
      await new Promise<void>((resolve) => ends.push(resolve));
    },
  });

  const first = reload.now();
  writeFileSync(file, "changed meanwhile");
  const watching = clock.pending;
  ends[0]!();
  await first;
  clock.advance(CONFIG_POLL_MS);
  await until(() => ends.length === 2);
  ends[1]!();

  assert.equal(watching, 0);
  assert.deepEqual(read, ["first", "changed meanwhile"]);
});

test("ConfigReload says nothing of a reload that the end of the edge cut short", async (t) => {
  const { clock, life, options } = setUp(t);
  const said: string[] = [];
  const log = { ...silentLogger, error: (text: string) => void said.push(text) };
  const reload = new ConfigReload({
    ...options,
    log,
    reload: () =>
      new Promise((_, reject) => {
        life.signal.addEventListener("abort", () => reject(life.signal.reason));
      }),
  });

  const under = reload.now();
  life.abort();
  await under;
  await reload.now();

  assert.deepEqual(said, []);
  assert.deepEqual(reload.state.problems, []);
  assert.equal(clock.pending, 0);
});

interface SetUp {
  readonly clock: FakeClock;
  readonly life: AbortController;
  readonly folder: string;
  readonly file: string;
  readonly options: Omit<ReloadOptions, "reload">;
}

/** One file, stamped as it is now. */
function setUp(t: TestContext): SetUp {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-reload-"));
  const life = new AbortController();
  t.after(() => {
    life.abort();
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, "mcptun.toml");
  writeFileSync(file, "first");
  const clock = fakeClock();
  const options = {
    files: () => [file],
    stamps: stampFiles([file]),
    clock,
    log: silentLogger,
    signal: life.signal,
  };
  return { clock, life, folder, file, options };
}

/** Lets the look that the clock has begun come to its end; the runner's timeout bounds it. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
}
