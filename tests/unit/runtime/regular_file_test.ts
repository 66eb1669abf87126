import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";

import {
  NotRegularError,
  openRegular,
  openRegularSync,
} from "../../../src/runtime/regular_file.ts";

test("a regular file is opened, and what is none is refused at once", {
  skip: process.platform === "win32" && "there are no FIFOs",
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-regular-"));
  const at = (name: string) => join(folder, name);
  const server = createServer().listen(at("socket"));
  t.after(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  writeFileSync(at("file"), "text");
  execFileSync("mkfifo", [at("fifo")]);

  const handle = await openRegular(at("file"));
  const text = await handle.readFile("utf8");
  await handle.close();
  const fd = openRegularSync(at("file"));
  const textSync = readFileSync(fd, "utf8");
  closeSync(fd);

  assert.deepEqual([text, textSync], ["text", "text"]);
  const others = [["fifo", false], ["socket", false], [".", true], ["/dev/zero", false]] as const;
  for (const [name, isFolder] of others) {
    const path = name.startsWith("/") ? name : at(name);
    const isRefused = (error: unknown) =>
      error instanceof NotRegularError && error.isFolder === isFolder && error.path === path;
    await assert.rejects(openRegular(path), isRefused, name);
    assert.throws(() => openRegularSync(path), isRefused, name);
  }
  assert.equal(others.length, 4);
  await assert.rejects(openRegular(at("none")), { code: "ENOENT" });
  assert.throws(() => openRegularSync(at("none")), { code: "ENOENT" });
});
