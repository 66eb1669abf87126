/** Event streams: the time from the upstream's write to the client's event. @module */

import { LEGS } from "../legs/legs.mjs";
import { startUpstream } from "../legs/upstream.mjs";
import { Child } from "../lib/process.mjs";
import { startLegs } from "./start_legs.mjs";

export const sse = {
  reference: "node proxy",
  metrics: [
    ["p50Ms", "p50 ms", 3],
    ["p90Ms", "p90 ms", 3],
    ["p99Ms", "p99 ms", 2],
    ["maxMs", "max ms", 1],
    ["events", "events", 0],
    ["failures", "lost", 0],
  ],
  ratioOf: "p50Ms",

  async round(context, record) {
    const upstream = await startUpstream(context);
    const legs = await startLegs(context, LEGS, upstream);
    for (const { streams, everyMs, seconds } of context.plan.sse) {
      for (const [name, leg] of legs) {
        const client = new Child({
          name: "event client",
          command: process.execPath,
          args: [`${context.benchDir}/clients/sse_client.mjs`],
          logFile: `${context.tempDir}/sse_client.log`,
        });
        const label = `${streams} stream${streams === 1 ? "" : "s"}`;
        try {
          await client.ask({
            kind: "open",
            url: `${leg.work}/events?every_ms=${everyMs}`,
            streams,
          });
          await client.ask({ kind: "listen", seconds: context.plan.sseWarmUpSeconds });
          record(name, label, await client.ask({ kind: "listen", seconds }));
        } catch (error) {
          context.note(`${name}, ${label}: ${error.message}`);
        }
        await client.stop();
      }
    }
    for (const [, leg] of legs) await leg.stop();
    await upstream.stop();
  },
};
