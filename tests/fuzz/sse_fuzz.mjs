/**
 * The filter of event streams against a plain reader of the specification (WHATWG HTML, 9.2.6), on
 * inputs that coverage leads to: one that reaches new code is kept and mutated further.
 *
 *     node tests/fuzz/sse_fuzz.mjs [--seconds 120] [--seed N] [--dist dist] [--save]
 *
 * Run by hand on a build; ends with exit code 1 and the input at the first difference:
 *
 * - what a client reads of the output is what it would read of the input, each event judged;
 * - the output does not depend on where the input was cut into chunks;
 * - nothing but the error for an event above the limit is thrown.
 *
 * `--save` adds what was kept to `tests/vectors/event_streams.json`, which a unit test runs as well.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { startCoverage } from "./coverage.mjs";

const MAX_INPUT_BYTES = 512;
const { values: flags } = parseArgs({
  options: {
    seconds: { type: "string", default: "120" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    dist: { type: "string", default: "dist" },
    save: { type: "boolean", default: false },
  },
});
const dist = new URL(`../../${flags.dist}/`, import.meta.url);
const { eventStreamProblem } = await import(new URL("tests/support/event_stream.js", dist).href);
const file = new URL("../vectors/event_streams.json", import.meta.url);
const kept = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];

const SEEDS = [
  "data: a\n\n",
  "\ufeffid: 1\ndata:\n\n",
  ": comment\r\n\r\nevent: message\r\ndata: x\r\ndata:y\r\n\r\n",
  "retry: 5\rid: 2\rdata: pass\r\rdata: drop\n\nevent: other\ndata: no\n\n",
  "data\ndata\nunknown: 1\n\nid: a\0b\ndata: rewrite\n\ndata: unfinished",
];
const TOKENS = [
  ..."\n|\r|\r\n|\n\n|\r\r|\r\n\r\n|:|: |data|data:|data: |id: |id|event: message|event: x|retry: 1"
    .split(
      "|",
    ),
  "\ufeff",
  "\0",
  " ",
  "drop",
  "rewrite",
].map((text) => Buffer.from(text));

const random = generator(Number(flags.seed));
const pool = [
  ...SEEDS.map((text) => Buffer.from(text)),
  ...kept.map((text) => Buffer.from(text, "base64")),
];
const isNew = startCoverage("/src/mcp/sse.js");
const untilMs = performance.now() + 1_000 * Number(flags.seconds);
let inputs = 0;
let found = 0;
console.log(`seed ${flags.seed}, ${pool.length} inputs`);
while (performance.now() < untilMs) {
  const bytes = mutated(pick(pool)).subarray(0, MAX_INPUT_BYTES);
  const cuts = Array.from({ length: below(6) }, () => below(bytes.length + 1)).sort((a, b) =>
    a - b
  );
  const problem = eventStreamProblem(bytes, cuts, below(20) === 0 ? 16 : 1_000_000);
  if (problem !== undefined) {
    console.log(
      `seed ${flags.seed}, input ${inputs}: ${problem}\n${bytes.toString("base64")} ${
        cuts.join(",")
      }`,
    );
    process.exit(1);
  }
  inputs++;
  // Asking costs as much as twenty inputs.
  if (inputs % 10 === 0 && isNew()) {
    pool.push(bytes);
    kept.push(bytes.toString("base64"));
    found++;
  }
}
if (flags.save) writeFileSync(file, `${JSON.stringify(kept, undefined, 1)}\n`);
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ inputs, found, cpuSeconds: Math.round((user + system) / 1e6) }));

function mutated(source) {
  let bytes = source;
  for (let rounds = 1 + below(5); rounds > 0; rounds--) {
    const at = below(bytes.length + 1);
    const end = Math.min(bytes.length, at + below(16));
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    switch (below(5)) {
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
      default: {
        const other = pick(pool);
        const from = below(other.length);
        bytes = Buffer.concat([before, other.subarray(from, from + below(40)), after]);
      }
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
