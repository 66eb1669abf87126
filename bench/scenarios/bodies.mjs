/**
 * Large bodies each way: rate, and how far memory grows on each side meanwhile.
 *
 * The QUIC core moves the same amounts in the same round, for the ratio against its own bulk rate.
 *
 * @module
 */

import { makeMaterial, startCore } from "../legs/echo.mjs";
import { LEGS } from "../legs/legs.mjs";
import { startUpstream } from "../legs/upstream.mjs";
import { Child, withRssPeak } from "../lib/process.mjs";
import { spread } from "../lib/stats.mjs";
import { startLegs } from "./start_legs.mjs";

const MIB = 1_024 * 1_024;

export const bodies = {
  reference: "core node",
  metrics: [
    ["rateMibS", "MiB/s", 1],
    ["medianMs", "ms each", 1],
    ["growthMib edge", "edge +MiB", 1],
    ["growthMib rift", "rift +MiB", 1],
    ["growthMib proxy", "proxy +MiB", 1],
    ["cpuS edge", "edge CPU s", 2],
    ["cpuS rift", "rift CPU s", 2],
  ],
  ratioOf: "rateMibS",

  async round(context, record) {
    const upstream = await startUpstream(context);
    const material = await makeMaterial(context);
    const core = (runtime) => ({
      skip: () =>
        runtime === "deno" && context.deno === undefined ? "deno is not installed" : undefined,
      start: () => startCore(context, material, runtime),
    });
    const legs = await startLegs(
      context,
      { "core node": core("node"), "core deno": core("deno"), ...LEGS },
      upstream,
    );
    const client = new Child({
      name: "body client",
      command: process.execPath,
      args: [`${context.benchDir}/clients/body_client.mjs`],
      logFile: `${context.tempDir}/body_client.log`,
    });
    const mover = (leg) =>
      leg.ask !== undefined
        ? (command) => leg.ask(command, 600_000)
        : (command) => client.ask({ ...command, base: leg.work }, 600_000);

    for (const [, leg] of legs) {
      for (const kind of ["down", "up"]) await mover(leg)({ kind, bytes: MIB, count: 8 });
    }
    for (const { mib, count } of context.plan.bodies) {
      for (const kind of ["down", "up"]) {
        for (const [name, leg] of legs) {
          const label = `${mib} MiB ${kind}`;
          try {
            record(
              name,
              label,
              await measure(leg.watched, () => mover(leg)({ kind, bytes: mib * MIB, count }), mib),
            );
          } catch (error) {
            context.note(`${name}, ${label}: ${error.message}`);
          }
        }
      }
    }
    await client.stop();
    for (const [, leg] of legs) await leg.stop();
    await upstream.stop();
  },
};

async function measure(watched, work, mib) {
  const { result, before, after, growthMib } = await withRssPeak(watched, work);
  const each = spread(result.seconds);
  return {
    rateMibS: mib / each.median,
    medianMs: each.median * 1_000,
    ...Object.fromEntries(watched.flatMap(({ role }) => [
      [`growthMib ${role}`, growthMib[role]],
      [`cpuS ${role}`, after[role].cpuS - before[role].cpuS],
    ])),
  };
}
