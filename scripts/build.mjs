/**
 * Compiles the sources into `dist`, with the data files that tests read beside them.
 *
 * Builds aside and swaps at the end, so that a running command never sees half a build and a failed
 * build leaves the last good one. The stamp is the hash from before the compiler ran: a file changed
 * meanwhile is built next time.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { BUILD_STAMP, listFiles, ROOT, sourceHash } from "./tree.mjs";

const COMPILER = join(ROOT, "node_modules", "typescript", "bin", "tsc");

if (!existsSync(COMPILER)) {
  process.stderr.write("mcptun build: the compiler is not installed: run `npm ci` first\n");
  process.exit(1);
}

const hash = sourceHash();
const target = join(ROOT, "dist");
const aside = join(ROOT, `dist.new-${process.pid}`);
const old = join(ROOT, `dist.old-${process.pid}`);

try {
  process.exitCode = run();
} finally {
  rmSync(aside, { recursive: true, force: true });
  rmSync(old, { recursive: true, force: true });
}

function run() {
  const result = spawnSync(process.execPath, [COMPILER, "--noEmitOnError", "--outDir", aside], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.status !== 0) return 1;

  for (const name of [...listFiles("tests"), ...listFiles("src")]) {
    if (name.endsWith(".ts")) continue;
    mkdirSync(dirname(join(aside, name)), { recursive: true });
    cpSync(join(ROOT, name), join(aside, name));
  }
  // npm makes it so once, when it links the command; a new build must not take it back.
  const program = join(aside, "src", "main.js");
  if (existsSync(program)) chmodSync(program, 0o755);
  writeFileSync(join(aside, basename(BUILD_STAMP)), `${hash}\n`);

  if (existsSync(target)) renameSync(target, old);
  renameSync(aside, target);
  return 0;
}
