/**
 * What a policy decision and a reload cost, and how long a reload holds up everything else:
 * `node bench/policy.mjs [--quick]`, on a build.
 *
 * A decision is compared with a naive evaluation of the same rules in the same run: every policy in
 * turn, every pattern compiled to a regular expression once, by picomatch. Both must agree.
 *
 * @module
 */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import picomatch from "picomatch";
import { measureExchanges } from "./lib/policy_reload.mjs";

const [
  { decide },
  { parsePolicy },
  { compileUserPolicy },
  { PolicyTablesReader },
  { filterMessage },
  { policyDecider },
  { loadConfig },
  { systemClock },
  { finish },
] = await Promise
  .all(
    [
      "policy/decide",
      "config/policy_file",
      "policy/user_layer",
      "config/policy_schema",
      "mcp/filters",
      "cli/policy_setup",
      "config/load",
      "clock",
      "steps",
    ]
      .map((path) => import(new URL(`../dist/src/${path}.js`, import.meta.url))),
  );
const quick = process.argv.includes("--quick");
const DECISIONS = quick ? 20_000 : 200_000;
const RELOADS = quick ? 3 : 15;
const PLACE = { line: 1, column: 1 };
const GLOBS = { dot: true, nonegate: true, noextglob: true, strictBrackets: true };

const results = { decisions: [], reload: [] };
for (const shape of ["own", "shared"]) results.decisions.push(measureDecisions(shape));
for (const patterns of [5, 20]) results.reload.push(await measureReload(patterns));
results.worst = measureWorst();
results.list = measureList();
results.exchanges = await measureExchanges({
  text: tomlOf(writtenOf(entriesOf(10_000, 20, "own"))),
  reloads: quick ? 3 : 15,
});
console.table(results.decisions);
console.table(results.reload);
console.table(results.worst);
console.table([results.list]);
console.table({ reload: results.exchanges.during, quiet: results.exchanges.quiet });
if (!quick) save();

/** 1,000 policies of 20 patterns. `own`: each for a user or a group; `shared`: 20 of them for everybody. */
function measureDecisions(shape) {
  const entries = entriesOf(1_000, 20, shape);
  const policy = compileUserPolicy({ file: "user.toml", entries, placeOf: () => PLACE });
  const layers = [policy.layerFor("code-server")];
  const naive = naiveOf(entries);
  const cases = Array.from({ length: 1_000 }, (_, index) => ({
    principal: {
      user: `user${index}`,
      groups: [`group${index % 50}`, `group${(index * 7) % 50}`, "staff"],
      how: "jwt",
    },
    target: targetOf(index),
  }));
  for (const { principal, target } of cases) {
    const { allowed } = decide(layers, principal, target);
    assert.equal(allowed, naive(principal, target), `${principal.user} ${target.name}`);
  }
  const ours = timed(DECISIONS, (index) => {
    const { principal, target } = cases[index % cases.length];
    return decide(layers, principal, target);
  });
  const theirs = timed(Math.ceil(DECISIONS / 100), (index) => {
    const { principal, target } = cases[index % cases.length];
    return naive(principal, target);
  });
  return {
    shape,
    policies: 1_000,
    patterns: 20_000,
    decisions: DECISIONS,
    medianUs: ours.medianUs,
    p99Us: ours.p99Us,
    naiveMedianUs: theirs.medianUs,
    naiveP99Us: theirs.p99Us,
  };
}

/**
 * A file of 10,000 users with a policy each: checked and compiled from parsed TOML, from the text at
 * one go, and as an edge does it, with the longest time that nothing else of the process had its turn.
 */
async function measureReload(patterns) {
  const entries = entriesOf(10_000, patterns, "own");
  const written = { policy: writtenOf(entries) };
  const text = tomlOf(written.policy);
  const compile = repeated(RELOADS, () => {
    const reader = new PolicyTablesReader();
    finish(reader.readSteps(written));
    const tables = reader.end();
    assert.equal(tables.problems.length, 0);
    return compileUserPolicy({ file: "user.toml", entries: tables.entries, placeOf: () => PLACE });
  });
  const whole = repeated(Math.ceil(RELOADS / 3), () => parsePolicy(text, "user.toml"));
  const place = repeated(Math.ceil(RELOADS / 3), () => {
    const loaded = parsePolicy(text, "user.toml");
    const startedAt = performance.now();
    loaded.locate(["policy", 9_999, "allow_tools", 0]);
    return performance.now() - startedAt;
  }, "returned");
  const edge = await measureEdgeReload(text);
  return {
    users: 10_000,
    patternsEach: patterns,
    fileMib: Number((text.length / 1_048_576).toFixed(1)),
    compileMedianMs: compile.median,
    compileMaxMs: compile.max,
    withTomlMedianMs: whole.median,
    firstPlaceMedianMs: place.median,
    ...edge,
  };
}

/** From the file to a decider, in a process that does nothing else. */
async function measureEdgeReload(text) {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-bench-policy-"));
  try {
    writeFileSync(join(folder, "user.toml"), text);
    const config =
      '[[tunnel]]\nname = "t"\nmode = "aware"\ndefault = "allow"\n[policy]\nfile = "user.toml"\n';
    const loaded = loadConfig({ text: config, file: join(folder, "mcptun.toml") });
    const [totals, pauses, idle] = [[], [], []];
    for (let round = 0; round < RELOADS; round++) {
      const reload = await withPauses(() => policyDecider(loaded, { clock: systemClock }));
      totals.push(reload.elapsedMs);
      pauses.push(reload.longestMs);
      const nothing = () => new Promise((resolve) => setTimeout(resolve, reload.elapsedMs));
      idle.push((await withPauses(nothing)).longestMs);
    }
    const [total, pause, without] = [totals, pauses, idle].map(spread);
    return {
      edgeReloadMedianMs: Math.round(total.median),
      edgeReloadMaxMs: Math.round(total.max),
      longestPauseMedianMs: round1(pause.median),
      longestPauseMaxMs: round1(pause.max),
      idlePauseMaxMs: round1(without.max),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Does the work while it counts turns of the event loop, and says which one came latest. */
async function withPauses(work) {
  let isOver = false;
  let longestMs = 0;
  let lastAt = performance.now();
  const turn = () => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - lastAt);
    lastAt = now;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const startedAt = performance.now();
  await work();
  const elapsedMs = performance.now() - startedAt;
  isOver = true;
  await new Promise((resolve) => setImmediate(resolve));
  return { elapsedMs, longestMs };
}

/** A `tools/list` of 1,000 tools, of which half may be seen: read, judged by 20 patterns, and edited. */
function measureList() {
  const entries = entriesOf(1_000, 20, "shared");
  entries.push({ users: ["user1"], groups: [], lists: { allow_tools: ["tool_*_1", "many_*"] } });
  const policy = compileUserPolicy({ file: "user.toml", entries, placeOf: () => PLACE });
  const layers = [policy.layerFor("code-server")];
  const principal = { user: "user1", groups: [], how: "jwt" };
  const tools = Array.from({ length: 1_000 }, (_, index) => ({
    name: index % 2 === 0 ? `many_${index}` : `other_${index}`,
    description: "Reads something of the project and says what is in it, line by line. ".repeat(3),
    inputSchema: {
      type: "object",
      properties: { path: { type: "string" }, limit: { type: "integer", default: 100 } },
      required: ["path"],
    },
  }));
  const bytes = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { tools } }));
  const options = {
    era: "modern",
    expect: "tools/list",
    expectId: "n:1",
    allow: (kind, name) => decide(layers, principal, { kind, name }).allowed,
    standing: () => true,
    maxBytes: 67_108_864,
    completion: undefined,
    families: [],
  };
  const filtered = filterMessage(bytes, options);
  assert.equal(filtered.outcome, "rewritten");
  assert.deepEqual([filtered.before, filtered.after], [1_000, 500]);
  const ours = timed(quick ? 20 : 300, () => filterMessage(bytes, options));
  const theirs = timed(quick ? 20 : 300, () => {
    const message = JSON.parse(bytes.toString());
    message.result.tools = message.result.tools.filter(({ name }) => options.allow("tool", name));
    return Buffer.from(JSON.stringify(message));
  });
  return {
    tools: 1_000,
    kib: Math.round(bytes.length / 1_024),
    medianMs: Number((ours.medianUs / 1_000).toFixed(2)),
    p99Ms: Number((ours.p99Us / 1_000).toFixed(2)),
    parseAndStringifyMedianMs: Number((theirs.medianUs / 1_000).toFixed(2)),
  };
}

/** The slowest pattern we found that is accepted, against targets that double in length. */
function measureWorst() {
  const pattern = `file:///{*,a*,b*,c*}[ab]${"a".repeat(470)}c*`;
  const entries = [{ users: ["*"], groups: [], lists: { allow_resources: [pattern] } }];
  const policy = compileUserPolicy({ file: "user.toml", entries, placeOf: () => PLACE });
  const layers = [policy.layerFor("code-server")];
  const principal = { user: "alice", groups: [], how: "jwt" };
  return [500, 1_000, 2_000, 4_000].map((chars) => {
    const target = { kind: "resource", name: `file:///${"a".repeat(chars)}` };
    const { medianUs, p99Us } = timed(quick ? 200 : 2_000, () => decide(layers, principal, target));
    return { targetChars: chars, medianUs, p99Us };
  });
}

function entriesOf(count, patterns, shape) {
  return Array.from({ length: count }, (_, index) => {
    const everybody = shape === "shared" && index % 50 === 0;
    const users = everybody ? ["*"] : index % 10 === 9 ? [`user${index % 100}*`] : [`user${index}`];
    const groups = index % 20 === 0 ? [`group${index % 50}`] : [];
    const third = Math.floor(patterns / 4);
    const list = (make, length) => Array.from({ length }, (_, item) => make(item));
    return {
      users,
      groups,
      lists: {
        allow_tools: [
          ...list((item) => `tool_${index}_${item}`, third),
          ...list((item) => `p${index}_${item}_*`, patterns - 3 * third),
        ],
        deny_tools: list((item) => `*_danger_${index}_${item}`, third),
        allow_resources: list((item) => `file:///repo/${index}/${item}/**`, third),
      },
    };
  });
}

function targetOf(index) {
  const names = [
    { kind: "tool", name: `tool_${index}_1` },
    { kind: "tool", name: `p${index}_2_read` },
    { kind: "tool", name: "unknown_tool" },
    { kind: "resource", name: `file:///repo/${index}/2/src/main.ts` },
    { kind: "resource", name: "file:///etc/passwd" },
  ];
  return names[index % names.length];
}

function naiveOf(entries) {
  const make = (patterns = []) => patterns.map((pattern) => picomatch(pattern, GLOBS));
  const all = entries.map(({ users, groups, lists }) => ({
    users: make(users),
    groups: make(groups),
    tool: { allow: make(lists.allow_tools), deny: make(lists.deny_tools) },
    resource: { allow: make(lists.allow_resources), deny: make(lists.deny_resources) },
  }));
  return ({ user, groups }, { kind, name }) => {
    const matching = all.filter((policy) =>
      policy.users.some((matches) => matches(user)) ||
      groups.some((group) => policy.groups.some((matches) => matches(group)))
    );
    if (matching.some((policy) => policy[kind].deny.some((matches) => matches(name)))) return false;
    return matching.some((policy) => policy[kind].allow.some((matches) => matches(name)));
  };
}

function timed(count, run) {
  for (let index = 0; index < Math.min(count, 5_000); index++) run(index);
  const times = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const startedAt = performance.now();
    run(index);
    times[index] = performance.now() - startedAt;
  }
  times.sort();
  const at = (fraction) => Number((times[Math.ceil(count * fraction) - 1] * 1_000).toFixed(2));
  return { medianUs: at(0.5), p99Us: at(0.99) };
}

function repeated(count, run, measure = "elapsed") {
  const times = [];
  for (let index = 0; index < count; index++) {
    const startedAt = performance.now();
    const returned = run();
    times.push(measure === "elapsed" ? performance.now() - startedAt : returned);
  }
  const { median, max } = spread(times);
  return { median: Math.round(median), max: Math.round(max) };
}

function spread(times) {
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1], max: times.at(-1) };
}

function round1(ms) {
  return Number(ms.toFixed(1));
}

function writtenOf(entries) {
  return entries.map(({ users, groups, lists }) => ({ users, groups, ...lists }));
}

function tomlOf(policies) {
  return policies.map((policy) =>
    `[[policy]]\n${
      Object.entries(policy).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join("")
    }`
  ).join("\n");
}

function save() {
  const file = new URL("results/policy.json", import.meta.url);
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, loadAverage: loadavg() };
  const facts = { command: "node bench/policy.mjs", date: new Date().toISOString(), machine };
  writeFileSync(
    file,
    `${JSON.stringify({ ...facts, node: process.version, ...results }, null, 2)}\n`,
  );
}
