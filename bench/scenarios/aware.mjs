/**
 * What judging costs: the same call through a transparent and an aware tunnel of the same edge and
 * rift, in turns; and through a transparent one that asks for the same user token, since an aware one
 * must know whom it judges.
 *
 * @module
 */

import { LEGS } from "../legs/legs.mjs";
import { startUpstream } from "../legs/upstream.mjs";
import { timedLoad } from "../lib/load.mjs";
import { sample } from "../lib/process.mjs";

const KNOWN = "transparent, token";

export const aware = {
  reference: "transparent",
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
    const leg = await LEGS["mcptun node"].start(context, upstream);
    const ways = [
      ["transparent", { url: leg.json }],
      [KNOWN, { url: leg.known, authorization: leg.authorization }],
      ["aware", { url: leg.aware, authorization: leg.authorization }],
    ];
    const load = (way, inFlight, forSeconds) =>
      timedLoad({ tool: context.loadTool, ...way, inFlight, seconds: forSeconds });
    for (const [, way] of ways) await load(way, 32, warmUpSeconds);
    for (const inFlight of levels) {
      for (const [name, way] of ways) {
        const before = sample(leg.watched);
        const measured = await load(way, inFlight, seconds);
        const after = sample(leg.watched);
        record(name, `${inFlight} in flight`, {
          ...measured,
          "cpuUs edge": (after.edge.cpuS - before.edge.cpuS) * 1e6 / measured.requests,
        });
      }
    }
    await leg.stop();
    await upstream.stop();
  },
};
