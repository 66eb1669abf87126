import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { MAX_COMPARED_NAMES, MAX_EQUAL_HASHES, MAX_NAME_STEPS } from "../../../src/limits.ts";
import {
  ADDED,
  compareNames,
  CROWDED,
  DUPLICATE,
  firstSlot,
  NAME_STRIDE,
  NameTables,
} from "../../../src/mcp/name_table.ts";
import { scanJson } from "../../../src/mcp/scanner.ts";
import { hashOfName, LEAF } from "../../../src/mcp/shape.ts";
import { nameOfEqualHash, namesOfHash, namesOfOneSlot } from "../../support/equal_hashes.ts";

test("ordinary names never crowd a table, however many there are", () => {
  const forms = [
    (index: number) => `key-${index}`,
    (index: number) => index.toString(36),
    (index: number) => `${index * 7_919}`,
    (index: number) => `src/part${index % 100}/file_${index}.ts`,
  ];
  let count = 0;

  for (const form of forms) {
    const names = Array.from({ length: 30_000 }, (_, index) => form(index));
    assert.deepEqual(codesOf(names.map(plain)), names.map(() => ADDED));
    count++;
  }

  assert.equal(count, 4);
});

test("a name that is there is found at every size of the table", () => {
  const names = Array.from({ length: 3_000 }, (_, index) => plain(`key-${index}`));
  let count = 0;

  for (let size = MAX_COMPARED_NAMES; size < names.length; size += 97) {
    for (const again of [0, MAX_COMPARED_NAMES, size - 1]) {
      const codes = codesOf([...names.slice(0, Math.max(size, again + 1)), names[again]!]);
      assert.equal(codes.at(-1), DUPLICATE, `${again} of ${size}`);
      count++;
    }
  }

  assert.equal(count, 93);
});

test("a name takes a bounded number of steps through names that begin at the same slot", () => {
  const names = namesOfOneSlot(MAX_NAME_STEPS + 2).map(plain);

  assert.deepEqual(codesOf(names), [
    ...Array.from({ length: MAX_NAME_STEPS }, () => ADDED),
    CROWDED,
    CROWDED,
  ]);
});

test("a name that finds no place when the table grows goes into the set", () => {
  // In a table of 2^9 slots, each on the way of the last one; in the one of 2^7 before, it has room.
  const bits = 9;
  const way: number[] = [];
  for (let step = 0, slot = 0; step < MAX_NAME_STEPS; slot += ++step) way.push(slot % 2 ** bits);
  const names = [...way, 0].map((slot, index) => {
    let number = 0;
    while (firstSlot(hashOfName(`${index}-${number}`), bits) !== slot) number++;
    return plain(`${index}-${number}`);
  });
  const later = Array.from({ length: 32 }, (_, index) => plain(`k${index}`));
  const { bytes, stack } = stackOf([...names, ...later, names.at(-1)!]);
  const sets: (Set<string> | undefined)[] = [];
  const tables = new NameTables(bytes, sets);
  let added = 0;

  for (let index = MAX_COMPARED_NAMES; index < names.length + later.length; index++) {
    assert.equal(sets[1], undefined);
    assert.equal(tables.add(stack, 0, index * NAME_STRIDE, 1), ADDED);
    added++;
  }

  assert.equal(added, 65 - MAX_COMPARED_NAMES);
  assert.equal(tables.add(stack, 0, 65 * NAME_STRIDE, 1), CROWDED);
  assert.deepEqual([...sets[1] ?? []], [names.at(-1)?.text]);
});

test("a name is compared with few others of the same hash, with a table and without", () => {
  const names = Array.from({ length: 8 }, (_, index) => plain(nameOfEqualHash(index, 3)));
  assert.equal(new Set(names.map(({ hash }) => hash)).size, 1);
  const before = Array.from({ length: MAX_COMPARED_NAMES }, (_, index) => plain(`k${index}`));

  const { bytes, stack } = stackOf(names);
  const few = names.map((_, index) => compareNames(bytes, stack, 0, index * NAME_STRIDE));
  const many = codesOf([...before, ...names]).slice(before.length);

  const expected = names.map((_, index) => index <= MAX_EQUAL_HASHES ? ADDED : CROWDED);
  assert.deepEqual(few, expected);
  assert.deepEqual(many, expected);
});

test("an object takes the table of the one before it without its names", () => {
  const large = Array.from({ length: 1_000 }, (_, index) => plain(`k${index}`));
  const { bytes, stack } = stackOf(large);
  const tables = new NameTables(bytes, []);
  let added = 0;

  for (const size of [1_000, 20, 300, 17, 1_000]) {
    for (let index = MAX_COMPARED_NAMES; index < size; index++) {
      assert.equal(tables.add(stack, 0, index * NAME_STRIDE, 1), ADDED);
      added++;
    }
  }

  assert.equal(added, 2_337 - 5 * MAX_COMPARED_NAMES);
});

test("tables of nested objects do not meet", () => {
  const names = Array.from({ length: 400 }, (_, index) => plain(`k${index % 100}`));
  const { bytes, stack } = stackOf(names);
  const tables = new NameTables(bytes, []);
  let added = 0;

  // Four objects inside one another, with the same names; then more for each, from the inside out.
  for (const [from, to] of [[MAX_COMPARED_NAMES, 60], [60, 100]] as const) {
    for (const depth of from === 60 ? [4, 3, 2, 1] : [1, 2, 3, 4]) {
      const base = (depth - 1) * 100 * NAME_STRIDE;
      for (let index = from; index < to; index++) {
        assert.equal(tables.add(stack, base, base + index * NAME_STRIDE, depth), ADDED);
        added++;
      }
      assert.equal(tables.add(stack, base, base + (to - 1) * NAME_STRIDE, depth), DUPLICATE);
    }
  }

  assert.equal(added, 4 * (100 - MAX_COMPARED_NAMES));
});

test("a name is the same with and without escapes", () => {
  const names = Array.from({ length: 40 }, (_, index) => plain(`key-${index}`));
  const escaped = { hash: hashOfName("key-7"), text: "\\u006bey-7", escaped: true };

  assert.equal(codesOf([...names, escaped]).at(-1), DUPLICATE);
});

/** A name as it stands between its quotes. */
interface Name {
  readonly hash: number;
  readonly text: string;
  readonly escaped: boolean;
}

function plain(text: string): Name {
  return { hash: hashOfName(text), text, escaped: false };
}

/** What the table says to each name; the first ones come to it when there is one more. */
function codesOf(names: readonly Name[]): number[] {
  const { bytes, stack } = stackOf(names);
  const tables = new NameTables(bytes, []);
  const codes: number[] = [];
  for (let index = 0; index < names.length; index++) {
    const code = index < MAX_COMPARED_NAMES ? ADDED : tables.add(stack, 0, index * NAME_STRIDE, 1);
    codes.push(code);
  }
  return codes;
}

function stackOf(names: readonly Name[]): { bytes: Buffer; stack: Int32Array } {
  const bytes = Buffer.from(names.map(({ text }) => text).join(""));
  let at = 0;
  const stack = names.flatMap(({ hash, text, escaped }) => {
    const start = at;
    at += Buffer.byteLength(text);
    return [hash, escaped ? ~start : start, at];
  });
  return { bytes, stack: Int32Array.from(stack) };
}

test("a long escaped name is not unescaped for each short one of its hash", () => {
  const long = "a".repeat(100_000);
  const names = namesOfHash(hashOfName(`\n${long}`), 100);
  const members = [`\\n${long}`, ...names].map((name) => `"${name}":1`);
  const text = Buffer.from(`{${members.join(",")}}`);
  const allocate = Buffer.allocUnsafe;
  let large = 0;
  Buffer.allocUnsafe = (size) => {
    if (size > 50_000) large++;
    return allocate(size);
  };

  try {
    const limits = { maxBytes: 200_000, maxMembers: 200, loneSurrogates: "refuse" } as const;
    assert.equal(scanJson(text, { shape: LEAF, ...limits }).ok, true);
  } finally {
    Buffer.allocUnsafe = allocate;
  }

  assert.equal(names.length, 100);
  assert.ok(large > 0 && large < 5, `${large} times`);
});
