/** The documents: links that lead somewhere, a short README, a complete index of decisions. @module */

import type { FileTexts } from "./check_imports.ts";

const README_LINES = 200;
const DECISIONS = "docs/decisions/";
const INDEX = `${DECISIONS}README.md`;
const RECORD = /^docs\/decisions\/(\d{4})-[a-z0-9-]+\.md$/;
const REQUIRED = [
  "README.md",
  "CHANGELOG.md",
  "SECURITY.md",
  "CONTRIBUTING.md",
  "LICENSE",
  "docs/README.md",
  "docs/architecture.md",
  "docs/errors.md",
  INDEX,
];

/** Every broken promise in the documents. `exists` knows files and folders that `files` leaves out. */
export function checkDocs(files: FileTexts, exists: (path: string) => boolean): string[] {
  const problems = REQUIRED.filter((path) => !files.has(path)).map((path) => `${path}: missing`);
  for (const [path, text] of files) {
    if (path.endsWith(".md")) problems.push(...checkLinks(path, text, files, exists));
  }
  const lines = (files.get("README.md") ?? "").trimEnd().split("\n").length;
  if (lines > README_LINES) {
    problems.push(`README.md: ${lines} lines, at most ${README_LINES}: move parts to docs/`);
  }
  problems.push(...checkDecisions(files));
  return problems;
}

function checkLinks(
  path: string,
  text: string,
  files: FileTexts,
  exists: (path: string) => boolean,
): string[] {
  const problems: string[] = [];
  proseLines(text).forEach((line, index) => {
    for (const match of line.matchAll(/\]\(([^)\s]+)\)/g)) {
      const link = match[1] ?? "";
      if (/^(https?:|mailto:)/.test(link)) continue;
      const url = new URL(link, `file:///${path}`);
      const target = decodeURIComponent(url.pathname.slice(1)).replace(/\/$/, "");
      const where = `${path}:${index + 1}: "${link}"`;
      if (!files.has(target) && !exists(target)) problems.push(`${where} leads nowhere`);
      else if (url.hash !== "" && target.endsWith(".md")) {
        const anchors = anchorsOf(files.get(target) ?? "");
        if (!anchors.has(url.hash.slice(1))) problems.push(`${where}: no such heading`);
      }
    }
  });
  return problems;
}

function checkDecisions(files: FileTexts): string[] {
  const problems: string[] = [];
  const index = files.get(INDEX) ?? "";
  const seen = new Map<string, string>();
  for (const path of files.keys()) {
    if (!path.startsWith(DECISIONS) || path === INDEX) continue;
    const number = RECORD.exec(path)?.[1];
    if (number === undefined) {
      problems.push(`${path}: name it NNNN-title.md`);
      continue;
    }
    const other = seen.get(number);
    if (other !== undefined) problems.push(`${path}: the number is taken by ${other}`);
    seen.set(number, path);
    if (!index.includes(`(${path.slice(DECISIONS.length)})`)) {
      problems.push(`${path}: not in ${INDEX}`);
    }
  }
  return problems;
}

/** The anchors of a document's headings, as the common hosts make them. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const line of proseLines(text)) {
    const heading = /^#{1,6}\s+(.*)$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const words = heading.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "");
    anchors.add(words.replace(/\s/g, "-"));
  }
  return anchors;
}

/** The lines of a document with those of code blocks blanked. */
function proseLines(text: string): string[] {
  let inCode = false;
  return text.split("\n").map((line) => {
    if (/^\s*(```|~~~)/.test(line)) {
      inCode = !inCode;
      return "";
    }
    return inCode ? "" : line.replace(/`[^`]*`/g, "");
  });
}
