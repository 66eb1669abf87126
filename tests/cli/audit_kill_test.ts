// test-timeout: 120s

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { verifyFolder } from "../support/audit_fixture.ts";
import { OWN_RUNTIME } from "../support/cli_process.ts";

const ROUNDS = 5;
const CALLS_EACH = 400;

for (const sync of ["batch", "always"] as const) {
  test(`a process that is killed leaves no call without a record (${sync})`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "mcptun-kill-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await mkdir(join(folder, "state"), { mode: 0o700 });
    const path = join(folder, "audit.jsonl");
    const done: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      done.push(...await killedRun(folder, sync, round * 1_000_000));

      const report = await verifyFolder(join(folder, "state"), path);

      assert.equal(report.verdict, "intact", JSON.stringify(report));
      assert.notEqual(report.end, "clean");
      const recorded = await recordedIntents(folder);
      const without = done.filter((number) => !recorded.has(idOf(number)));
      assert.deepEqual(without, [], `round ${round}`);
    }
    assert.ok(done.length >= ROUNDS * CALLS_EACH, String(done.length));
  });
}

/** Runs the writer until it has done some calls, kills it, and gives the calls that it did. */
function killedRun(folder: string, sync: string, start: number): Promise<number[]> {
  const isDeno = OWN_RUNTIME === "deno";
  const script = new URL(`../support/audit_writer_child.${isDeno ? "ts" : "js"}`, import.meta.url);
  const flags = isDeno ? ["run", "-A", "--no-check"] : [];
  const child = spawn(
    process.execPath,
    [...flags, fileURLToPath(script), folder, sync, String(start)],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let stdout = "";
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (stdout.split("\n").length > CALLS_EACH) process.kill(child.pid!, "SIGKILL");
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => {
      const numbers = stdout.split("\n").slice(0, -1).map(Number);
      if (numbers.length < CALLS_EACH) reject(new Error(`It ended early: ${stderr}`));
      else resolve(numbers);
    });
  });
}

async function recordedIntents(folder: string): Promise<Set<string>> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".jsonl"));
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  const found = texts.flatMap((
    text,
  ) => [...text.matchAll(/^\{"v":1,"type":"intent".*?"exchange":"([0-9a-f]{16})".*\}$/gm)]);
  return new Set(found.map(([, id]) => id!));
}

function idOf(number: number): string {
  return number.toString(16).padStart(16, "0");
}
