import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { test } from "node:test";

import fc from "fast-check";

import { filterMessage } from "../../src/mcp/filters.ts";
import { hashOfEscaped, nameKey } from "../../src/mcp/json_name.ts";
import { decodeHeaderValue } from "../../src/mcp/mcp_headers.ts";
import { scanJson } from "../../src/mcp/scanner.ts";
import type { JsonDocument } from "../../src/mcp/document.ts";
import type { ScanOptions } from "../../src/mcp/scanner.ts";
import { hashOfName } from "../../src/mcp/shape.ts";
import type { Shape } from "../../src/mcp/shape.ts";
import { EventStreamFilter } from "../../src/mcp/sse.ts";
import { nameOfEqualHash, namesOfOneSlot } from "../support/equal_hashes.ts";

// One seed per run, printed, so that a failure can be repeated: MCPTUN_SEED=… runs the same cases.
const SEED = Number(process.env["MCPTUN_SEED"] ?? Date.now() % 2 ** 31);
console.log(`MCP property seed ${SEED}`);

/** Keeps every value, however deep. */
const EVERYTHING: { members: Map<number, never>; others?: Shape; element?: Shape } = {
  members: new Map<number, never>(),
};
EVERYTHING.others = EVERYTHING;
EVERYTHING.element = EVERYTHING;
const OPTIONS: ScanOptions = {
  shape: EVERYTHING,
  maxBytes: 1_000_000,
  maxMembers: 10_000,
  loneSurrogates: "refuse",
};

const space = fc.stringMatching(/^[ \t\r\n]{0,2}$/);
const text = fc.string({ unit: "binary", maxLength: 12 });
/** JSON texts in many spellings: white space, escapes, forms of numbers; names may repeat. */
const jsonText = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom("null", "true", "false"),
    fc.stringMatching(/^-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?$/),
    spelled(),
    fc.array(fc.tuple(space, tie("value"), space), { maxLength: 5 }).map((parts) =>
      `[${parts.map((part) => part.join("")).join(",")}]`
    ),
    fc.array(fc.tuple(space, spelled(), space, tie("value"), space), { maxLength: 20 }).map(
      (parts) =>
        `{${parts.map(([a, name, b, value, c]) => `${a}${name}${b}:${value}${c}`).join(",")}}`,
    ),
  ),
})).value;

/** What else a text may become: bytes changed, taken out, put in, or written twice. */
const mutations = fc.array(
  fc.tuple(
    fc.constantFrom("change", "remove", "insert", "repeat"),
    fc.nat(),
    fc.oneof(fc.constantFrom(...'{}[]",:\\u0e+-.tfn \n'), fc.integer({ min: 0, max: 255 })),
  ),
  { maxLength: 3 },
);

test("what the scanner accepts, JSON.parse accepts and reads the same", () => {
  let accepted = 0;
  check(fc.property(jsonText, mutations, (source, changes) => {
    const bytes = mutate(Buffer.from(source), changes);
    const result = scanJson(bytes, OPTIONS);
    if (!result.ok) return;
    accepted++;
    const decoded = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    assert.deepEqual(valueOf(result.document, result.document.root), JSON.parse(decoded));
  }));

  assert.ok(accepted > 100, `${accepted} accepted`);
});

test("what JSON.parse refuses, the scanner refuses", () => {
  let refused = 0;
  check(fc.property(jsonText, mutations, (source, changes) => {
    const bytes = mutate(Buffer.from(source), changes);
    if (parses(bytes)) return;
    refused++;
    assert.equal(scanJson(bytes, OPTIONS).ok, false);
  }));

  assert.ok(refused > 50, `${refused} refused`);
});

test("what JSON.parse accepts is accepted, unless it is one of the strict rules", () => {
  const strict = ["duplicate", "surrogate", "depth", "bom"];
  check(fc.property(jsonText, mutations, (source, changes) => {
    const bytes = mutate(Buffer.from(source), changes);
    const result = scanJson(bytes, OPTIONS);
    if (result.ok || !parses(bytes)) return;
    assert.ok(strict.includes(result.code), `${result.code} at ${result.offset}: ${source}`);
  }));
});

test("a name that is there twice is found wherever it is", () => {
  const names = fc.uniqueArray(text.filter(isWellFormed), { minLength: 1, maxLength: 40 });
  check(fc.property(names, fc.nat(), fc.nat(), (list, which, where) => {
    const members = list.map((name) => `${JSON.stringify(name)}:0`);
    const again = list[which % list.length] ?? "";
    const twice = members.toSpliced(where % (members.length + 1), 0, `${escapeAll(again)}:1`);

    assert.equal(scanJson(Buffer.from(`{${members.join(",")}}`), OPTIONS).ok, true);
    const result = scanJson(Buffer.from(`{${twice.join(",")}}`), OPTIONS);
    assert.equal(result.ok ? "" : result.code, "duplicate");
  }));
});

test("a name that is there twice is found among hundreds, and its place is said", () => {
  const short = fc.string({ unit: fc.constantFrom(..."abAB01é\\/"), maxLength: 8 });
  const equal = fc.nat({ max: 63 }).map((index) => nameOfEqualHash(index, 6));
  const crowd = fc.constantFrom(...namesOfOneSlot(100));
  const hostile = [equal, { weight: 3, arbitrary: crowd }];
  const names = fc.uniqueArray(fc.oneof({ weight: 10, arbitrary: short }, ...hostile), {
    maxLength: 300,
    size: "max",
  });
  /** An object inside, after as many of the names as the number says. */
  const inside = fc.option(fc.tuple(fc.nat(), names), { nil: undefined });
  const choices = fc.tuple(fc.nat(), fc.boolean(), fc.nat({ max: 20 }));
  let twice = 0;
  check(
    fc.property(names, inside, choices, (list, nested, [which, escapes, rarity]) => {
      const members = list.map((name, index) =>
        `${index % 21 === rarity ? escapeAll(name) : JSON.stringify(name)}:0`
      );
      if (nested !== undefined) {
        const inner = nested[1].map((name) => `${JSON.stringify(name)}:0`).join(",");
        members.splice(nested[0] % (members.length + 1), 0, `"the object inside":{${inner}}`);
      }
      const source = members.join(",");
      assert.equal(scanJson(Buffer.from(`{${source}}`), OPTIONS).ok, true);
      if (list.length === 0) return;
      twice++;
      const again = list[which % list.length] ?? "";
      const spelled = escapes ? escapeAll(again) : JSON.stringify(again);

      assert.deepEqual(scanJson(Buffer.from(`{${source},${spelled}:1}`), OPTIONS), {
        ok: false,
        code: "duplicate",
        offset: Buffer.byteLength(source) + 2,
      });
    }),
    300,
  );

  assert.ok(twice > 100, `${twice} twice`);
});

test("an escaped name has the key and the hash of its plain form", () => {
  check(fc.property(text.filter(isWellFormed), fc.boolean(), (name, escapes) => {
    const bytes = Buffer.from(escapes ? escapeAll(name) : JSON.stringify(name));
    const form = Buffer.from(name).toString("latin1");

    assert.equal(nameKey(bytes, 1, bytes.length - 1, 1), form);
    assert.equal(hashOfEscaped(bytes, 1, bytes.length - 1), hashOfName(form));
  }));
});

test("a filtered list is the list of what is allowed, and what is kept has its own bytes", () => {
  const entry = fc.tuple(space, fc.constantFrom("a", "b", "c", "d"), jsonText, space)
    .filter(([, , value]) => scanJson(Buffer.from(value), OPTIONS).ok)
    .map(([before, name, value, after]) => ({
      name,
      own: `{"x":${value},"name" : "${name}"}`,
      before,
      after,
    }));
  const allowed = fc.subarray(["a", "b", "c", "d"]);
  check(fc.property(fc.array(entry, { maxLength: 8 }), allowed, (entries, names) => {
    const list = entries.map(({ before, own, after }) => `${before}${own}${after}`).join(",");
    const source = `{"jsonrpc":"2.0","id":1,"result":{"tools":[${list}],"nextCursor":"\\u0063"}}`;

    const result = filterMessage(Buffer.from(source), {
      era: "legacy",
      expect: "tools/list",
      expectId: undefined,
      allow: (_, name) => names.includes(name),
      standing: () => true,
      maxBytes: 1_000_000,
      families: [],
    });

    const kept = entries.filter(({ name }) => names.includes(name));
    const output = result.outcome === "rewritten" ? result.bytes.toString() : source;
    assert.equal(result.outcome, kept.length === entries.length ? "unchanged" : "rewritten");
    const wanted = JSON.parse(source) as { result: { tools: unknown[] } };
    wanted.result.tools = kept.map(({ own }) => JSON.parse(own) as unknown);
    assert.deepEqual(JSON.parse(output), wanted);
    let at = 0;
    for (const { own } of kept) {
      at = output.indexOf(own, at) + own.length;
      assert.ok(at >= own.length, `${own} in ${output}`);
    }
  }));
});

test("how an event stream is cut never changes what passes", () => {
  const line = fc.oneof(
    fc.constantFrom(
      "data: a",
      "data:",
      "data",
      "data: no",
      "data: big",
      ":c",
      "id: 1",
      "",
      "retry: 2",
    ),
    fc.constantFrom("event: message", "event: x", "id: \u0000", "Data: a", "\ufeff", "data: é"),
  );
  const lineEnd = fc.constantFrom("\n", "\r\n", "\r");
  const stream = fc.array(fc.tuple(line, lineEnd), { maxLength: 30 }).map((lines) =>
    lines.flat().join("")
  );
  const cuts = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 20 });
  check(fc.property(stream, cuts, (source, sizes) => {
    const bytes = Buffer.from(source);
    const whole = filterStream([bytes]);

    assert.deepEqual(filterStream(cut(bytes, sizes)), whole);
    // Nothing that passed is read otherwise the second time, and no lone CR is left.
    assert.equal(filterStream([Buffer.from(whole.output)]).output, whole.output);
    assert.doesNotMatch(whole.output, /\r(?!\n)/);
  }));
});

test("a header value in base64 is the text that was encoded", () => {
  check(fc.property(text.filter(isWellFormed), (value) => {
    const encoded = `=?base64?${Buffer.from(value).toString("base64")}?=`;
    assert.equal(decodeHeaderValue(encoded), value);
  }));
});

/** A string as JSON, some of its characters escaped though they need not be. */
function spelled(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom(
      '"a"',
      '"\\u0061"',
      '"b"',
      '""',
      '"\\ud83d\\ude00"',
      '"\\ud83d"',
      '"__proto__"',
    ),
    fc.tuple(text, fc.boolean()).map(([value, escapes]) =>
      escapes ? escapeAll(value) : JSON.stringify(value)
    ),
  );
}

function escapeAll(value: string): string {
  let escaped = "";
  for (let index = 0; index < value.length; index++) {
    escaped += `\\u${value.charCodeAt(index).toString(16).padStart(4, "0")}`;
  }
  return `"${escaped}"`;
}

function isWellFormed(value: string): boolean {
  return !/\p{Surrogate}/u.test(value);
}

function mutate(
  bytes: Buffer,
  changes: readonly (readonly [string, number, string | number])[],
): Buffer {
  let list = [...bytes];
  for (const [how, place, what] of changes) {
    const at = place % (list.length + 1);
    const byte = typeof what === "number" ? what : what.charCodeAt(0);
    if (how === "repeat") list = [...list, ...list.slice(at)];
    else list.splice(at, how === "insert" ? 0 : 1, ...(how === "remove" ? [] : [byte]));
  }
  return Buffer.from(list);
}

function parses(bytes: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    // Either of the two says no: that is the answer.
    return false;
  }
}

/** The value that the ranges stand for. */
function valueOf(document: JsonDocument, node: number): unknown {
  switch (document.kind(node)) {
    case "object":
      return Object.fromEntries(
        [...document.children(node)].map((
          child,
        ) => [document.name(child), valueOf(document, child)]),
      );
    case "array":
      return [...document.children(node)].map((child) => valueOf(document, child));
    case "string":
      return document.string(node);
    default:
      return JSON.parse(document.text(node)) as unknown;
  }
}

function filterStream(chunks: readonly Buffer[]) {
  const data: string[] = [];
  const output: Buffer[] = [];
  const filter = new EventStreamFilter({
    maxEventBytes: 10_000,
    inspect: (bytes) => {
      const value = bytes.toString();
      data.push(value);
      if (value.startsWith("no")) return "drop";
      return value.startsWith("big") ? Buffer.from("x\ny") : "pass";
    },
    emit: (bytes) => output.push(Buffer.from(bytes)),
  });
  for (const chunk of chunks) filter.push(chunk);
  filter.end();
  return { data, output: Buffer.concat(output).toString() };
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

function check<T>(property: fc.IPropertyWithHooks<T>, runs = 1_000): void {
  fc.assert(property, { seed: SEED, numRuns: runs });
}
