/**
 * Runs the test files: the built ones on Node, the sources on Deno, each file in its own process.
 *
 *   npm test                          everything, after the checks
 *   npm test -- wire/ frame           only files whose path holds one of the fragments; no checks
 *   npm test -- --node-only | --deno-only | --no-check | --jobs N
 *
 * A file says what it needs in comments near its top:
 *   // test-timeout: 180s             instead of 60 s
 *   // test-runtime: node             not on the other runtime
 *   // test-alone                     no other file at the same time
 *
 * The last line is the summary: `N passed, N failed`, with `, N skipped` when there are any.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { runFile } from "./test_file.mjs";
import { headerOf } from "./test_summary.mjs";
import { denoBinary, listFiles, ROOT } from "./tree.mjs";

const options = readArguments();
process.exitCode = await main().catch((error) => {
  process.stdout.write(`${error.message}\n0 passed, 1 failed\n`);
  return 1;
});

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        "node-only": { type: "boolean", default: false },
        "deno-only": { type: "boolean", default: false },
        "no-check": { type: "boolean", default: false },
        jobs: { type: "string" },
        node: { type: "string", default: process.execPath },
      },
    });
    // Two at least: most files wait more than they compute.
    const jobs = Number(values.jobs ?? Math.min(8, Math.max(2, availableParallelism())));
    if (!Number.isInteger(jobs) || jobs < 1) throw new Error("--jobs takes a number from 1 up");
    return { ...values, jobs, fragments: positionals };
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}

async function main() {
  if (!options["no-check"] && options.fragments.length === 0) {
    const script = join(ROOT, "scripts", "check.mjs");
    const check = spawnSync(process.execPath, [script], {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
    });
    if (check.status !== 0) {
      process.stdout.write("The checks failed; no test was run (--no-check runs them anyway)\n");
      process.stdout.write("0 passed, 1 failed\n");
      return 1;
    }
  }

  const runtimes = [];
  if (!options["deno-only"]) runtimes.push({ name: "node", command: options.node });
  if (!options["node-only"]) {
    const deno = denoBinary();
    if (deno === undefined) {
      process.stdout.write("No Deno binary is installed for this platform: use --node-only\n");
      process.stdout.write("0 passed, 1 failed\n");
      return 1;
    }
    runtimes.push({ name: "deno", command: deno });
  }

  const files = listFiles("tests").filter((path) => path.endsWith("_test.ts"));
  const chosen = files.filter((path) =>
    options.fragments.length === 0 || options.fragments.some((part) => path.includes(part))
  );
  const tasks = runtimes.flatMap((runtime) => chosen.flatMap((path) => taskOf(runtime, path)));
  const results = await runAll(tasks);
  return report(runtimes, results);
}

/** The one run of `path` on `runtime`, or none when the file is not for it. */
function taskOf(runtime, path) {
  const header = headerOf(readFileSync(join(ROOT, path), "utf8"));
  if (header.only !== undefined && header.only !== runtime.name) return [];
  const target = runtime.name === "node" ? `dist/${path.replace(/\.ts$/, ".js")}` : path;
  if (!existsSync(join(ROOT, target))) throw new Error(`${target} is missing: run npm run build`);
  return [{ runtime, path, target, ...header }];
}

async function runAll(tasks) {
  const results = [];
  const run = async (task) => {
    const result = await runFile(task);
    results.push({ task, ...result });
    print(task, result);
  };
  const shared = tasks.filter((task) => !task.alone);
  const worker = async () => {
    for (let task = shared.shift(); task !== undefined; task = shared.shift()) await run(task);
  };
  await Promise.all(Array.from({ length: options.jobs }, worker));
  for (const task of tasks.filter((task) => task.alone)) await run(task);
  return results;
}

function print(task, result) {
  const state = result.failed > 0 ? "FAIL" : "ok";
  const counts = [`${result.passed} passed`];
  if (result.failed > 0) counts.push(`${result.failed} failed`);
  if (result.skipped > 0) counts.push(`${result.skipped} skipped`);
  const seconds = (result.elapsedMs / 1_000).toFixed(1);
  process.stdout.write(
    `${state.padEnd(4)} ${task.runtime.name} ${seconds.padStart(5)} s  ${task.path}: ${
      counts.join(", ")
    }\n`,
  );
  if (result.failed > 0) {
    const output = result.output.trimEnd().split("\n").map((line) => `     | ${line}`);
    process.stdout.write(`${output.join("\n")}\n`);
    if (result.problem !== undefined) process.stdout.write(`     ${result.problem}\n`);
  }
}

function report(runtimes, results) {
  const sum = (list, key) => list.reduce((total, result) => total + result[key], 0);
  let failed = sum(results, "failed");
  process.stdout.write("\n");
  for (const { task, problem } of results.filter((result) => result.failed > 0)) {
    process.stdout.write(
      `failed: ${task.runtime.name} ${task.path}${problem ? `: ${problem}` : ""}\n`,
    );
  }
  for (const { name } of runtimes) {
    const own = results.filter((result) => result.task.runtime.name === name);
    process.stdout.write(
      `${name}: ${own.length} files, ${sum(own, "passed")} passed, ${sum(own, "failed")} failed\n`,
    );
    // A filter may choose files of one runtime only; the whole suite must run on both.
    const chosenNone = options.fragments.length > 0 && own.length === 0 && results.length > 0;
    if (sum(own, "passed") + sum(own, "failed") === 0 && !chosenNone) {
      process.stdout.write(`no test ran on ${name}\n`);
      failed += 1;
    }
  }
  const skipped = sum(results, "skipped");
  process.stdout.write(
    `${sum(results, "passed")} passed, ${failed} failed${
      skipped > 0 ? `, ${skipped} skipped` : ""
    }\n`,
  );
  return failed === 0 ? 0 : 1;
}
