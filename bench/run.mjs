/**
 * The bench: `npm run bench`, or `node bench/run.mjs` on a build. README.md says how to read it.
 *
 *     node bench/run.mjs [--quick] [--only SCENARIO,…] [--legs LEG,…] [--rounds N] [--dist DIR]
 *
 * @module
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { makeContext } from "./lib/context.mjs";
import { machineFacts } from "./lib/machine.mjs";
import { killAll, stopAll } from "./lib/process.mjs";
import { format, tableOf } from "./lib/report.mjs";
import { audit } from "./scenarios/audit.mjs";
import { aware } from "./scenarios/aware.mjs";
import { bodies } from "./scenarios/bodies.mjs";
import { echo } from "./scenarios/echo.mjs";
import { memory } from "./scenarios/memory.mjs";
import { small } from "./scenarios/small.mjs";
import { sse } from "./scenarios/sse.mjs";
import { judge } from "./targets.mjs";

const SCENARIOS = { echo, small, aware, audit, bodies, sse, memory };
/** Longest time a whole run may take, minutes; a run that hangs ends here. */
const TIME_LIMIT_MINUTES = 90;

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    legs: { type: "string" },
    rounds: { type: "string" },
    dist: { type: "string", default: "dist" },
  },
});
const only = flags.only?.split(",") ?? Object.keys(SCENARIOS);
const unknown = only.filter((name) => !(name in SCENARIOS));
if (unknown.length > 0) {
  console.error(
    `Unknown scenario "${unknown.join(", ")}": there are ${Object.keys(SCENARIOS).join(", ")}`,
  );
  process.exit(2);
}
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 5));
const context = makeContext({
  plan: flags.quick ? "quick" : "full",
  dist: flags.dist,
  legs: flags.legs?.split(","),
});
const records = [];
const startedAt = new Date();
const facts = machineFacts(context);

process.on("exit", () => {
  killAll();
  rmSync(context.tempDir, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => void stopAll().finally(() => process.exit(1)));
}
setTimeout(() => {
  console.error(`Stopped: the run took longer than ${TIME_LIMIT_MINUTES} minutes`);
  process.exit(1);
}, TIME_LIMIT_MINUTES * 60_000).unref();

console.log(JSON.stringify(facts, undefined, 1));
for (let round = 1; round <= rounds; round++) {
  for (const name of only) {
    // The memory scenario is long and its slope is taken within a round: three rounds are enough.
    if (name === "memory" && round > 3) continue;
    console.error(`round ${round} of ${rounds}: ${name}`);
    const record = (leg, label, values) =>
      records.push({ scenario: name, round, leg, label, values });
    try {
      await SCENARIOS[name].round(context, record);
    } catch (error) {
      context.note(`${name}, round ${round}: ${error.stack}`);
    }
    await stopAll();
  }
}

for (const name of only) {
  console.log(`\n${name}: median (lowest–highest) of the rounds`);
  for (const part of partsOf(name)) console.log(tableOf(SCENARIOS[name], name, part));
}
const verdicts = judge(records);
console.log("\ntargets");
console.log(format([
  ["what", "target", "measured", "verdict"],
  ...verdicts.map((row) => [row.what, row.target, row.measured, row.verdict]),
]));

const result = {
  command: ["node", "bench/run.mjs", ...process.argv.slice(2)].join(" "),
  startedAt: startedAt.toISOString(),
  endedAt: new Date().toISOString(),
  plan: context.plan,
  rounds,
  machine: { ...facts, loadAverageAtEnd: loadavg() },
  notes: context.notes,
  verdicts,
  records,
};
// A quick run shows that everything works; its numbers are not worth keeping.
if (!flags.quick) {
  const name = startedAt.toISOString().slice(0, 16).replace(":", "");
  const file = `${context.benchDir}/results/${name}.json`;
  mkdirSync(`${context.benchDir}/results`, { recursive: true });
  writeFileSync(file, `${JSON.stringify(result, undefined, 1)}\n`);
  console.log(`\n${file}`);
}
process.exit(0);

/** The records of a scenario, as one table or, where labels share no columns, one table per label. */
function partsOf(name) {
  const own = records.filter((r) => r.scenario === name);
  if (SCENARIOS[name].tablePerLabel !== true) return [own];
  return [...new Set(own.map((r) => r.label))].map((label) => own.filter((r) => r.label === label));
}
