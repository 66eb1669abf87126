/**
 * The strict scanner beside `JSON.parse`, on requests of 1 MiB: `node bench/scanner.mjs` on a build.
 *
 *     node bench/scanner.mjs [--rounds 15] [--dist dist] [--keep]
 *
 * A round measures every text with both, one after the other; a cell is the median of the rounds,
 * lowest–highest. `JSON.parse` is given what it needs: the bytes decoded to a string, in the time
 * that is counted. `--keep` writes a results file.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, type } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { format } from "./lib/report.mjs";
import { spread } from "./lib/stats.mjs";

const MIB = 1_048_576;
/** One measurement takes about this long, ms. */
const SLICE_MS = 120;

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    dist: { type: "string", default: "dist" },
    keep: { type: "boolean", default: false },
  },
});
const root = new URL("..", import.meta.url);
const { scanJson } = await import(new URL(`${flags.dist}/src/mcp/scanner.js`, root).href);
const { ANSWER_SHAPE, REQUEST_SHAPE } = await import(
  new URL(`${flags.dist}/src/mcp/shape.js`, root).href
);

const texts = {
  "small call": call({ path: "src/main.ts", limit: 20 }),
  "file to write": call({ path: "a.ts", content: sourceText(MIB) }),
  "base64 blob": call({ blob: "QUJD".repeat(MIB / 4) }),
  "non-ASCII text": call({ text: "Größe 数値 – ".repeat(MIB / 19) }),
  "records": call({ rows: records() }),
  "numbers": call({ matrix: Array.from({ length: 60_000 }, (_, i) => [i, i * 1.5, -i]) }),
  "one flat map": call({
    map: Object.fromEntries(Array.from({ length: 45_000 }, (_, i) => [`key-${i}`, `v${i}`])),
  }),
  "map, escaped names": escapedNames(call({
    map: Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`clé-${i}`, `v${i}`])),
  })),
  "rows of 20 members": call({ rows: wideRecords() }),
  "tool list": Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { tools: tools() } })),
};

const rows = [];
for (const [name, bytes] of Object.entries(texts)) {
  const shape = name === "tool list" ? ANSWER_SHAPE : REQUEST_SHAPE;
  const options = { shape, maxBytes: 64 * MIB, maxMembers: MIB, loneSurrogates: "refuse" };
  const scan = () => {
    if (!scanJson(bytes, options).ok) throw new Error(`the scanner refuses "${name}"`);
  };
  const parse = () => JSON.parse(bytes.toString());
  const rounds = [];
  rate(scan, bytes.length);
  rate(parse, bytes.length);
  for (let round = 0; round < Number(flags.rounds); round++) {
    const scanned = rate(scan, bytes.length);
    const parsed = rate(parse, bytes.length);
    rounds.push({ scanMBs: scanned, parseMBs: parsed, ratio: scanned / parsed });
  }
  rows.push({ name, bytes: bytes.length, rounds });
}

const cell = (values, digits) => {
  const { median, min, max } = spread(values);
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
};
console.log(format([
  ["text", "bytes", "scanner MB/s", "JSON.parse MB/s", "× JSON.parse"],
  ...rows.map(({ name, bytes, rounds }) => [
    name,
    String(bytes),
    cell(rounds.map((round) => round.scanMBs), 0),
    cell(rounds.map((round) => round.parseMBs), 0),
    cell(rounds.map((round) => round.ratio), 2),
  ]),
]));

if (flags.keep) {
  const startedAt = new Date().toISOString();
  const file = new URL(
    `bench/results/scanner-${startedAt.slice(0, 16).replace(":", "")}.json`,
    root,
  );
  const results = {
    command: `node bench/scanner.mjs --rounds ${flags.rounds}`,
    startedAt,
    machine: {
      cpu: cpus()[0]?.model,
      cores: cpus().length,
      kernel: `${type()} ${release()} ${arch()}`,
      runtime: `${process.release?.name ?? "node"} ${process.version}`,
      loadAverage: loadavg(),
    },
    rows: rows.map(({ name, bytes, rounds }) => ({
      name,
      bytes,
      scanMBs: spread(rounds.map((round) => round.scanMBs)),
      parseMBs: spread(rounds.map((round) => round.parseMBs)),
      ratio: spread(rounds.map((round) => round.ratio)),
    })),
  };
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
}

/** MB (10^6 bytes) per second over one slice of time. */
function rate(run, bytes) {
  const batch = Math.max(1, Math.floor(200_000 / bytes));
  const startMs = performance.now();
  let count = 0;
  let elapsedMs = 0;
  while (elapsedMs < SLICE_MS) {
    for (let index = 0; index < batch; index++) run();
    count += batch;
    elapsedMs = performance.now() - startMs;
  }
  return bytes * count / 1_000 / elapsedMs;
}

function call(args) {
  return Buffer.from(JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: {
      name: "write_file",
      arguments: args,
      _meta: {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { sampling: {} },
      },
    },
  }));
}

/** Source code: an escape about every 30 bytes. */
function sourceText(bytes) {
  const line = '  const answer = await client.call("tools/list", { cursor });\n';
  return line.repeat(Math.ceil(bytes / line.length));
}

function records() {
  return Array.from({ length: 8_000 }, (_, id) => ({
    id,
    name: `user ${id}`,
    email: `user${id}@example.com`,
    active: id % 2 === 0,
    score: id / 7,
    tags: ["a", "b"],
    parent: null,
  }));
}

/** As Python's `json.dumps` writes them. */
function escapedNames(bytes) {
  return Buffer.from(bytes.toString().replaceAll("é", "\\u00e9"));
}

function wideRecords() {
  return Array.from(
    { length: 3_000 },
    (_, row) => Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`column_${i}`, row * i])),
  );
}

function tools() {
  const property = { type: "string", description: "What to look for, as plain text." };
  return Array.from({ length: 1_200 }, (_, index) => ({
    name: `tool_${index}`,
    title: `Tool ${index}`,
    description: "Does one thing, and says what it did. ".repeat(8),
    inputSchema: {
      type: "object",
      properties: { query: property, path: property, mode: property },
      required: ["query"],
      additionalProperties: false,
    },
  }));
}
