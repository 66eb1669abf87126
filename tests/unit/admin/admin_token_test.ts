import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";

import { adminToken, adminTokenFile } from "../../../src/admin/admin_token.ts";

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function stateDir(): string {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
  folders.push(folder);
  return folder;
}

test("the token is made once, private, and does not print", async () => {
  const dir = stateDir();

  const [first, second] = await Promise.all([
    adminToken({ stateDir: dir }),
    adminToken({ stateDir: dir }),
  ]);
  const later = await adminToken({ stateDir: dir });

  assert.match(first.reveal(), /^mcpa_[A-Za-z0-9_-]{43}$/);
  assert.equal(first.reveal(), second.reveal());
  assert.equal(first.reveal(), later.reveal());
  assert.equal(String(first), "[redacted]");
  assert.equal(readFileSync(adminTokenFile(dir), "utf8").trim(), first.reveal());
  if (process.platform !== "win32") {
    assert.equal(statSync(adminTokenFile(dir)).mode & 0o777, 0o600);
  }
});

test("two state directories have two tokens", async () => {
  const [one, two] = await Promise.all([
    adminToken({ stateDir: stateDir() }),
    adminToken({ stateDir: stateDir() }),
  ]);

  assert.notEqual(one.reveal(), two.reveal());
});

test("a file that holds something else, or that others can read, is refused and not replaced", async () => {
  const dir = stateDir();
  writeFileSync(adminTokenFile(dir), "hunter2\n", { mode: 0o600 });

  await assert.rejects(adminToken({ stateDir: dir }), (error: Error) => {
    assert.match(error.message, /admin\.token".*delete it/);
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
  assert.equal(readFileSync(adminTokenFile(dir), "utf8"), "hunter2\n");

  if (process.platform === "win32") return;
  rmSync(adminTokenFile(dir));
  await adminToken({ stateDir: dir });
  chmodSync(adminTokenFile(dir), 0o644);
  await assert.rejects(adminToken({ stateDir: dir }), { code: "STATE_UNUSABLE" });
});
