/**
 * Runs one test file in its own process group and reads the runtime's own summary.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { judge, readDenoSummary, readNodeSummary } from "./test_summary.mjs";
import { ROOT } from "./tree.mjs";

/** Output kept of one file, characters: enough for any honest failure. */
const MAX_OUTPUT = 400_000;

const running = new Set();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    for (const child of running) killGroup(child);
    process.exit(130);
  });
}

/** Runs one file; never rejects. */
export function runFile({ runtime, target, timeoutMs }) {
  const startedAt = performance.now();
  const isNode = runtime.name === "node";
  const args = isNode
    ? ["--enable-source-maps", "--test-reporter=spec", target]
    : ["test", "--allow-all", "--unstable-net", "--no-check", target];
  const child = spawn(runtime.command, args, {
    cwd: ROOT,
    // A group of its own, so that what a test started ends with it.
    detached: process.platform !== "win32",
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(),
  });
  running.add(child);

  let output = "";
  const keep = (chunk) => {
    if (output.length < MAX_OUTPUT) output += chunk;
    else output = output.slice(-MAX_OUTPUT / 2) + chunk;
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);

  return new Promise((resolve) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child);
    }, timeoutMs);
    const finish = (exitCode, signal) => {
      clearTimeout(timer);
      running.delete(child);
      const read = isNode ? readNodeSummary : readDenoSummary;
      const verdict = judge({ output, exitCode, signal, timedOut, timeoutMs, read });
      resolve({ ...verdict, output, elapsedMs: performance.now() - startedAt });
    };
    child.once("error", (error) => {
      keep(`${runtime.command}: ${error.message}\n`);
      finish(1, undefined);
    });
    // What outlives the file holds its pipes open, so `close` would wait for it.
    child.once("exit", () => killGroup(child));
    child.once("close", finish);
  });
}

function environment() {
  return {
    ...process.env,
    NO_COLOR: "1",
    FORCE_COLOR: undefined,
    NODE_OPTIONS: undefined,
    // Node's runner sets it for its children, and with it a file would report to nobody.
    NODE_TEST_CONTEXT: undefined,
    DENO_DIR: join(ROOT, "node_modules", ".cache", "mcptun-deno"),
    DENO_NO_UPDATE_CHECK: "1",
    DENO_NO_PACKAGE_JSON: undefined,
  };
}

function killGroup(child) {
  if (child.pid === undefined) return;
  try {
    if (process.platform === "win32") child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group is gone already, which is what was wanted.
  }
}
