import assert from "node:assert/strict";
import { test } from "node:test";

import { BodyWatch } from "../../../src/edge/body_watch.ts";
import { fakeClock } from "../../support/fake_clock.ts";

test("BodyWatch finds the body that stands still, and only that", () => {
  const clock = fakeClock();
  const watch = new BodyWatch(clock, 1_000);
  const stalled: string[] = [];
  const body = (name: string, progressAtMs: number | undefined) => ({
    progressAtMs,
    onStalled: () => void stalled.push(name),
  });
  const moving = body("moving", 0);
  watch.add(body("still", 0));
  watch.add(moving);
  watch.add(body("held back by us", undefined));

  clock.advance(900);
  moving.progressAtMs = clock.now();
  clock.advance(400);

  assert.deepEqual(stalled, ["still"]);
  watch.close();
  assert.equal(clock.pending, 0);
});

test("BodyWatch gives up a body that crawls, but not one that was held back", () => {
  const clock = fakeClock();
  const watch = new BodyWatch(clock, 1_000);
  const stalled: string[] = [];
  const body = (name: string) => ({
    progressAtMs: 0 as number | undefined,
    receivedBytes: 0,
    onStalled: () => void stalled.push(name),
  });
  const [crawling, fast, held] = [body("crawling"), body("fast"), body("held")];
  for (const one of [crawling, fast, held]) watch.add(one);
  held.progressAtMs = undefined;

  for (let step = 0; step < 20; step++) {
    clock.advance(250);
    crawling.progressAtMs = fast.progressAtMs = clock.now();
    crawling.receivedBytes += 1;
    fast.receivedBytes += 10_000;
  }

  assert.deepEqual(stalled, ["crawling"]);
  watch.close();
});
