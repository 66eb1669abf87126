// test-runtime: node
/**
 * The linter is set up to see what the style guide forbids; a rule lost from `.oxlintrc.json` or a
 * type-aware engine that does not start would otherwise look like clean code.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";

const BAD: readonly (readonly [string, string])[] = [
  ["no-floating-promises", "export function f(): void {\n  Promise.resolve(1);\n}"],
  [
    "no-misused-promises",
    "export function f(g: () => Promise<void>): void {\n  [1].forEach(async () => await g());\n}",
  ],
  [
    "switch-exhaustiveness-check",
    'export function f(a: "x" | "y"): number {\n  switch (a) {\n    case "x":\n      return 1;\n  }\n  return 2;\n}',
  ],
  ["no-explicit-any", "export const a: any = 1;"],
  ["no-default-export", "export default 1;"],
  ["no-console", 'console.log("a");\nexport {};'],
  ["consistent-type-imports", 'import { A } from "./a.ts";\nexport const b: A = 1;'],
  ["eqeqeq", "export const f = (a: number, b: number): boolean => a == b;"],
  ["only-throw-error", 'export function f(): never {\n  throw "a";\n}'],
];

test("the linter reports every kind of forbidden code", () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-lint-"));
  try {
    const tsconfig = { compilerOptions: { strict: true, target: "ES2023", module: "nodenext" } };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(tsconfig));
    writeFileSync(join(folder, "a.ts"), "export type A = number;\n");
    BAD.forEach(([, text], index) => writeFileSync(join(folder, `bad_${index}.ts`), `${text}\n`));

    const oxlint = resolve("node_modules/oxlint/bin/oxlint");
    const config = resolve(".oxlintrc.json");
    const result = spawnSync(
      process.execPath,
      [oxlint, "--type-aware", "--format=unix", "--config", config, "."],
      {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, OXLINT_TSGOLINT_PATH: resolve("node_modules/.bin/tsgolint") },
      },
    );

    assert.equal(result.status, 1, result.stderr);
    BAD.forEach(([rule], index) => {
      const found = result.stdout.split("\n").some((line) =>
        line.startsWith(`bad_${index}.ts:`) && line.includes(`(${rule})`)
      );
      assert.ok(found, `${rule} was not reported:\n${result.stdout}`);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
