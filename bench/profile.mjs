/**
 * Where the time goes: the tunnel on Node at 32 in flight, both sides under the CPU profiler.
 *
 *     node bench/profile.mjs [--tunnel json|aware] [--seconds 8] [--in-flight 32] [--top 25] [--dist dist] [--keep]
 *
 * Prints the functions with the most self time on each side. `--keep` leaves the .cpuprofile files for a viewer.
 *
 * @module
 */

import { readdirSync, readFileSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { startTunnel } from "./legs/mcptun.mjs";
import { startUpstream } from "./legs/upstream.mjs";
import { makeContext } from "./lib/context.mjs";
import { timedLoad } from "./lib/load.mjs";
import { killAll, sample } from "./lib/process.mjs";
import { format } from "./lib/report.mjs";

const WARM_UP_SECONDS = 3;

const { values: flags } = parseArgs({
  options: {
    "tunnel": { type: "string", default: "json" },
    "seconds": { type: "string", default: "8" },
    "in-flight": { type: "string", default: "32" },
    "top": { type: "string", default: "25" },
    "dist": { type: "string", default: "dist" },
    "keep": { type: "boolean", default: false },
  },
});
if (!["json", "aware"].includes(flags.tunnel)) throw new Error(`no such tunnel: ${flags.tunnel}`);
const context = makeContext({ plan: "full", dist: flags.dist });
process.on("exit", () => {
  killAll();
  if (!flags.keep) rmSync(context.tempDir, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const dirs = { edge: `${context.tempDir}/prof-edge`, rift: `${context.tempDir}/prof-rift` };
const profiled = (dir) => ["--cpu-prof", "--cpu-prof-interval", "500", "--cpu-prof-dir", dir];
const upstream = await startUpstream(context);
const leg = await startTunnel(context, upstream, "node", {
  edge: profiled(dirs.edge),
  rift: profiled(dirs.rift),
});
const loadFor = (seconds) =>
  timedLoad({
    tool: context.loadTool,
    url: leg[flags.tunnel],
    authorization: flags.tunnel === "aware" ? leg.authorization : undefined,
    inFlight: Number(flags["in-flight"]),
    seconds,
  });
await loadFor(WARM_UP_SECONDS);
const before = sample(leg.watched);
const fromUs = nowUs();
const load = await loadFor(Number(flags.seconds));
const toUs = nowUs();
const after = sample(leg.watched);
await leg.stop();
await upstream.stop();

console.log(
  `${
    load.rate.toFixed(0)
  } requests/s, p50 ${load.p50Ms} ms, under the profiler (slower than without)`,
);
for (const [side, dir] of Object.entries(dirs)) {
  const [file] = readdirSync(dir);
  const { busyMs, rows } = selfTimes(JSON.parse(readFileSync(`${dir}/${file}`, "utf8")));
  const perRequest = (ms) => (ms * 1_000 / load.requests).toFixed(1);
  const cpuMs = (after[side].cpuS - before[side].cpuS) * 1_000;
  console.log(
    `\n${side}: ${perRequest(cpuMs)} µs of CPU, ${perRequest(busyMs)} µs seen by the profiler`,
  );
  console.log(format([
    ["self", "µs/request", "function"],
    ...rows.slice(0, Number(flags.top)).map(([name, ms]) => [
      `${(100 * ms / busyMs).toFixed(1)} %`,
      perRequest(ms),
      name,
    ]),
  ]));
  if (flags.keep) console.log(`${dir}/${file}`);
}
process.exit(0);

/** The monotonic clock that profiles are written in, µs. */
function nowUs() {
  return Number(process.hrtime.bigint() / 1_000n);
}

/** Self time per function between the two readings of the clock, waiting left out, most first. */
function selfTimes({ nodes, samples, timeDeltas, startTime }) {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const byName = new Map();
  let atUs = startTime;
  samples.forEach((id, i) => {
    atUs += timeDeltas[i];
    if (atUs < fromUs || atUs > toUs) return;
    const name = names.get(id);
    // A sample stands for the time until the next one.
    byName.set(name, (byName.get(name) ?? 0) + (timeDeltas[i + 1] ?? 0) / 1_000);
  });
  byName.delete("(idle)");
  const rows = [...byName].sort((a, b) => b[1] - a[1]);
  return { rows, busyMs: rows.reduce((sum, [, ms]) => sum + ms, 0) };
}

function nameOf({ functionName, url, lineNumber }) {
  const name = functionName === "" ? "(anonymous)" : functionName;
  if (url === "") return name;
  return `${name}  ${url.replace(/^.*\/(dist[^/]*|node_modules)\//, "")}:${lineNumber + 1}`;
}
