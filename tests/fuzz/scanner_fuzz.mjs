/**
 * The strict scanner against `JSON.parse` and a slow tokenizer, on mutations of the smuggling corpus:
 * an input that reaches new code is kept and mutated further.
 *
 *     node tests/fuzz/scanner_fuzz.mjs [--seconds 120] [--seed N] [--dist dist]
 *
 * Run by hand on a build; ends with exit code 1 and the input at the first difference:
 *
 * - accepted: `JSON.parse` reads the same value, every object has each name once, no lone surrogate;
 * - refused: `JSON.parse` refuses too, or the slow tokenizer sees the strict rule that was named;
 * - `classifyRequest` and `filterMessage` never throw, and say the same twice.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { parseArgs } from "node:util";
import { startCoverage } from "./coverage.mjs";

const MAX_BODY_BYTES = 4_096;
const MAX_DEPTH = 64;

const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "120" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    dist: { type: "string", default: "dist" },
  },
});
const dist = new URL(`../../${flags.dist}/`, import.meta.url);
const { scanJson } = await import(new URL("src/mcp/scanner.js", dist).href);
const { classifyRequest } = await import(new URL("src/mcp/classify.js", dist).href);
const { filterMessage } = await import(new URL("src/mcp/filters.js", dist).href);
const { nameOfEqualHash } = await import(new URL("tests/support/equal_hashes.js", dist).href);
const corpus = await import(new URL("tests/support/mcp_smuggling.js", dist).href);

const everything = { members: new Map() };
everything.others = everything;
everything.element = everything;
const options = {
  shape: everything,
  maxBytes: 1_000_000,
  maxMembers: 100_000,
  loneSurrogates: "refuse",
};
/** Of a server, so that the filters have something to filter. */
const ANSWERS = [
  '{"tools":[{"name":"a"},{"name":"bb","_meta":{"ui":{"resourceUri":"ui://a"},"x":1}}],"nextCursor":"c","cacheScope":"public"}',
  '{"resources":[{"uri":"x:a"},{"uri":"x:ab"}],"ttlMs":1e3}',
  '{"contents":[{"uri":"x:a","text":"\\ud83d"},{"uri":"x:ab","blob":""}],"cacheScope":"private"}',
  '{"content":[{"type":"text","text":"t"},{"type":"resource_link","uri":"x:a"},{"type":"resource","resource":{"uri":"x:b"}}],"isError":false}',
  '{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"x:a"}}},{"role":"user","content":[{"type":"text"}]}]}',
  '{"completion":{"values":["a","bb"],"total":2,"hasMore":false},"instructions":"use a"}',
  '{"taskId":"ab","result":{"content":[{"type":"resource_link","uri":"x:a"}]},"inputRequests":{"k":{"method":"ping"}}}',
].map((result) => Buffer.from(`{"jsonrpc":"2.0","id":1,"result":${result}}`));
/** Objects whose names come to a table, and to a set because hashes are equal. */
const MANY = [0, 3].map((equal) => {
  const names = Array.from(
    { length: 40 },
    (_, index) => index < equal ? nameOfEqualHash(index, 2) : `k${index}`,
  );
  const args = `{${names.map((name) => `"${name}":0`).join(",")}}`;
  return Buffer.from(
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":${args}}}`,
  );
});
const random = generator(Number(flags.seed));
const cases = corpus.smugglingCases().map((one) => ({ ...one, bytes: corpus.bodyOf(one) }))
  .filter(({ bytes }) => bytes.length > 0 && bytes.length <= MAX_BODY_BYTES);
/** Bytes that grammars turn on. */
const TOKENS = [
  ...'{}[]",:\\/-+.0123456789eEtfnu \t\r\n\u0000',
  ...'ud83d \\u0061 \\ud83d\\ude00 \\udc00 true false null "name" "name":"rm", "\\u006eame":1,'
    .split(" "),
  ..."ſ K é 😀 \ufeff \u2028 \u200b __proto__".split(" "),
].map((token) => Buffer.from(token));

const isNew = startCoverage("/src/mcp/");
const counts = { inputs: 0, found: 0, accepted: 0, refusedByBoth: 0, strict: {}, filtered: 0 };
const untilMs = performance.now() + 1_000 * Number(flags.seconds);
for (let copies = 0; copies < 40; copies++) {
  for (const [index, bytes] of [...ANSWERS, ...MANY].entries()) {
    cases.push({ era: index % 2 === 0 ? "modern" : "legacy", headers: [], bytes });
  }
}
console.log(`seed ${flags.seed}, ${cases.length} cases`);
while (performance.now() < untilMs) {
  for (let index = 0; index < 1_000; index++) check(pick(cases));
}
console.log(JSON.stringify(counts));

function check(one) {
  const bytes = mutated(one.bytes);
  counts.inputs++;
  // Asking costs as much as twenty inputs.
  if (counts.inputs % 10 === 0 && bytes.length <= MAX_BODY_BYTES && isNew()) {
    cases.push({ ...one, bytes });
    counts.found++;
  }
  const problem = difference(bytes) ?? unsteady(one, bytes);
  if (problem === undefined) return;
  console.log(
    `seed ${flags.seed}, input ${counts.inputs}: ${problem}\n${bytes.toString("base64")}`,
  );
  process.exit(1);
}

/** What the scanner and the two slow readers see differently. */
function difference(bytes) {
  const result = scanJson(bytes, options);
  const slow = slowRead(bytes);
  if (result.ok) {
    counts.accepted++;
    if (slow.value === undefined) return "the scanner accepts what JSON.parse refuses";
    if (slow.rule !== undefined) return `the scanner accepts in spite of ${slow.rule}`;
    const own = JSON.stringify(valueOf(result.document, result.document.root));
    return own === JSON.stringify(slow.value.parsed) ? undefined : `the scanner reads ${own}`;
  }
  if (result.offset < 0 || result.offset > bytes.length) return `offset ${result.offset}`;
  if (slow.value === undefined) {
    counts.refusedByBoth++;
    return undefined;
  }
  counts.strict[result.code] = (counts.strict[result.code] ?? 0) + 1;
  return slow.rules.has(result.code) ? undefined : `the scanner refuses with ${result.code}`;
}

/** `JSON.parse`, and which strict rules the text breaks, by a tokenizer of regular expressions. */
function slowRead(bytes) {
  const rules = new Set();
  let text;
  let value;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = { parsed: JSON.parse(text) };
  } catch {
    return { rules }; // not JSON: what the scanner must see as well
  }
  const open = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/gsu;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [word] = match;
    if (word === "{" || word === "[") {
      open.push(word === "{" ? new Set() : undefined);
      if (open.length > MAX_DEPTH) rules.add("depth");
    } else if (word === "}" || word === "]") open.pop();
    else if (word.startsWith('"')) {
      const string = JSON.parse(word);
      if (/\p{Surrogate}/u.test(string)) rules.add("surrogate");
      if (!/^[ \t\r\n]*:/.test(text.slice(token.lastIndex, token.lastIndex + 200))) continue;
      const names = open.at(-1);
      if (names.has(string)) rules.add("duplicate");
      names.add(string);
    }
  }
  return { value, rules, rule: [...rules][0] };
}

/** Whether what stands on the scanner throws, or says two things of one input. */
function unsteady(one, bytes) {
  try {
    const facts = {
      httpMethod: "POST",
      rawHeaders: one.headers,
      body: bytes,
      maxBytes: 1_000_000,
    };
    const [first, second] = [classifyRequest(facts), classifyRequest(facts)].map((result) =>
      JSON.stringify({ ...result, document: undefined })
    );
    if (first !== second) return "classifyRequest says two things";
    const filter = {
      era: one.era,
      expect: undefined,
      expectId: undefined,
      allow: (_, name) => name.length % 2 === 0,
      standing: () => true,
      maxBytes: 1_000_000,
      families: [],
    };
    const filtered = filterMessage(bytes, filter);
    if (filtered.outcome !== "rewritten") return undefined;
    counts.filtered++;
    const again = filterMessage(filtered.bytes, filter);
    return again.outcome === "refused" ? "a filtered message is refused" : undefined;
  } catch (error) {
    return error.stack;
  }
}

function valueOf(document, node) {
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
      return JSON.parse(document.text(node));
  }
}

function mutated(source) {
  let bytes = source;
  for (let rounds = 1 + below(4); rounds > 0; rounds--) {
    const at = below(bytes.length + 1);
    const end = Math.min(bytes.length, at + below(12));
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    switch (below(6)) {
      case 0:
        bytes = Buffer.concat([before, pick(TOKENS), after]);
        break;
      case 1:
        bytes = Buffer.concat([before, bytes.subarray(end)]);
        break;
      case 2:
        bytes = Buffer.concat([before, bytes.subarray(at, end), after]);
        break;
      case 3:
        bytes = Buffer.concat([before, Buffer.from([below(256)]), bytes.subarray(at + 1)]);
        break;
      case 4: {
        const other = pick(cases).bytes;
        const from = below(other.length);
        bytes = Buffer.concat([before, other.subarray(from, from + below(60)), after]);
        break;
      }
      default:
        bytes = Buffer.concat([before, pick(TOKENS), bytes.subarray(end)]);
    }
  }
  return bytes;
}

function pick(list) {
  return list[below(list.length)];
}

function below(limit) {
  return Math.floor(random() * limit);
}

/** Numbers from 0 to 1 by a seed (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
