import assert from "node:assert/strict";
import { test } from "node:test";

import { checkText } from "../../../scripts/check_text.ts";

const LOCK = JSON.stringify(
  {
    packages: {
      "": { version: "1" },
      "node_modules/a": { version: "2", integrity: "sha512-x" },
      "node_modules/a-win32": { version: "2", optional: true, os: ["win32"] },
    },
  },
  undefined,
  2,
);

const FORBIDDEN: readonly (readonly [string, RegExp])[] = [
  [`see ${"/"}work/tree/src`, /a path of one machine/],
  ["see /home/bob/code", /a path of one machine/],
  [`see ${"/"}root/.profile`, /a path of one machine/],
  ["see C:\\Users\\bob", /a path of one machine/],
  [`from https://${"registry"}.npmjs.org/a`, /a package registry's address/],
  ["// TODO: finish", /unfinished work/],
  ["<<<<<<< ours", /a merge conflict/],
  [`-----BEGIN PRIVATE KEY-----\\n${"M".repeat(60)}`, /a private key/],
  [`token = "mcpt_${"a".repeat(60)}"`, /a credential or token/],
  [`token = "mcpa_${"a".repeat(43)}"`, /a credential or token/],
];

function textWith(line: string, lock = LOCK): string[] {
  return checkText(new Map([["package-lock.json", lock], ["src/a.ts", `\n${line}\n`]]));
}

test("checkText() accepts ordinary text", () => {
  assert.deepEqual(textWith("src/home/root.ts, ./work/a and https://example.com/work/tree"), []);
});

test("checkText() names each forbidden text with its line", () => {
  let ran = 0;
  for (const [line, complaint] of FORBIDDEN) {
    const problems = textWith(line);
    assert.equal(problems.length, 1, line);
    assert.match(problems[0] ?? "", /^src\/a\.ts:2: /);
    assert.match(problems[0] ?? "", complaint);
    ran += 1;
  }
  assert.equal(ran, 10);
});

test("checkText() refuses a lock that names a registry or lacks a hash, and a missing one", () => {
  const resolved = LOCK.replace('"integrity"', '"resolved": "x",\n"integrity"');
  assert.match(textWith("", resolved).join(), /names the registry/);
  assert.match(textWith("", LOCK.replace('"integrity"', '"other"')).join(), /no integrity hash/);
  assert.deepEqual(checkText(new Map()), ["package-lock.json: missing"]);
});
