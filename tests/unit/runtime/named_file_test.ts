import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";

import {
  isStreamPath,
  readNamedFile,
  TooLargeError,
  unreadReason,
} from "../../../src/runtime/named_file.ts";
import { NotRegularError } from "../../../src/runtime/regular_file.ts";

const onPosix = { skip: process.platform === "win32" };
const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("readNamedFile() gives a whole file and its permissions", onPosix, () => {
  const path = join(folder, "file");
  writeFileSync(path, "ä".repeat(5_000), { mode: 0o640 });

  const { bytes, mode } = readNamedFile(path, 10_000);

  assert.equal(bytes.toString(), "ä".repeat(5_000));
  assert.equal(mode & 0o777, 0o640);
});

test("readNamedFile() refuses a file of one byte more than it may read", () => {
  const path = join(folder, "large");
  writeFileSync(path, "x".repeat(101));

  assert.throws(() => readNamedFile(path, 100), TooLargeError);
  assert.equal(readNamedFile(path, 101).bytes.length, 101);
});

test("readNamedFile() refuses a FIFO and a device at once, and a folder", onPosix, () => {
  const fifo = join(folder, "fifo");
  const inner = join(folder, "folder");
  spawnSync("mkfifo", [fifo]);
  mkdirSync(inner);

  assert.throws(() => readNamedFile(fifo, 100), NotRegularError);
  assert.throws(() => readNamedFile("/dev/zero", 100), NotRegularError);
  assert.throws(() => readNamedFile(inner, 100), NotRegularError);
});

test("readNamedFile() takes /dev/null for an empty file", onPosix, () => {
  assert.equal(readNamedFile("/dev/null", 100).bytes.length, 0);
});

test("isStreamPath() knows the paths that shells hand over, and no others", () => {
  const paths = ["/dev/stdin", "/dev/fd/0", "/dev/fd/63", "/proc/self/fd/3", "/dev/null"];
  const others = ["/dev/fd/x", "/dev/fd/3/..", "/dev/zero", "/tmp/dev/stdin", "/dev/stdin2"];

  assert.deepEqual(paths.filter(isStreamPath), paths);
  assert.deepEqual(others.filter(isStreamPath), []);
});

test("unreadReason() shows no message of an error that it does not know", () => {
  assert.equal(unreadReason(new Error("secret")), "unknown failure");
  assert.equal(unreadReason(Object.assign(new Error("secret"), { code: "EIO" })), "EIO");
});
