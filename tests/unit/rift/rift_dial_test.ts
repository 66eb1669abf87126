import assert from "node:assert/strict";
import { test } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { DIAL_WARNING_MS } from "../../../src/limits.ts";
import { type LogFields, type Logger, silentLogger } from "../../../src/log.ts";
import { startRift } from "../../../src/rift/rift.ts";
import { fakeClock } from "../../support/fake_clock.ts";

test("a rift that cannot dial warns once in a while, with the time until it tries again", async () => {
  const clock = fakeClock();
  const warnings: LogFields[] = [];
  const log: Logger = {
    ...silentLogger,
    child: () => log,
    warn: (_message, fields = {}) => void warnings.push(fields),
  };
  let dials = 0;
  const stop = new AbortController();
  const rift = startRift({
    transport: {
      listen: () => Promise.reject(new Error("not used")),
      connect: () => {
        dials++;
        return Promise.reject(new TunnelError("CONNECTION_LOST", "no way"));
      },
    },
    address: { host: "127.0.0.1", port: 1 },
    serverName: "edge",
    tls: { caPem: "", certPem: "", keyPem: "" },
    exposes: [],
    clock,
    log,
    signal: stop.signal,
    random: () => 1,
  });

  // 250, 500, 1,000, 2,000 and 4,000 ms.
  for (const waitMs of [250, 500, 1_000, 2_000, 4_000]) {
    await settled();
    clock.advance(waitMs);
  }
  await settled();
  const early = warnings.length;
  clock.advance(DIAL_WARNING_MS);
  await settled();
  stop.abort();
  await rift.closed;

  assert.ok(dials >= 6, `${dials} dials`);
  assert.equal(early, 1);
  assert.deepEqual(warnings[0], {
    address: "127.0.0.1:1",
    code: "CONNECTION_LOST",
    error: "no way",
    retryInMs: 250,
  });
  assert.equal(warnings.length, 2);
});

/** Everything that waits for no timer has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}
