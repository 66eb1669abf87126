/**
 * Memory: idle, with idle event streams, and along many requests over one tunnel connection.
 *
 * The legs take turns one at a time here, each in fresh processes.
 *
 * @module
 */

import { LEGS } from "../legs/legs.mjs";
import { startUpstream } from "../legs/upstream.mjs";
import { countedLoad } from "../lib/load.mjs";
import { Child, openFiles, sample } from "../lib/process.mjs";
import { slope } from "../lib/stats.mjs";
import { startLegs } from "./start_legs.mjs";

const IN_FLIGHT = 32;
const SETTLE_MS = 2_000;

export const memory = {
  tablePerLabel: true,
  metrics: ["edge", "rift", "proxy"].flatMap((role) => [
    [`idleMib ${role}`, `${role} idle MiB`, 1],
    [`streamsMib ${role}`, `${role} +MiB/1,000 SSE`, 1],
    [`afterMib ${role}`, `${role} after, MiB`, 1],
    [`bytesPerRequest ${role}`, `${role} B/req`, 0],
  ]).concat([["failures", "failures", 0], ["connections", "connections", 0]]),

  async round(context, record) {
    for (const [name, leg] of Object.entries(LEGS)) {
      if (name === "direct" || name === "nginx proxy") continue;
      const upstream = await startUpstream(context);
      const [started] = await startLegs(context, { [name]: leg }, upstream);
      if (started !== undefined) {
        try {
          await measure(context, record, name, started[1]);
        } catch (error) {
          context.note(`${name}, memory: ${error.message}`);
        }
        await started[1].stop();
      }
      await upstream.stop();
    }
  },
};

async function measure(context, record, name, leg) {
  const { streams, requests, every } = context.plan.memory;
  const perRole = (key, value) =>
    Object.fromEntries(leg.watched.map(({ role, pid }) => [`${key} ${role}`, value(role, pid)]));
  const rssNow = async () => {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const now = sample(leg.watched);
    return (role) => now[role].rssKib / 1_024;
  };

  const idle = await rssNow();
  record(name, "idle", perRole("idleMib", idle));

  let failures = 0;
  const series = [];
  for (let done = 0; done < requests; done += every) {
    const load = await countedLoad({
      url: leg.json,
      inFlight: IN_FLIGHT,
      amount: every,
      timeLimitS: 120,
    });
    failures += load.failures + every - load.requests;
    const now = sample(leg.watched);
    series.push({
      requests: done + every,
      ...perRole("rssMib", (role) => now[role].rssKib / 1_024),
    });
  }
  // The first fifth fills caches and lets the heap find its size; the slope is what comes after.
  const settled = series.filter((point) => point.requests > requests / 5);
  record(name, `${requests} requests`, {
    failures,
    connections: leg.connections?.(),
    series,
    ...perRole("afterMib", (role) => series.at(-1)[`rssMib ${role}`]),
    ...perRole(
      "bytesPerRequest",
      (role) =>
        slope(settled.map((point) => [point.requests, point[`rssMib ${role}`] * 1_024 * 1_024])),
    ),
  });

  const client = new Child({
    name: "event client",
    command: process.execPath,
    args: [`${context.benchDir}/clients/sse_client.mjs`],
    logFile: `${context.tempDir}/sse_client.log`,
  });
  const before = await rssNow();
  const opened = await client.ask(
    { kind: "open", url: `${leg.work}/events?every_ms=0`, streams },
    120_000,
  );
  const during = await rssNow();
  record(name, `${streams} idle event streams`, {
    openMs: opened.openMs,
    ...perRole("streamsMib", (role) => (during(role) - before(role)) * 1_000 / streams),
    ...perRole("openFiles", (_role, pid) => openFiles(pid)),
  });
  await client.stop();
}
