/** Nothing of the machine it was written on, and nothing unfinished, is in a file. @module */

import type { FileTexts } from "./check_imports.ts";

/** Files that must spell out what they forbid. */
const EXEMPT = new Set(["scripts/check_text.ts", "tests/unit/scripts/check_text_test.ts"]);

const FORBIDDEN: readonly { readonly pattern: RegExp; readonly complaint: string }[] = [
  {
    pattern: /(?<![\w.~/])\/(?:work|root|Users|home)\/(?!user\/|alice\/|mcptun\/)[\w.-]+/,
    complaint: "a path of one machine",
  },
  { pattern: /[A-Z]:\\Users\\/, complaint: "a path of one machine" },
  { pattern: /https?:\/\/[\w.-]*registry[\w.-]*\//i, complaint: "a package registry's address" },
  { pattern: /\b(?:TODO|FIXME|XXX)\b/, complaint: "unfinished work" },
  { pattern: /^(?:<{7}|>{7}) /, complaint: "a merge conflict" },
  {
    pattern: /-----BEGIN (?:EC |RSA )?PRIVATE KEY-----(?=.*[A-Za-z0-9+/]{40})/,
    complaint: "a private key",
  },
  { pattern: /\bmcp[atu]_[A-Za-z0-9_-]{40,}/, complaint: "a credential or token" },
];

interface LockEntry {
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
}

/** Every line of a file that must not be there. */
export function checkText(files: FileTexts): string[] {
  const problems: string[] = [];
  for (const [path, text] of files) {
    if (EXEMPT.has(path) || path === "package-lock.json") continue;
    text.split("\n").forEach((line, index) => {
      for (const { pattern, complaint } of FORBIDDEN) {
        if (pattern.test(line)) problems.push(`${path}:${index + 1}: ${complaint}`);
      }
    });
  }
  problems.push(...checkLock(files.get("package-lock.json")));
  return problems;
}

/** The lock must install from whatever registry the machine is set to, and verify what it gets. */
function checkLock(text: string | undefined): string[] {
  if (text === undefined) return ["package-lock.json: missing"];
  const problems: string[] = [];
  text.split("\n").forEach((line, index) => {
    const url = /"resolved"|https?:\/\/[^"]*\.tgz/.test(line);
    if (url) problems.push(`package-lock.json:${index + 1}: names the registry it came from`);
  });
  const lock = JSON.parse(text) as { readonly packages?: Readonly<Record<string, LockEntry>> };
  for (const [path, entry] of Object.entries(lock.packages ?? {})) {
    // Binaries of platforms that the lock was not made on are known by their exact version alone.
    const isForeign = entry.optional === true && entry.os !== undefined;
    if (path !== "" && entry.integrity === undefined && !isForeign) {
      problems.push(`package-lock.json: ${path} has no integrity hash`);
    }
  }
  return problems;
}
