/**
 * What the set-up scripts share: where things are, and the hashes that say whether something changed.
 *
 * Dependency-free: runs before anything is installed.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository root. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Where the last installation wrote what it installed. */
export const INSTALL_STAMP = join(ROOT, "node_modules", ".mcptun-setup");

/** Where the last build wrote what it built. */
export const BUILD_STAMP = join(ROOT, "dist", ".mcptun-build");

const SOURCE_FOLDERS = ["src", "tests", "bench", "scripts"];
const SOURCE_FILES = ["mod.ts", "tsconfig.json", "package.json", "package-lock.json"];
const UNHASHED_FOLDERS = new Set(["node_modules", "results", "tmp"]);

/** Every file below `folder`, sorted, as paths with `/` relative to `root`. */
export function listFiles(folder, root = ROOT) {
  const found = [];
  const walk = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      if (entry.isFile()) found.push(relative(root, child).replaceAll("\\", "/"));
      else if (entry.isDirectory() && !UNHASHED_FOLDERS.has(entry.name)) walk(child);
    }
  };
  const start = join(root, folder);
  if (existsSync(start)) walk(start);
  return found.sort();
}

/** Every file a build depends on. */
export function sourceFiles(root = ROOT) {
  const files = SOURCE_FILES.filter((name) => existsSync(join(root, name)));
  for (const folder of SOURCE_FOLDERS) files.push(...listFiles(folder, root));
  return files.filter((name) => !name.endsWith(".mjs"));
}

/** A hash over the names and bytes of everything a build depends on. */
export function sourceHash(root = ROOT) {
  const hash = createHash("sha256");
  for (const name of sourceFiles(root)) {
    hash.update(name).update("\0").update(readFileSync(join(root, name))).update("\0");
  }
  return hash.digest("hex");
}

/** A hash over everything an installation depends on; a changed npm script is not one of them. */
export function installHash(root = ROOT) {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { dependencies, devDependencies, optionalDependencies, overrides } = manifest;
  return createHash("sha256")
    .update(JSON.stringify({ dependencies, devDependencies, optionalDependencies, overrides }))
    .update(readFileSync(join(root, "package-lock.json")))
    .update(`${process.platform} ${process.arch}`)
    .digest("hex");
}

/** The text of a stamp, or an empty one. */
export function readStamp(path) {
  return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
}

/** The Deno binary that came with the npm package `deno`; needs no install script. */
export function denoBinary(root = ROOT) {
  const libc = process.platform === "linux" ? "-glibc" : "";
  const name = process.platform === "win32" ? "deno.exe" : "deno";
  const folder = `${process.platform}-${process.arch}${libc}`;
  const path = join(root, "node_modules", "@deno", folder, name);
  return existsSync(path) ? path : undefined;
}
