import assert from "node:assert/strict";
import { test } from "node:test";

import { TunnelCounters } from "../../../src/edge/served_tunnel.ts";
import { LATENCY_BOUNDS_MS } from "../../../src/edge/edge_status.ts";
import { fakeClock } from "../../support/fake_clock.ts";
import { MCP_TUNNEL } from "../../support/tunnel_bench.ts";

const TUNNEL = { settings: MCP_TUNNEL, url: "http://localhost/code/mcp" };

test("TunnelCounters counts what runs, what came of it and how long answers took", () => {
  const counters = new TunnelCounters(fakeClock());
  counters.started();
  counters.started();
  counters.started();
  counters.answered(3);
  counters.answered(1_000_000);
  counters.ended("2xx");
  counters.ended("aborted");
  counters.count("unauthenticated");

  const status = counters.status(TUNNEL, { rifts: [], waiting: [] });

  assert.equal(status.exchanges, 1);
  assert.deepEqual(status.outcomes, { "2xx": 1, aborted: 1, unauthenticated: 1 });
  assert.equal(status.latency.count, 2);
  assert.equal(status.latency.buckets.length, LATENCY_BOUNDS_MS.length + 1);
  assert.equal(status.latency.buckets[LATENCY_BOUNDS_MS.indexOf(5)], 1);
  assert.equal(status.latency.buckets.at(-1), 1);
});

test("TunnelCounters counts the exchanges of the last minute, also after a long silence", () => {
  const clock = fakeClock();
  const counters = new TunnelCounters(clock);
  const lastMinute = () => counters.status(TUNNEL, { rifts: [], waiting: [] }).startedLastMinute;
  counters.started();
  clock.advance(59_000);
  counters.started();
  assert.equal(lastMinute(), 2);

  clock.advance(1_000);
  assert.equal(lastMinute(), 1);
  clock.advance(3_600_000);
  assert.equal(lastMinute(), 0);
  counters.started();
  assert.equal(lastMinute(), 1);
});
