/**
 * Makes a clone ready to run: installs and builds, each only when something changed.
 *
 * Needs Node and npm, nothing else. Quiet and fast when there is nothing to do.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { accessSync, chmodSync, constants, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  BUILD_STAMP,
  denoBinary,
  INSTALL_STAMP,
  installHash,
  readStamp,
  ROOT,
  sourceHash,
} from "./tree.mjs";

const LEAST_NODE = [20, 18, 1];
/** Platforms the native QUIC library has a binary for. */
const PLATFORMS = ["darwin-arm64", "darwin-x64", "linux-x64", "win32-x64"];

/** Ends with a complaint that says what to do. */
function fail(message) {
  process.stderr.write(`mcptun set-up: ${message}\n`);
  process.exit(1);
}

function say(message) {
  process.stderr.write(`mcptun set-up: ${message}\n`);
}

function checkMachine() {
  const version = process.versions.node.split(".").map(Number);
  const difference = LEAST_NODE.map((least, index) => version[index] - least)
    .find((step) => step !== 0);
  if (difference < 0) {
    fail(`Node ${process.versions.node} is too old: install Node ${LEAST_NODE.join(".")} or newer`);
  }
  const platform = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(platform)) {
    fail(
      `no QUIC library for ${platform}: @matrixai/quic has binaries for ${PLATFORMS.join(", ")}. ` +
        "Run mcptun on one of these",
    );
  }
}

function install(wanted) {
  say("installing dependencies (npm ci), once");
  // npm is a shell script or a .cmd file; under `npm start` its JavaScript entry is known.
  const entry = process.env.npm_execpath;
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const [command, head] = entry?.endsWith("js") ? [process.execPath, [entry]] : ["npm", []];
  // In an environment of production npm would leave out what the build needs.
  const result = spawnSync(command, [...head, ...args, "--include=dev", "--include=optional"], {
    cwd: ROOT,
    stdio: ["ignore", 2, 2],
    shell: command === "npm" && process.platform === "win32",
  });
  if (result.error?.code === "ENOENT") fail("npm was not found: install it, it comes with Node");
  if (result.error) fail(`npm could not be started: ${result.error.message}`);
  if (result.status !== 0) fail("npm ci failed; its own messages are above");
  checkBinaries();
  writeFileSync(INSTALL_STAMP, `${wanted}\n`);
}

function checkBinaries() {
  const name = `@matrixai/quic-${process.platform}-${process.arch}`;
  if (!existsSync(join(ROOT, "node_modules", name))) {
    fail(`${name} was not installed: check that npm is allowed to install optional dependencies`);
  }
  const deno = denoBinary();
  if (deno === undefined) {
    say("no Deno binary for this platform: mcptun runs on Node, `npm test` will need --node-only");
    return;
  }
  try {
    accessSync(deno, constants.X_OK);
  } catch {
    chmodSync(deno, 0o755);
  }
}

function build() {
  say("building");
  const script = join(ROOT, "scripts", "build.mjs");
  const result = spawnSync(process.execPath, [script], { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (result.status !== 0) fail("the build failed; the compiler's messages are above");
}

checkMachine();
const wanted = installHash();
if (readStamp(INSTALL_STAMP) !== wanted) install(wanted);
if (readStamp(BUILD_STAMP) !== sourceHash()) build();
