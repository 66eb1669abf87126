/** The QUIC core alone, against the package's own classes. @module */

import { makeMaterial, startCore, startPackage } from "../legs/echo.mjs";
import { sample } from "../lib/process.mjs";
import { startLegs } from "./start_legs.mjs";

/** Size of an echoed message, bytes. */
const MESSAGE_BYTES = 300;

export const echo = {
  reference: "package classes",
  metrics: [
    ["rate", "echo/s", 0],
    ["p50Ms", "p50 ms", 3],
    ["p99Ms", "p99 ms", 2],
    ["cpuUs opener", "opener µs", 0],
    ["cpuUs answerer", "answerer µs", 0],
    ["failures", "failures", 0],
    ["stalled", "stalled", 0],
  ],
  ratioOf: "rate",

  async round(context, record) {
    const { inFlight: levels, seconds, warmUpSeconds } = context.plan.echo;
    const material = await makeMaterial(context);
    // Fresh processes at each level, all legs warmed up the same way at that level.
    for (const inFlight of levels) {
      const legs = await startLegs(context, echoLegs(material, inFlight));
      for (const [name, leg] of legs) {
        const command = { kind: "echo", bytes: MESSAGE_BYTES };
        try {
          await leg.ask({ ...command, inFlight, seconds: warmUpSeconds });
          const before = sample(leg.watched);
          const done = await leg.ask({ ...command, inFlight, seconds });
          const after = sample(leg.watched);
          record(name, `${inFlight} in flight`, {
            ...done,
            ...Object.fromEntries(leg.watched.map(({ role }) => [
              `cpuUs ${role}`,
              (after[role].cpuS - before[role].cpuS) * 1e6 / Math.max(1, done.requests),
            ])),
          });
        } catch (error) {
          context.note(`${name} at ${inFlight} in flight: ${error.message}`);
        }
      }
      for (const [, leg] of legs) await leg.stop();
    }
  },
};

function echoLegs(material, inFlight) {
  const only32 = inFlight > 32
    ? "these classes are not asked for more than 32 in flight"
    : undefined;
  return {
    "package classes": { skip: () => only32, start: (context) => startPackage(context, material) },
    "core node": { start: (context) => startCore(context, material, "node") },
    "core deno": {
      skip: (context) => context.deno === undefined ? "deno is not installed" : undefined,
      start: (context) => startCore(context, material, "deno"),
    },
  };
}
