/** Every test file is one the runner finds, and only those call the test functions. @module */

import type { FileTexts } from "./check_imports.ts";

/** Test files the runner would miss. `built` is what the build made, relative to its folder. */
export function checkTests(files: FileTexts, built: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  let found = 0;
  for (const [path, text] of files) {
    if (!/\.(ts|mts|mjs|js)$/.test(path)) continue;
    const usesRunner = /^import .*["']node:test["']/m.test(text);
    if (/[._-]test\.\w+$/.test(path)) {
      if (!/^tests\/.*_test\.ts$/.test(path)) {
        problems.push(`${path}: the runner looks for tests/**/*_test.ts`);
        continue;
      }
      found += 1;
      if (!built.has(path.replace(/\.ts$/, ".js"))) problems.push(`${path}: was not built`);
      if (/^\s*(test|describe|it)\.only\(/m.test(text)) problems.push(`${path}: leaves an .only`);
    } else if (usesRunner && /^(test|describe|it)\(/m.test(text)) {
      problems.push(`${path}: holds tests, but its name does not end in _test.ts`);
    }
  }
  if (found === 0) problems.push("tests: no test file");
  return problems;
}
