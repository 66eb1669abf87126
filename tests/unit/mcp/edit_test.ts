import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { MAX_PROTOCOL_MEMBERS } from "../../../src/limits.ts";
import type { JsonDocument } from "../../../src/mcp/document.ts";
import {
  appendMember,
  applyEdits,
  removeChildren,
  replaceValue,
  stripCapabilities,
} from "../../../src/mcp/edit.ts";
import { scanJson } from "../../../src/mcp/scanner.ts";
import { LEAF, REQUEST_SHAPE } from "../../../src/mcp/shape.ts";
import type { Shape } from "../../../src/mcp/shape.ts";

const LIST: Shape = { element: LEAF };

test("any elements can be removed from a list, and its commas are right", () => {
  let count = 0;
  for (const text of ["[10,11,12,13]", "[ 10 ,\n11\t, 12,13 ]", "[10]", "[]", "[ ]"]) {
    const document = read(text, LIST);
    const all = [...document.children(document.root)];
    for (let mask = 0; mask < 2 ** all.length; mask++) {
      const keeps = (node: number) => (mask & (1 << all.indexOf(node))) !== 0;
      const { before, after, edits } = removeChildren(document, document.root, keeps);
      const edited = applyEdits(document.bytes, edits).toString();
      assert.deepEqual(JSON.parse(edited), all.filter(keeps).map((node) => +document.text(node)));
      assert.equal(before, all.length);
      assert.equal(after, all.filter(keeps).length);
      count++;
    }
  }

  assert.equal(count, 16 + 16 + 2 + 1 + 1);
});

test("edits apply in any order, and those that overlap are refused", () => {
  const bytes = Buffer.from("0123456789");

  assert.equal(
    applyEdits(bytes, [{ start: 8, end: 9, text: "x" }, { start: 1, end: 3, text: "" }]).toString(),
    "034567x9",
  );
  assert.throws(
    () => applyEdits(bytes, [{ start: 1, end: 4, text: "" }, { start: 3, end: 5, text: "" }]),
    RangeError,
  );
});

test("a value is replaced and a member appended, also to an empty object", () => {
  const document = read('{"params":{"_meta":{ },"x":1e2}}', REQUEST_SHAPE);
  const params = document.member(document.root, "params");

  const edited = applyEdits(document.bytes, [
    replaceValue(document, document.member(params, "x"), '"é"'),
    appendMember(document, document.member(params, "_meta"), "a", "1"),
    appendMember(document, params, "b", "[]"),
  ]);

  assert.equal(edited.toString(), '{"params":{"_meta":{ "a":1},"x":"é","b":[]}}');
});

test("capabilities are removed from initialize and from _meta, and nothing else changes", () => {
  const legacy = read(
    '{"id":1,"params":{"capabilities":{"roots":{"listChanged":true}, "sampling":{},' +
      '"tasks":{"requests":{"sampling":{"createMessage":{}},"elicitation":{}}},"experimental":{"n":1e2}}}}',
    REQUEST_SHAPE,
  );
  const modern = read(
    '{"params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"Sampling":{},"elicitation":{}}}}}',
    REQUEST_SHAPE,
  );

  assert.equal(
    stripCapabilities(legacy, ["sampling", "roots"])?.toString(),
    '{"id":1,"params":{"capabilities":{"tasks":{"requests":{"elicitation":{}}},"experimental":{"n":1e2}}}}',
  );
  assert.equal(
    stripCapabilities(modern, ["sampling"])?.toString(),
    '{"params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}',
  );
  assert.equal(stripCapabilities(modern, ["roots"]), undefined);
  assert.equal(stripCapabilities(modern, []), undefined);
});

test("capabilities that are too long or too many to be looked at are removed with the others", () => {
  const marks = `a${"\u0315\u0300".repeat(300)}`;
  const many = Array.from({ length: MAX_PROTOCOL_MEMBERS + 10 }, (_, index) => `"c${index}":{}`);
  const long = read(`{"params":{"capabilities":{"ok":{},"${marks}":{}}}}`, REQUEST_SHAPE);
  const full = read(`{"params":{"capabilities":{${many.join(",")}}}}`, REQUEST_SHAPE);

  assert.equal(
    stripCapabilities(long, ["roots"])?.toString(),
    '{"params":{"capabilities":{"ok":{}}}}',
  );
  const kept = JSON.parse(stripCapabilities(full, ["roots"])?.toString() ?? "");
  assert.equal(Object.keys(kept.params.capabilities).length, MAX_PROTOCOL_MEMBERS);
});

function read(text: string, shape: Shape): JsonDocument {
  const result = scanJson(Buffer.from(text), {
    shape,
    maxBytes: 10_000,
    maxMembers: 1_000,
    loneSurrogates: "refuse",
  });
  assert.ok(result.ok);
  return result.document;
}
