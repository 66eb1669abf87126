import assert from "node:assert/strict";
import { test } from "node:test";

import { checkImports, importsOf } from "../../../scripts/check_imports.ts";

interface Breach {
  readonly name: string;
  readonly path: string;
  readonly text: string;
  readonly complaint: RegExp;
}

const GROUND: ReadonlyMap<string, string> = new Map([
  ["src/errors.ts", "export const x = 1;\n"],
  ["src/wire/varint.ts", "export const x = 1;\n"],
  ["src/mcp/era.ts", "export const x = 1;\n"],
  ["src/config/load.ts", "export const x = 1;\n"],
  ["src/runtime/secret.ts", "export const x = 1;\n"],
  ["src/edge/edge.ts", "export const x = 1;\n"],
  ["src/main.ts", "process.exitCode = 1;\n"],
]);

const BREACHES: readonly Breach[] = [
  {
    name: "an import upward",
    path: "src/config/a.ts",
    text: 'import { x } from "../edge/edge.ts";',
    complaint: /^src\/config\/a\.ts:1: "\.\.\/edge\/edge\.ts" is of level 3, above 2$/,
  },
  {
    name: "a type import upward, over several lines",
    path: "src/config/a.ts",
    text: 'import type {\n  x,\n} from "../edge/edge.ts";',
    complaint: /^src\/config\/a\.ts:3: .* level 3, above 2$/,
  },
  {
    name: "a rift that imports the edge",
    path: "src/rift/a.ts",
    text: 'export { x } from "../edge/edge.ts";',
    complaint: /rift and edge are of one level and never import each other/,
  },
  {
    name: "an edge that imports the rift, dynamically",
    path: "src/edge/a.ts",
    text: 'const rift = await import("../rift/rift.ts");',
    complaint: /"\.\.\/rift\/rift\.ts" does not exist/,
  },
  {
    name: "one level-2 folder that imports another",
    path: "src/identity/a.ts",
    text: 'import type { x } from "../config/load.ts";',
    complaint: /identity and config are of one level/,
  },
  {
    name: "one pure folder that imports another",
    path: "src/wire/a.ts",
    text: 'import { x } from "../mcp/era.ts";',
    complaint: /wire and mcp are of one level/,
  },
  {
    name: "a pure folder that imports runtime/",
    path: "src/wire/a.ts",
    text: 'import { x } from "../runtime/secret.ts";',
    complaint: /level 2, above 1/,
  },
  {
    name: "a Node module in a pure folder",
    path: "src/wire/a.ts",
    text: 'import { readFileSync } from "node:fs";',
    complaint: /"node:fs" in a pure file/,
  },
  {
    name: "the clock in a pure folder",
    path: "src/policy/a.ts",
    text: "const now = Date.now();",
    complaint: /passed in to a pure folder/,
  },
  {
    name: "a library outside of its room",
    path: "src/edge/a.ts",
    text: 'import { quiche } from "@matrixai/quic/native/quiche.js";',
    complaint: /"@matrixai\/quic" may be imported in src\/transport\/quic\/ only/,
  },
  {
    name: "a library outside of its one file",
    path: "src/runtime/a.ts",
    text: 'import { pino } from "pino";',
    complaint: /"pino" may be imported in src\/runtime\/pino_log\.ts only/,
  },
  {
    name: "a library without a room",
    path: "src/edge/a.ts",
    text: 'import { x } from "left-pad";',
    complaint: /"left-pad" has no room/,
  },
  {
    name: "a builtin without its prefix",
    path: "src/edge/a.ts",
    text: 'import "fs";',
    complaint: /"fs" has no room/,
  },
  {
    name: "an import without its extension",
    path: "src/edge/a.ts",
    text: 'import { x } from "../errors";',
    complaint: /must end in \.ts/,
  },
  {
    name: "an import from outside of src/",
    path: "src/edge/a.ts",
    text: 'import { x } from "../../tests/support/a.ts";',
    complaint: /outside of src\//,
  },
  {
    name: "Deno outside of runtime/",
    path: "src/edge/a.ts",
    text: "const pid = Deno.pid;",
    complaint: /"Deno\." belongs in src\/runtime\//,
  },
  {
    name: "an exit outside of main.ts",
    path: "src/cli/a.ts",
    text: "process.exit(1);",
    complaint: /exit code belongs to src\/main\.ts/,
  },
  {
    name: "a folder without a level",
    path: "src/utils/a.ts",
    text: "",
    complaint: /no level/,
  },
];

test("checkImports() accepts what the rule allows", () => {
  const files = new Map([
    ...GROUND,
    [
      "src/transport/quic/a.ts",
      [
        'import { createSocket } from "node:dgram";',
        'import quiche from "@matrixai/quic/native/quiche.js";',
        'import { x } from "../../errors.ts";',
        'import { y } from "../../wire/varint.ts";',
        'import { z } from "../../runtime/secret.ts";',
        '// import { no } from "../../edge/edge.ts";',
      ].join("\n"),
    ],
    ["src/wire/b.ts", 'import { Buffer } from "node:buffer";\nimport "./varint.ts";'],
    ["tests/unit/a_test.ts", 'import "left-pad";'],
  ]);

  assert.deepEqual(checkImports(files), []);
});

test("checkImports() names each breach of the rule", async (t) => {
  let ran = 0;
  for (const { name, path, text, complaint } of BREACHES) {
    await t.test(name, () => {
      const problems = checkImports(new Map([...GROUND, [path, text]]));

      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0] ?? "", complaint);
    });
    ran += 1;
  }
  assert.equal(ran, 18);
});

test("importsOf() sees every way to import, with its line", () => {
  const text = [
    'import a from "a";',
    'import type { b } from "b";',
    'export * from "c";',
    'import "d";',
    "",
    'const e = await import("e");',
    'type F = import("f").F;',
    'const g = require("g");',
    'const text = "import h from nowhere";',
  ].join("\n");

  const found = importsOf(text);

  assert.deepEqual(found.map(({ specifier }) => specifier), ["a", "b", "c", "d", "e", "f", "g"]);
  assert.deepEqual(found.map(({ line }) => line), [1, 2, 3, 4, 6, 7, 8]);
});
