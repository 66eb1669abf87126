/**
 * The checks, each with one line: `ok` or what is wrong. Run by `npm test` before the tests.
 *
 *   npm run check                     all of them
 *   npm run check -- imports docs     some of them
 *
 * @module
 */

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { denoBinary, listFiles, ROOT } from "./tree.mjs";

const MODULES = join(ROOT, "node_modules");
const IGNORED = /^(\.git|node_modules|dist|dist[.-].*|mcptun-state)$/;
const BINARY = /\.(png|ico|gz|tgz|node|log)$/;
const MAX_LINES = 60;

const checks = [
  { name: "format", run: format },
  { name: "types", run: () => node("typescript/bin/tsc", "--noEmit") },
  { name: "deno", run: () => deno("check", "--quiet", ...entries()) },
  { name: "lint", run: () => node("oxlint/bin/oxlint", "--type-aware", "--format=unix", ".") },
  { name: "imports", run: async () => (await rule("imports")).checkImports(texts()) },
  { name: "sizes", run: async () => (await rule("sizes")).checkSizes(texts()) },
  {
    name: "docs",
    run: async () =>
      (await rule("docs")).checkDocs(texts(), (path) => existsSync(join(ROOT, path))),
  },
  { name: "text", run: async () => (await rule("text")).checkText(texts()) },
  {
    name: "security",
    run: async () => (await rule("security_tests")).checkSecurityTests(texts()),
  },
  {
    name: "tests",
    run: async () => {
      const built = listFiles("dist/tests").map((path) => path.slice("dist/".length));
      return (await rule("tests")).checkTests(texts(), new Set(built));
    },
  },
];

let cached;
process.exitCode = await main(process.argv.slice(2));

async function main(names) {
  const unknown = names.filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length > 0) {
    const known = checks.map((check) => check.name).join(", ");
    process.stderr.write(`No check "${unknown.join('", "')}": the checks are ${known}\n`);
    return 2;
  }
  const chosen = checks.filter((check) => names.length === 0 || names.includes(check.name));
  const outcomes = await Promise.all(chosen.map(async ({ name, run }) => {
    const startedAt = performance.now();
    const outcome = await run().catch((error) => [`the check broke: ${error.stack}`]);
    const { problems, warnings } = Array.isArray(outcome)
      ? { problems: outcome, warnings: [] }
      : outcome;
    report(name, problems, warnings, performance.now() - startedAt);
    return problems.length === 0;
  }));
  return outcomes.every(Boolean) ? 0 : 1;
}

function report(name, problems, warnings, elapsedMs) {
  const seconds = `${(elapsedMs / 1_000).toFixed(1)} s`;
  const state = problems.length === 0 ? "ok" : "FAILED";
  const beside = warnings.length === 0 ? "" : `, soon too much: ${warnings.join("; ")}`;
  const lines = problems.slice(0, MAX_LINES).map((problem) => `  ${problem}\n`);
  if (problems.length > MAX_LINES) lines.push(`  and ${problems.length - MAX_LINES} more lines\n`);
  process.stdout.write(`check ${name}: ${state} (${seconds})${beside}\n${lines.join("")}`);
}

/** A rule, from the build: its sources are TypeScript. */
function rule(name) {
  return import(pathToFileURL(join(ROOT, "dist", "scripts", `check_${name}.js`)).href);
}

/** Every text file of the project. */
function texts() {
  if (cached !== undefined) return cached;
  cached = new Map();
  for (const entry of readdirSync(ROOT, { withFileTypes: true })) {
    if (IGNORED.test(entry.name)) continue;
    const paths = entry.isDirectory() ? listFiles(entry.name) : [entry.name];
    for (const path of paths) {
      if (!BINARY.test(path)) cached.set(path, readFileSync(join(ROOT, path), "utf8"));
    }
  }
  return cached;
}

/** What `deno check` is given: it would otherwise read the build too. */
function entries() {
  return ["mod.ts", "src", "tests", "bench", "scripts"].filter((path) =>
    existsSync(join(ROOT, path))
  );
}

function node(path, ...args) {
  return command(process.execPath, [join(MODULES, path), ...args]);
}

/** The names of the files; what would change is for the formatter to say. */
async function format() {
  const lines = await deno("fmt", "--check");
  const files = lines.flatMap((line) => /^\s*from (.+):$/.exec(line)?.[1] ?? []);
  if (files.length === 0) return lines;
  return files.map((path) => `${relative(ROOT, path)}: mend it with npm run fmt`);
}

async function deno(...args) {
  const binary = denoBinary();
  if (binary === undefined) return ["no Deno binary is installed for this platform"];
  return await command(binary, args);
}

/** Runs a tool; its output is the list of problems when it fails. */
function command(file, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        NO_COLOR: "1",
        FORCE_COLOR: undefined,
        DENO_DIR: join(MODULES, ".cache", "mcptun-deno"),
        DENO_NO_UPDATE_CHECK: "1",
      },
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => output += chunk);
    child.stderr.setEncoding("utf8").on("data", (chunk) => output += chunk);
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) return resolve([]);
      const lines = output.split("\n").filter((line) =>
        line.trim() !== "" && !/^\s*(Stack backtrace:|0: <unknown>)$/.test(line)
      );
      resolve([...lines, `exit code ${code}`]);
    });
  });
}
