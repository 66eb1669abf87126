import assert from "node:assert/strict";
import { test } from "node:test";

import type { ProbeOutcome } from "../../../src/admin/admin_source.ts";
import { Readiness } from "../../../src/admin/readiness.ts";
import { PROBE_CACHE_MS, READY_PROBES, READY_TIMEOUT_MS } from "../../../src/limits.ts";
import { fakeSource } from "../../support/admin_fixture.ts";
import { fakeClock } from "../../support/fake_clock.ts";

const BOTH = ["code-server", "wiki"];

test("each tunnel is told with how long it took or why it does not answer", async () => {
  const readiness = new Readiness(fakeSource(), fakeClock());

  assert.deepEqual(await readiness.check(BOTH, BOTH), [
    { name: "code-server", ready: true, tookMs: 12 },
    { name: "wiki", ready: false, reason: "no rift is connected" },
  ]);
});

test("probes are shared while they run and kept for a while after", async () => {
  const clock = fakeClock();
  const source = fakeSource();
  const readiness = new Readiness(source, clock);

  await Promise.all(Array.from({ length: 50 }, () => readiness.check(BOTH, BOTH)));
  clock.advance(PROBE_CACHE_MS - 1);
  await readiness.check(BOTH, BOTH);
  assert.deepEqual(source.asked, BOTH);

  clock.advance(1);
  await readiness.check(BOTH, BOTH);
  assert.equal(source.asked.length, 4);
});

test("a probe that hangs is given up in time, and told to stop", async () => {
  const clock = fakeClock();
  const source = fakeSource();
  const signals: AbortSignal[] = [];
  source.answer = (_tunnel, signal) => {
    signals.push(signal);
    return new Promise<ProbeOutcome>(() => {});
  };
  const readiness = new Readiness(source, clock);

  const asked = readiness.check(["code-server"], BOTH);
  clock.advance(READY_TIMEOUT_MS);
  const [found] = await asked;

  assert.ok(found?.ready === false);
  assert.match(found.reason, /no answer within 3000 ms/);
  assert.equal(signals[0]?.aborted, true);
  assert.equal(clock.pending, 0);
});

test("a probe that fails is a no, without its reason", async () => {
  const source = fakeSource();
  const readiness = new Readiness(source, fakeClock());

  source.answer = () => Promise.reject(new Error("secret upstream"));
  const rejected = await readiness.check(["code-server"], BOTH);
  source.answer = () => {
    throw new Error("secret upstream");
  };
  const thrown = await readiness.check(["wiki"], BOTH);

  for (const [found] of [rejected, thrown]) {
    assert.ok(found?.ready === false);
    assert.equal(found.reason, "the probe failed");
  }
});

test("few probes run at once, and those that had no turn come first the next time", async () => {
  const clock = fakeClock();
  const source = fakeSource();
  const names = Array.from({ length: READY_PROBES + 3 }, (_, at) => `t${at}`);
  source.answer = (tunnel) =>
    Number(tunnel.slice(1)) < READY_PROBES
      ? new Promise<ProbeOutcome>(() => {})
      : Promise.resolve({ answered: true, tookMs: 1 });
  const readiness = new Readiness(source, clock);

  const first = readiness.check(names, names);
  assert.equal(source.asked.length, READY_PROBES);
  clock.advance(READY_TIMEOUT_MS);
  const hung = await first;
  assert.ok(hung.every(({ ready }) => !ready));

  clock.advance(PROBE_CACHE_MS);
  source.asked.length = 0;
  const second = readiness.check(names, names);
  await Promise.resolve();
  assert.deepEqual(source.asked.slice(0, 3), names.slice(READY_PROBES));
  clock.advance(READY_TIMEOUT_MS);
  assert.equal((await second).filter(({ ready }) => ready).length, 3);
});

test("a free place goes to the next that waits", async () => {
  const source = fakeSource();
  const ends: ((outcome: ProbeOutcome) => void)[] = [];
  source.answer = () => new Promise((resolve) => ends.push(resolve));
  const names = Array.from({ length: READY_PROBES * 3 }, (_, at) => `t${at}`);
  const readiness = new Readiness(source, fakeClock());

  const checked = readiness.check(names, names);
  let most = 0;
  for (let ended = 0; ended < names.length; ended++) {
    most = Math.max(most, ends.length - ended);
    ends[ended]!({ answered: true, tookMs: 1 });
    await Promise.resolve();
    await Promise.resolve();
  }

  assert.ok((await checked).every(({ ready }) => ready));
  assert.ok(most <= READY_PROBES, `${most} at once`);
  assert.equal(source.asked.length, READY_PROBES * 3);
});

test("a tunnel that is no longer declared is forgotten", async () => {
  const source = fakeSource();
  const readiness = new Readiness(source, fakeClock());

  await readiness.check(BOTH, BOTH);
  await readiness.check(["wiki"], ["wiki"]);
  await readiness.check(BOTH, BOTH);

  assert.deepEqual(source.asked, ["code-server", "wiki", "code-server"]);
});

test("closing gives up what runs and what comes later", async () => {
  const clock = fakeClock();
  const source = fakeSource();
  source.answer = () => new Promise<ProbeOutcome>(() => {});
  const readiness = new Readiness(source, clock);

  const running = readiness.check(["code-server"], BOTH);
  readiness.close();
  readiness.close();
  const [before] = await running;
  const [later] = await readiness.check(["wiki"], BOTH);

  assert.equal(before?.ready, false);
  assert.equal(later?.ready, false);
  assert.equal(clock.pending, 0);
});
