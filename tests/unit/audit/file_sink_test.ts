import assert from "node:assert/strict";
import fs from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { openFileSink } from "../../../src/audit/file_sink.ts";

type Done = (error: Error | null, bytes: number) => void;

test("a write that the disk takes in parts, and then refuses, goes on where it stopped", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-sink-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "file");
  const sink = openFileSink(path, "create");
  const real = fs.write.bind(fs) as (fd: number, data: Uint8Array | string, done: Done) => void;
  let room = 7;
  // The library writes with what `node:fs` has at the time.
  t.mock.method(fs, "write", (fd: number, data: Uint8Array | string, ...rest: unknown[]) => {
    const done = rest.at(-1) as Done;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const part = bytes.subarray(0, Math.min(room, 3));
    if (part.length === 0) {
      const error = Object.assign(new Error("no space"), { code: "ENOSPC" });
      setImmediate(() => done(error, 0));
      return;
    }
    room -= part.length;
    real(fd, part, done);
  });

  await assert.rejects(sink.write("größer als es passt\n"), { code: "ENOSPC" });
  const afterFailure = [sink.written, (await readFile(path)).length];
  await assert.rejects(sink.retry(), { code: "ENOSPC" });
  room = 1_000;
  await sink.retry();
  await sink.write("und weiter\n");
  await sink.sync();
  await sink.close();
  await sink.close();

  assert.deepEqual(afterFailure, [7, 7]);
  assert.equal(await readFile(path, "utf8"), "größer als es passt\nund weiter\n");
});

test("a file is created only when there is none, and appended to only when there is one", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-sink-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "file");

  assert.throws(() => openFileSink(path, "append"), { code: "ENOENT" });
  const first = openFileSink(path, "create");
  await first.write("one\n");
  await first.close();
  assert.throws(() => openFileSink(path, "create"), { code: "EEXIST" });
  const second = openFileSink(path, "append");
  await second.write("two\n");
  await second.close();

  assert.deepEqual([second.size, second.written], [4, 4]);
  assert.equal(first.inode, second.inode);
  assert.equal(await readFile(path, "utf8"), "one\ntwo\n");
});
