/**
 * What the audit trail costs: the same call through aware tunnels of edges without one, with one,
 * with one that is synced at once, and with one that has every intent before its call.
 *
 * @module
 */

import { startTunnel } from "../legs/mcptun.mjs";
import { startUpstream } from "../legs/upstream.mjs";
import { timedLoad } from "../lib/load.mjs";
import { sample } from "../lib/process.mjs";

const LEGS = [
  ["no audit", undefined],
  ["batch", 'sync = "batch"'],
  ["always", 'sync = "always"'],
  ["batch, intent", 'sync = "batch"\nintent = true'],
];

export const audit = {
  reference: "no audit",
  metrics: [
    ["rate", "req/s", 0],
    ["p50Ms", "p50 ms", 3],
    ["p99Ms", "p99 ms", 2],
    ["cpuUs edge", "edge µs/req", 0],
    ["failures", "failures", 0],
  ],
  ratioOf: "rate",

  async round(context, record) {
    const { inFlight: levels, seconds, warmUpSeconds } = context.plan.small;
    const upstream = await startUpstream(context);
    const legs = [];
    for (const [name, keys] of LEGS) {
      legs.push([name, await startTunnel(context, upstream, "node", {}, keys)]);
    }
    const load = (leg, inFlight, forSeconds) =>
      timedLoad({
        tool: context.loadTool,
        url: leg.aware,
        authorization: leg.authorization,
        inFlight,
        seconds: forSeconds,
      });
    for (const [, leg] of legs) await load(leg, 32, warmUpSeconds);
    for (const inFlight of levels.filter((level) => level <= 32)) {
      for (const [name, leg] of legs) {
        const before = sample(leg.watched);
        const measured = await load(leg, inFlight, seconds);
        const after = sample(leg.watched);
        record(name, `${inFlight} in flight`, {
          ...measured,
          "cpuUs edge": (after.edge.cpuS - before.edge.cpuS) * 1e6 / measured.requests,
        });
      }
    }
    for (const [, leg] of legs) await leg.stop();
    await upstream.stop();
  },
};
