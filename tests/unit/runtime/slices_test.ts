import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";

import { DENO_SLICE_MS } from "../../../src/limits.ts";
import { inSlices } from "../../../src/runtime/slices.ts";
import { finish, type Steps } from "../../../src/steps.ts";
import { fakeClock } from "../../support/fake_clock.ts";

/** Far more than it takes. Turns of Deno are 1 ms at least; it looks for input after 64 immediates. */
const MAX_STEPS = "Deno" in globalThis ? 20 : 2_000;

test("what comes from the network has its turn between the steps of long work", async () => {
  let received = false;
  const server = createServer((socket) => {
    socket.on("data", () => received = true);
    socket.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(client, "connect");
  const clock = fakeClock();
  function* work(): Steps<number> {
    let steps = 0;
    for (client.write("x"); !received && steps < MAX_STEPS; steps++) {
      yield;
      clock.advance(DENO_SLICE_MS);
    }
    return steps;
  }

  const steps = await inSlices(work(), { clock });
  client.destroy();
  server.close();
  await once(server, "close");

  assert.ok(steps > 0 && steps < MAX_STEPS, `${steps} steps`);
});

test("steps that take no time are done in one turn, and give their result", async () => {
  let others = 0;
  setImmediate(() => others++);

  const result = await inSlices(counted(1_000), { clock: fakeClock() });

  assert.equal(result, 1_000);
  assert.equal(others, 0);
  assert.equal(finish(counted(1_000)), 1_000);
});

test("long work ends between two steps when its signal aborts", async () => {
  const clock = fakeClock();
  const life = new AbortController();
  const reason = new Error("closed");
  let steps = 0;
  function* work(): Steps<void> {
    for (; steps < MAX_STEPS; steps++) {
      yield;
      clock.advance(DENO_SLICE_MS);
      if (steps === 3) life.abort(reason);
    }
  }

  await assert.rejects(inSlices(work(), { clock, signal: life.signal }), reason);

  assert.equal(steps, 4);
});

test("what a step throws is what the work throws", async () => {
  const broken = new Error("broken");
  function* work(): Steps<void> {
    yield;
    throw broken;
  }

  await assert.rejects(inSlices(work(), { clock: fakeClock() }), broken);
  assert.throws(() => finish(work()), broken);
});

function* counted(count: number): Steps<number> {
  for (let index = 0; index < count; index++) yield;
  return count;
}
