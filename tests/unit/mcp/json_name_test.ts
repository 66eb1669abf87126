import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { MAX_FOLDED_NAME_BYTES } from "../../../src/limits.ts";
import { decodeName, hashOfEscaped, nameKey } from "../../../src/mcp/json_name.ts";
import { hashOfName } from "../../../src/mcp/shape.ts";

test("an escaped name has the key and the hash of its plain form", () => {
  const cases: readonly (readonly [escaped: string, plain: string])[] = [
    ["\\u0061", "a"],
    ["a\\/b", "a/b"],
    ['\\"\\\\\\/\\b\\f\\n\\r\\t', '"\\/\b\f\n\r\t'],
    ["\\u0000", "\u0000"],
    ["\\u007f\\u0080", "\u007f\u0080"],
    ["\\u07ff\\u0800", "\u07ff\u0800"],
    ["\\uD7FF\\ue000\\uFfFf", "\ud7ff\ue000\uffff"],
    ["\\ud83d\\ude00", "😀"],
    ["\\ud800\\udc00\\uDBFF\\uDFFF", "\u{10000}\u{10ffff}"],
    ["é\\u00e9😀\\u0065nd", "éé😀end"],
    ["\\u006e".repeat(MAX_FOLDED_NAME_BYTES), "n".repeat(MAX_FOLDED_NAME_BYTES)],
  ];
  let count = 0;

  for (const [escaped, plain] of cases) {
    const bytes = Buffer.from(`{"${escaped}":1}`);
    const end = bytes.length - 4;
    const form = Buffer.from(plain).toString("latin1");
    assert.equal(decodeName(bytes, 2, end, 1), plain);
    assert.equal(nameKey(bytes, 2, end, 1), form, escaped);
    // A text of the bytes, so that the hash of ASCII names takes them as they are.
    assert.equal(hashOfEscaped(bytes, 2, end), hashOfName(form), escaped);
    count++;
  }

  assert.equal(count, 11);
});
