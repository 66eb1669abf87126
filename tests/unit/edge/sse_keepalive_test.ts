import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { SseKeepalive } from "../../../src/edge/sse_keepalive.ts";
import { fakeClock } from "../../support/fake_clock.ts";

function setUp() {
  const clock = fakeClock();
  const sink = {
    ready: true,
    written: [] as string[],
    write(chunk: Uint8Array) {
      this.written.push(String(Buffer.from(chunk)));
    },
  };
  return { clock, sink, keepalive: new SseKeepalive(clock, 1_000, sink) };
}

test("SseKeepalive writes one comment per silent interval", () => {
  const { clock, sink, keepalive } = setUp();

  clock.advance(3_500);

  assert.deepEqual(sink.written, [":\n\n", ":\n\n", ":\n\n"]);
  keepalive.close();
  assert.equal(clock.pending, 0);
});

test("SseKeepalive counts silence from the last byte", () => {
  const { clock, sink, keepalive } = setUp();

  clock.advance(900);
  keepalive.sent(Buffer.from("data: x\n\n"));
  clock.advance(900);
  assert.deepEqual(sink.written, []);
  clock.advance(100);

  assert.deepEqual(sink.written, [":\n\n"]);
});

test("SseKeepalive never writes inside an event or to a reader that is behind", () => {
  const { clock, sink, keepalive } = setUp();

  keepalive.sent(Buffer.from("data: half"));
  clock.advance(5_000);
  keepalive.sent(Buffer.from("\n\n"));
  sink.ready = false;
  clock.advance(5_000);

  assert.deepEqual(sink.written, []);
});
