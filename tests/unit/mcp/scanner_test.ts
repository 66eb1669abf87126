import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import {
  MAX_COMPARED_NAMES,
  MAX_JSON_DEPTH,
  MAX_NAME_STEPS,
  MAX_PROTOCOL_MEMBERS,
} from "../../../src/limits.ts";
import type { JsonDocument } from "../../../src/mcp/document.ts";
import { NONE } from "../../../src/mcp/document.ts";
import { scanJson } from "../../../src/mcp/scanner.ts";
import type { ScanCode, ScanOptions } from "../../../src/mcp/scanner.ts";
import { hashOfName, LEAF, REQUEST_SHAPE } from "../../../src/mcp/shape.ts";
import { nameOfEqualHash, namesOfOneSlot } from "../../support/equal_hashes.ts";

const OPTIONS: ScanOptions = {
  shape: LEAF,
  maxBytes: 1_000_000,
  maxMembers: 10_000,
  loneSurrogates: "refuse",
};

test("a text that is refused is refused with its code, at the byte that cannot stand", () => {
  const cases: readonly (readonly [text: string | number[], code: ScanCode, offset: number])[] = [
    ["", "empty", 0],
    [" \n", "empty", 2],
    ["[1,]", "syntax", 3],
    ['{"a":1,}', "syntax", 7],
    ['{"a":1', "unterminated", 6],
    ['"abc', "unterminated", 4],
    ['"abc\\', "unterminated", 5],
    ["tru", "syntax", 0],
    ["truex", "trailing", 4],
    ["[1] 2", "trailing", 4],
    ["01", "trailing", 1],
    ["[-]", "number", 1],
    ["[1.e3]", "number", 1],
    ['["\n"]', "control_character", 2],
    ['["\\q"]', "escape", 2],
    ['["\\u00g0"]', "escape", 2],
    ['["a\\ud800"]', "surrogate", 3],
    ['{"\\udc00":1}', "surrogate", 2],
    ['{"a":1,"a":2}', "duplicate", 7],
    ['{"a":1,"\\u0061":2}', "duplicate", 7],
    [[0xef, 0xbb, 0xbf, 0x31], "bom", 0],
    [[0x5b, 0x22, 0x61, 0xc3, 0x28, 0x22, 0x5d], "utf8", 3],
    [[0x22, 0xe2, 0x82, 0xac, 0xff, 0x22], "utf8", 4],
  ];
  let count = 0;

  for (const [text, code, offset] of cases) {
    const result = scanJson(
      typeof text === "string" ? Buffer.from(text) : Buffer.from(text),
      OPTIONS,
    );
    assert.deepEqual(result, { ok: false, code, offset }, JSON.stringify(text));
    count++;
  }

  assert.equal(count, 23);
});

test("every bound of the scanner holds at its limit and not above it", () => {
  const nested = (depth: number) => Buffer.from("[".repeat(depth) + "]".repeat(depth));
  const named = (names: number) =>
    Buffer.from(`{${Array.from({ length: names }, (_, index) => `"${index}":0`).join(",")}}`);

  assert.equal(scanJson(nested(MAX_JSON_DEPTH), OPTIONS).ok, true);
  assert.deepEqual(codeOf(nested(MAX_JSON_DEPTH + 1)), "depth");
  assert.equal(scanJson(named(10), { ...OPTIONS, maxMembers: 10 }).ok, true);
  assert.deepEqual(codeOf(named(11), { maxMembers: 10 }), "members");
  assert.equal(scanJson(Buffer.from("[1]"), { ...OPTIONS, maxBytes: 3 }).ok, true);
  assert.deepEqual(codeOf(Buffer.from("[1]"), { maxBytes: 2 }), "too_large");
});

test("an object of the protocol has few members, and arguments as many as the message may", () => {
  const names = Array.from({ length: MAX_PROTOCOL_MEMBERS + 1 }, (_, index) => `"k${index}":0`);
  const params = (list: readonly string[]) => Buffer.from(`{"params":{${list.join(",")}}}`);
  const shape = REQUEST_SHAPE;

  assert.equal(codeOf(params(names.slice(1)), { shape }), undefined);
  assert.equal(codeOf(params(names), { shape }), "members");
  // The same where the names are in a set.
  const equal = [0, 1, 2].map((index) => `"${nameOfEqualHash(index, 2)}":0`);
  assert.equal(codeOf(params([...equal, ...names.slice(4)]), { shape }), undefined);
  assert.equal(codeOf(params([...equal, ...names.slice(3)]), { shape }), "members");
  const free = Buffer.from(`{"params":{"arguments":{${names.join(",")}}}}`);
  assert.equal(codeOf(free, { shape }), undefined);
});

test("a member that is there twice is found in objects of any size, at any place", () => {
  let count = 0;
  for (const size of [2, MAX_COMPARED_NAMES - 1, MAX_COMPARED_NAMES, MAX_COMPARED_NAMES + 1, 300]) {
    const names = Array.from({ length: size }, (_, index) => `"k${index}":{"k0":0}`);
    for (const again of new Set([0, size >> 1, size - 1])) {
      for (const twin of [`"k${again}":1`, `"\\u006b${again}":1`]) {
        assert.equal(codeOf(Buffer.from(`{${[...names, twin].join(",")}}`)), "duplicate");
        count++;
      }
    }
    assert.equal(scanJson(Buffer.from(`{${names.join(",")}}`), OPTIONS).ok, true);
  }

  assert.equal(count, 28);
});

test("names whose hashes are equal are still told apart, few and many, plain and escaped", () => {
  assert.equal(hashOfName(nameOfEqualHash(0, 9)), hashOfName(nameOfEqualHash(511, 9)));
  let count = 0;
  for (const ordinary of [0, MAX_COMPARED_NAMES, 300]) {
    for (const equal of [2, 3, MAX_COMPARED_NAMES + 1, 400]) {
      for (const escaped of ["", "\\u006"]) {
        const names = [
          ...Array.from({ length: ordinary }, (_, index) => `k${index}`),
          // Both blocks begin with a letter whose code is 6a to 6f.
          ...Array.from({ length: equal }, (_, index) => {
            const name = nameOfEqualHash(index, 9);
            return escaped === "" ? name : `${escaped}${hexOf(name).slice(1)}${name.slice(1)}`;
          }),
        ];
        const members = names.map((name) => `"${name}":0`).join(",");
        assert.equal(codeOf(Buffer.from(`{${members}}`)), undefined);
        for (const again of [0, ordinary, ordinary + 1, names.length - 1]) {
          const result = scanJson(Buffer.from(`{${members},"${names[again]}":1}`), OPTIONS);
          const offset = members.length + 2;
          assert.deepEqual(result, { ok: false, code: "duplicate", offset });
          count++;
        }
      }
    }
  }

  assert.equal(count, 96);
});

test("names that crowd one slot of a table are still told apart, also when the table grows", () => {
  const crowd = namesOfOneSlot(MAX_NAME_STEPS + 20);
  const ordinary = Array.from({ length: 600 }, (_, index) => `k${index}`);
  let count = 0;
  for (const more of [0, 1, 100, 600]) {
    const names = [...crowd.slice(10), ...ordinary.slice(0, more), ...crowd.slice(0, 10)];
    const members = names.map((name) => `"${name}":0`).join(",");
    assert.equal(codeOf(Buffer.from(`{${members}}`)), undefined);
    for (const again of crowd) {
      const result = scanJson(Buffer.from(`{${members},"${again}":1}`), OPTIONS);
      assert.deepEqual(result, { ok: false, code: "duplicate", offset: members.length + 2 });
      count++;
    }
  }

  assert.equal(count, 4 * (MAX_NAME_STEPS + 20));
});

test("an object does not get the crowded names of the one before it", () => {
  const crowd = namesOfOneSlot(MAX_NAME_STEPS + 8).map((name) => `"${name}":0`).join(",");
  const equal = [0, 1, 2, 3].map((index) => `"${nameOfEqualHash(index, 2)}":0`).join(",");

  for (const members of [crowd, equal]) {
    const source = `[{${members}},{"a":{${members}},${members}},{${members}}]`;
    assert.equal(codeOf(Buffer.from(source)), undefined);
  }
});

test("objects with many members inside one another keep their names apart", () => {
  const members = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `"k${from + index}":0`).join(",");
  const sizes = [1, MAX_COMPARED_NAMES, MAX_COMPARED_NAMES + 1, 100];
  let count = 0;
  for (const outer of sizes) {
    for (const inner of sizes) {
      // The object inside comes where the one around it has `outer` names, and gets all of them again.
      const text = (more: string, end: string) =>
        `{${members(0, outer)},"in":[{${members(0, inner)},"in":{${members(0, outer)}}${more}},` +
        `{${members(0, inner)}}],${members(outer, outer + 50)}${end}}`;
      assert.equal(codeOf(Buffer.from(text("", ""))), undefined);
      assert.equal(codeOf(Buffer.from(text(',"k0":1', ""))), "duplicate");
      for (const again of [0, outer - 1, outer, outer + 49]) {
        const bytes = Buffer.from(text("", `,"k${again}":1`));
        const offset = bytes.lastIndexOf(",") + 1;
        assert.deepEqual(scanJson(bytes, OPTIONS), { ok: false, code: "duplicate", offset });
        count++;
      }
    }
  }

  assert.equal(count, 64);
});

test("a lone surrogate passes in a value of a server's message, and never in a name", () => {
  const keep = { ...OPTIONS, loneSurrogates: "keep" } as const;

  assert.equal(scanJson(Buffer.from('{"a":"\\ud83d","b":"\\udc00\\ud83d\\ude00"}'), keep).ok, true);
  assert.equal(codeOf(Buffer.from('{"\\ud83d":1}'), keep), "surrogate");
});

test("the ranges of a request are those of its members", () => {
  const text = ' {"jsonrpc" : "2.0" ,"id":9007199254740993, "method":"tools\\/call",' +
    '"params":{"name":"\\u0061","arguments":{"x":[1e2,{"y":1}]},"_meta":{}}} ';
  const document = read(text);
  const part = (node: number) => text.slice(document.start(node), document.end(node));
  const { root } = document;
  const params = document.member(root, "params");

  assert.equal(part(root), text.trim());
  assert.equal(document.text(document.member(root, "id")), "9007199254740993");
  assert.equal(document.string(document.member(root, "method")), "tools/call");
  assert.equal(document.string(document.member(params, "name")), "a");
  assert.equal(part(document.member(params, "arguments")), '{"x":[1e2,{"y":1}]}');
  assert.equal(document.member(document.member(params, "arguments"), "x"), NONE);
  assert.equal(document.kind(document.member(params, "_meta")), "object");
  assert.equal(document.member(root, "result"), NONE);
  assert.deepEqual([...document.children(params)].map((node) => document.name(node)), [
    "name",
    "arguments",
    "_meta",
  ]);
  assert.equal(text[document.memberStart(params)], '"');
});

test("the bytes may be a view into a larger buffer", () => {
  const larger = new Uint8Array(Buffer.from('xx{"a":1}yy'));

  assert.equal(scanJson(larger.subarray(2, 9), OPTIONS).ok, true);
});

/** The code of the first character. */
function hexOf(name: string): string {
  return name.charCodeAt(0).toString(16);
}

function read(text: string): JsonDocument {
  const result = scanJson(Buffer.from(text), { ...OPTIONS, shape: REQUEST_SHAPE });
  assert.ok(result.ok);
  return result.document;
}

function codeOf(bytes: Uint8Array, more: Partial<ScanOptions> = {}): ScanCode | undefined {
  const result = scanJson(bytes, { ...OPTIONS, ...more });
  return result.ok ? undefined : result.code;
}
