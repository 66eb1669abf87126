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
