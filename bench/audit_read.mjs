/**
 * How long the first line takes that is read from a large audit trail:
 * `node bench/audit_read.mjs [--gib 5] [--rounds 5] [--quick]`, on a build.
 *
 * It writes one file of that size to a temporary folder, a day of records, and removes it. Time is
 * that of the whole program, from its start to the first byte on its standard output. "cold" is after
 * the system was told to forget the file (`dd oflag=nocache`, where there is such a `dd`).
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    gib: { type: "string", default: "5" },
    rounds: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
  },
});
const bytes = values.quick ? 64 * 2 ** 20 : Math.round(Number(values.gib) * 2 ** 30);
const rounds = values.quick ? 1 : Number(values.rounds);
const program = fileURLToPath(new URL("../dist/src/main.js", import.meta.url));
const START_MS = Date.UTC(2026, 10, 24);
const DAY_MS = 86_400_000;

const loadBefore = loadavg();
const folder = mkdtempSync(join(tmpdir(), "mcptun-bench-"));
try {
  const file = join(folder, "audit.jsonl");
  const written = write(file);
  console.log(`${written.lines} lines, ${(written.bytes / 2 ** 30).toFixed(2)} GiB`);
  const at = (share) => new Date(START_MS + share * DAY_MS).toISOString();
  const cases = [
    ["--version", ["--version"]],
    ["last 50", ["audit", "tail"]],
    ["--since, a tenth in", ["audit", "tail", "--since", at(0.1)]],
    ["--since, in the middle", ["audit", "tail", "--since", at(0.5)]],
    ["--since, in the middle, --json", ["audit", "tail", "--json", "--since", at(0.5)]],
    ["--since, the last minute", ["audit", "tail", "--since", at(1 - 1 / 1_440)]],
    ["--until, in the middle", ["audit", "tail", "--until", at(0.5)]],
    ["-n 50 of a user", ["audit", "tail", "-n", "50", "--user", "user7"]],
  ];
  // Round by round, so that each case has a start of the bare program seconds away from it: on a
  // shared machine both swing together, and the difference says more than either.
  const samples = cases.map(() => ({ cold: [], warm: [], overStart: [] }));
  for (let round = 0; round < rounds; round++) {
    let startMs = 0;
    for (const [index, [, argv]] of cases.entries()) {
      const asked = argv[0] === "audit" ? [...argv, "--file", file] : argv;
      forget(file);
      const coldMs = await firstByte(asked);
      const warmMs = await firstByte(asked);
      if (index === 0) startMs = warmMs;
      samples[index].cold.push(coldMs);
      samples[index].warm.push(warmMs);
      samples[index].overStart.push(coldMs - startMs);
    }
  }
  const results = cases.map(([what], index) => {
    const { cold, warm, overStart } = samples[index];
    return {
      what,
      coldMs: median(cold),
      coldRange: `${Math.round(Math.min(...cold))}–${Math.round(Math.max(...cold))}`,
      warmMs: median(warm),
      coldOverStartMs: median(overStart),
    };
  });
  console.table(results);
  const whole = values.quick ? undefined : wholeStats(file);
  if (whole !== undefined) console.log("stats over everything:", whole);
  if (!values.quick) save({ ...written, results, stats: whole });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** A day of calls, evenly, in the order in which they ended. */
function write(file) {
  const target = openSync(file, "w", 0o600);
  const count = Math.ceil(bytes / Buffer.byteLength(lineOf(0, 1)));
  let written = 0;
  let batch = [];
  for (let index = 0; index < count; index++) {
    batch.push(lineOf(index, count));
    if (batch.length === 16_384 || index === count - 1) {
      const chunk = Buffer.from(batch.join(""));
      for (let done = 0; done < chunk.length;) done += writeSync(target, chunk, done);
      written += chunk.length;
      batch = [];
    }
  }
  fsyncSync(target);
  closeSync(target);
  return { lines: count, bytes: written };
}

function lineOf(index, count) {
  const durationMs = index % 500 === 0 ? 45_000 : 3 + (index * 7_919) % 400;
  const endMs = START_MS + Math.floor(index / count * DAY_MS);
  const time = new Date(endMs - durationMs).toISOString();
  const denied = index % 50 === 0;
  const id = String(index).padStart(12, "0");
  const decision = denied
    ? '"decision":"deny","layer":"tunnel","reason":"deny_rule","rule":"deny_tools \\"shell_*\\"",' +
      '"rule_at":"mcptun.toml:12:15"'
    : '"decision":"allow","layer":"user","reason":"allow_rule","rule":"allow_tools \\"read_*\\"",' +
      '"rule_at":"user.toml:3:16"';
  return `{"v":1,"type":"exchange","time":"${time}","duration_ms":${durationMs},"edge":"gate",` +
    `"exchange":"01JD${id}","tunnel":"code-server","transport":"quic","rift":"laptop",` +
    `"connection":"c-0000001","client":"192.0.2.${index % 250}","user":"user${index % 300}",` +
    `"groups":["dev","frontend"],"how":"jwt","era":"modern","protocol":"2026-07-28",` +
    `"http_method":"POST","http_path":"/code-server/mcp","status":200,"method":"tools/call",` +
    `"kind":"tool","name":"${denied ? "shell_exec" : "read_file"}","rpc_id":"${index}",` +
    `${decision},"policy":"6f2c1d","result":"${denied ? "denied" : "ok"}","bytes_in":310,` +
    `"bytes_out":4200,"prev":"${id}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}\n`;
}

/** From the start of the program to the first byte of its output, ms; it is ended then. */
function firstByte(argv) {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn(process.execPath, [program, ...argv], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let ms;
    let problem = "";
    child.stderr.on("data", (chunk) => problem += chunk);
    child.stdout.once("data", () => {
      ms = performance.now() - startedAt;
      child.stdout.destroy();
    });
    child.once("error", reject);
    child.once("close", () => {
      if (ms === undefined) reject(new Error(`no output of ${argv.join(" ")}: ${problem}`));
      else resolve(ms);
    });
  });
}

/** Asks the system to drop the file from its cache; other files stay. */
function forget(file) {
  spawnSync("dd", [`of=${file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0"], {
    stdio: "ignore",
  });
}

function wholeStats(file) {
  const startedAt = performance.now();
  const { status, stderr } = spawnSync(
    process.execPath,
    [program, "audit", "stats", "--since", "2026-11-01", "--json", "--file", file],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  if (status !== 0) throw new Error(String(stderr));
  const seconds = (performance.now() - startedAt) / 1_000;
  return { seconds: round(seconds), mibPerS: Math.round(bytes / 2 ** 20 / seconds) };
}

function median(times) {
  return Math.round([...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]);
}

function round(value) {
  return Math.round(value * 10) / 10;
}

function save(found) {
  const results = fileURLToPath(new URL("results/", import.meta.url));
  mkdirSync(results, { recursive: true });
  const target = join(results, "audit-read.json");
  const about = {
    at: new Date().toISOString(),
    node: process.versions.node,
    cpu: cpus()[0]?.model,
    cpus: cpus().length,
    load: { before: loadBefore, after: loadavg() },
    rounds,
    note: "median of the rounds, whole program from its start to its first byte of output; " +
      "coldOverStartMs is the difference to --version of the same round",
  };
  writeFileSync(target, `${JSON.stringify({ ...about, ...found }, null, 2)}\n`);
  console.log(`written to ${target}`);
}
