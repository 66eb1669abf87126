import assert from "node:assert/strict";
import { test } from "node:test";

import { type KeyPath, locateKeys } from "../../../src/config/key_locator.ts";

const TEXT = `# comment with [brackets] and a = 1
top = "a # no comment ] }"
[ edge ] # trailing
listen = 'x'
"quoted \\u0061" = """
not = "a key"
""\\"
"""
dotted . inner."deep" = [1, [2, 3], # comment ]
  4]
[[tunnel]]
name = "a"
[[tunnel]]
  name = "b"
[tunnel.sub]
key = 1
[rift]
expose = [{ tunnel = "x", upstream = "}" }, { tunnel = "y" }]
[[rift2.expose]]
'it''' = 1
`.replace("'it'''", "'it'");

test("keys are found wherever TOML lets them stand", () => {
  const locator = locateKeys(TEXT);
  const cases: [KeyPath, string][] = [
    [["top"], "2:1"],
    [["edge"], "3:3"],
    [["edge", "listen"], "4:1"],
    [["edge", "quoted a"], "5:1"],
    [["edge", "dotted", "inner"], "9:10"],
    [["edge", "dotted", "inner", "deep"], "9:16"],
    [["edge", "dotted", "inner", "deep", 2], "10:3"],
    [["tunnel", 0, "name"], "12:1"],
    [["tunnel", 1], "13:3"],
    [["tunnel", 1, "name"], "14:3"],
    [["tunnel", 1, "sub", "key"], "16:1"],
    [["rift", "expose", 0, "upstream"], "18:27"],
    [["rift", "expose", 1, "tunnel"], "18:47"],
    [["rift2", "expose", 0, "it"], "20:1"],
  ];

  for (const [path, expected] of cases) {
    const { line, column } = locator.locate(path);

    assert.equal(`${line}:${column}`, expected, JSON.stringify(path));
  }
});

test("a key that is not written is found at its nearest table", () => {
  const locator = locateKeys(TEXT);

  assert.deepEqual(locator.locate(["tunnel", 1, "path"]), { line: 13, column: 3 });
  assert.deepEqual(locator.locate(["nowhere"]), { line: 1, column: 1 });
});

test("any text ends the walk, also one that is not TOML", () => {
  for (
    const text of ["[", "a", "=", "a = [", "a = {", 'a = "', "[[a", "a = ,", "]", "a.b.=", "a\0b"]
  ) {
    locateKeys(text).locate(["a"]);
  }
});
