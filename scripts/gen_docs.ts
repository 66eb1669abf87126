/**
 * Writes what is made from the configuration schema: `config.example.toml` and the tables in
 * `docs/configuration.md`. With `--check` it writes nothing and fails when they are out of date.
 *
 * @module
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { renderExample, renderTables } from "../src/config/reference.ts";

const START = "<!-- keys: generated from src/config/schema.ts by scripts/gen_docs.ts -->";
const END = "<!-- end of keys -->";

/** Each generated file and its content; `read` gives a file of the repository. */
export function generatedFiles(read: (path: string) => string): Map<string, string> {
  const page = read("docs/configuration.md");
  const start = page.indexOf(START);
  const end = page.indexOf(END);
  if (start === -1 || end < start) {
    throw new Error("Cannot fill docs/configuration.md: its two markers are missing");
  }
  const filled = `${page.slice(0, start)}${START}\n\n${renderTables()}\n\n${page.slice(end)}`;
  return new Map([["config.example.toml", renderExample()], ["docs/configuration.md", filled]]);
}

/** The folder that holds `package.json`, from the sources as well as from the built files. */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

function main(): void {
  const root = repositoryRoot();
  const readIfThere = (path: string) =>
    existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : "";
  for (const [path, content] of generatedFiles(readIfThere)) {
    if (readIfThere(path) === content) continue;
    if (process.argv.includes("--check")) {
      console.error(`${path} is out of date: run deno run -A scripts/gen_docs.ts`);
      process.exitCode = 1;
    } else {
      writeFileSync(join(root, path), content);
      console.log(`wrote ${path}`);
    }
  }
}

if (process.argv[1] !== undefined && /gen_docs\.[jt]s$/.test(process.argv[1])) main();
