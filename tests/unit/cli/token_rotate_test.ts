import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Writable } from "node:stream";
import { test, type TestContext } from "node:test";

import { decodeCredential } from "../../../src/identity/credential.ts";
import { runIn, type RunResult } from "../../support/run_cli.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ISSUE = ["token", "issue", "--tunnels", "code,wiki-*", "--rift", "laptop", "--ttl", "30d"];
const ROTATE = ["token", "rotate", "laptop"];

test(
  "rotate prints a new credential of the same name, and the old one ends a day later",
  async (t) => {
    const { run } = place(t);
    const old = decodeCredential((await run(...ISSUE)).stdout);

    const { code, stdout, stderr } = await run(...ROTATE);
    const rows = riftsOf(await run("token", "list", "--json"));
    const list = await run("token", "list");

    assert.equal(code, 0, stderr);
    assert.match(stdout, /^mcpt_[A-Za-z0-9_-]+\n$/);
    const fresh = decodeCredential(stdout);
    assert.equal(fresh.name, "laptop");
    assert.deepEqual(fresh.tunnels, old.tunnels);
    assert.equal(fresh.address, old.address);
    assert.notEqual(fresh.serial, old.serial);
    assert.ok(Math.abs(fresh.expiresAtMs - Date.now() - 30 * DAY_MS) < HOUR_MS);
    assert.match(stderr, /^rift +laptop\ntunnels +code, wiki-\*\n/);
    assert.match(stderr, /^new one ends +\d{4}-\d\d-\d\d \d\d:\d\d UTC, in 30 days$/m);
    assert.match(stderr, /^old one ends +\d{4}-\d\d-\d\d \d\d:\d\d UTC, in 24 hours$/m);
    assert.match(stderr, /^Next: .*token file/m);
    assert.doesNotMatch(stderr, /mcpt_/);
    assert.deepEqual(
      new Map(rows.map(({ serial, state }) => [serial, state])),
      new Map([
        [old.serial, "rotated"],
        [fresh.serial, "active"],
      ]),
    );
    assert.match(list.stdout, /^ {2}laptop .* rotated, ends in 24 hours$/m);
  },
);

test(
  "rotate --json is one line with both ends, --out a private file, --ttl and --overlap count",
  async (t) => {
    const { run, folder } = place(t);
    const old = decodeCredential((await run(...ISSUE)).stdout);

    const result = await run(
      ...ROTATE,
      ...["--ttl", "90d", "--overlap", "2h", "--out", "new.token", "--json"],
    );

    const path = join(folder, "new.token");
    const fresh = decodeCredential(readFileSync(path, "utf8"));
    assert.deepEqual([result.code, result.stderr], [0, ""]);
    const { previous, ...facts } = lineOf(result);
    assert.deepEqual(facts, {
      kind: "rift",
      name: "laptop",
      serial: fresh.serial,
      tunnels: ["code", "wiki-*"],
      expiresAtMs: fresh.expiresAtMs,
      address: "localhost:4443",
      file: path,
    });
    assert.ok(Math.abs(fresh.expiresAtMs - Date.now() - 90 * DAY_MS) < HOUR_MS);
    const [ended] = previous as { serial: string; expiresAtMs: number }[];
    assert.equal(ended!.serial, old.serial);
    assert.ok(Math.abs(ended!.expiresAtMs - Date.now() - 2 * HOUR_MS) < 60_000);
    if (process.platform !== "win32") assert.equal(statSync(path).mode & 0o777, 0o600);
  },
);

test("revoke after rotate ends both credentials", async (t) => {
  const { run } = place(t);
  await run(...ISSUE);
  await run(...ROTATE);

  const { stdout } = await run("token", "revoke", "laptop");
  const again = await run(...ROTATE);

  assert.match(stdout, /^Revoked 2 credentials of rift "laptop" \([0-9a-f]+, [0-9a-f]+\)\n/);
  assert.equal(again.code, 2);
  assert.match(
    again.stderr,
    /Cannot rotate "laptop": its credential is revoked or has ended/,
  );
});

test(
  "rotate says what is lost when the new credential could not be printed",
  async (t) => {
    const { run, runTo } = place(t);
    await run(...ISSUE);
    const full = new Writable({
      write: (_chunk, _encoding, done) =>
        done(Object.assign(new Error("no space"), { code: "ENOSPC" })),
    });
    full.on("error", () => {}); // as the process does for its own

    const { code, stderr } = await runTo(full, ...ROTATE);
    const again = await run(...ROTATE);

    assert.equal(code, 1);
    assert.match(
      stderr,
      /^mcptun: Cannot write standard output: ENOSPC .*: rotate again before\n$/,
    );
    assert.equal(again.code, 0, again.stderr);
  },
);

test("rotate changes nothing when the file is there already", async (t) => {
  const { run, folder } = place(t);
  await run(...ISSUE);
  writeFileSync(join(folder, "taken"), "mine");

  const { code } = await run(...ROTATE, "--out", "taken");

  assert.equal(code, 1);
  assert.equal(riftsOf(await run("token", "list", "--all", "--json")).length, 1);
  assert.ok(existsSync(join(folder, "taken")));
});

function place(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-rot-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    join(folder, "mcptun.toml"),
    '[edge]\ntunnel_address = "localhost:4443"\nstate_dir = "state"\n' +
      '[[tunnel]]\nname = "code"\n[[tunnel]]\nname = "wiki-a"\n',
  );
  return {
    folder,
    run: (...argv: string[]) => runIn(folder, argv),
    runTo: (stdout: Writable, ...argv: string[]) => runIn(folder, argv, { stdout }),
  };
}

function lineOf({ stdout }: RunResult): Record<string, unknown> {
  assert.match(stdout, /^[^\n]+\n$/);
  return JSON.parse(stdout) as Record<string, unknown>;
}

function riftsOf(result: RunResult): Record<string, unknown>[] {
  return lineOf(result)["rifts"] as Record<string, unknown>[];
}
