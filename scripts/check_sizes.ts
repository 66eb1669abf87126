/** No file grows beyond what one person reads in one go. @module */

import type { FileTexts } from "./check_imports.ts";

const WARN_LINES = 400;
const MAX_LINES = 600;
const MAX_TEST_LINES = 800;

/** Files that are too long, and files that will be soon. */
export function checkSizes(files: FileTexts): { problems: string[]; warnings: string[] } {
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const [path, text] of files) {
    if (!/\.(ts|mjs)$/.test(path)) continue;
    const isTest = path.startsWith("tests/") || path.startsWith("bench/");
    const max = isTest ? MAX_TEST_LINES : MAX_LINES;
    const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
    if (lines > max) problems.push(`${path}: ${lines} lines, at most ${max}: split it by idea`);
    else if (!isTest && lines > WARN_LINES) warnings.push(`${path}: ${lines} lines`);
  }
  return { problems, warnings };
}
