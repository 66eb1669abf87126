/**
 * Small JSON, closed loop: requests per second, latency, and CPU per request on each side.
 *
 * All legs of a round run at once and take turns, so that a pair of legs is measured seconds apart.
 *
 * @module
 */

import { LEGS } from "../legs/legs.mjs";
import { startUpstream } from "../legs/upstream.mjs";
import { timedLoad } from "../lib/load.mjs";
import { sample, udpCounters } from "../lib/process.mjs";
import { startLegs } from "./start_legs.mjs";

export const small = {
  reference: "node proxy",
  metrics: [
    ["rate", "req/s", 0],
    ["p50Ms", "p50 ms", 3],
    ["p99Ms", "p99 ms", 2],
    ["cpuUs edge", "edge µs/req", 0],
    ["cpuUs rift", "rift µs/req", 0],
    ["cpuUs proxy", "proxy µs/req", 0],
    ["udpPerRequest", "UDP/req", 2],
    ["failures", "failures", 0],
  ],
  ratioOf: "rate",

  async round(context, record) {
    const { inFlight: levels, seconds, warmUpSeconds } = context.plan.small;
    const upstream = await startUpstream(context);
    const legs = await startLegs(context, LEGS, upstream);
    for (const [, leg] of legs) {
      await timedLoad({
        tool: context.loadTool,
        url: leg.json,
        inFlight: 32,
        seconds: warmUpSeconds,
      });
    }
    for (const inFlight of levels) {
      for (const [name, leg] of legs) {
        const before = sample(leg.watched);
        const udpBefore = udpCounters();
        const load = await timedLoad({ tool: context.loadTool, url: leg.json, inFlight, seconds });
        const after = sample(leg.watched);
        const udp = udpCounters();
        record(name, `${inFlight} in flight`, {
          ...load,
          udpPerRequest: (udp.sent - udpBefore.sent) / load.requests,
          udpDropped: udp.dropped - udpBefore.dropped,
          ...Object.fromEntries(leg.watched.map(({ role }) => [
            `cpuUs ${role}`,
            (after[role].cpuS - before[role].cpuS) * 1e6 / load.requests,
          ])),
        });
      }
    }
    for (const [, leg] of legs) await leg.stop();
    await upstream.stop();
  },
};
