import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { StreamIds } from "../../../src/transport/quic/stream_ids.ts";

test("StreamIds moves on over ids that came out of order", () => {
  const ids = new StreamIds(1);

  ids.seen(9);
  ids.seen(5);
  assert.equal(ids.next, 1);
  ids.seen(1);

  assert.equal(ids.next, 13);
});

test("StreamIds never takes an id of the other kind for a new one", () => {
  const ids = new StreamIds(0);

  assert.deepEqual([0, 1, 2, 3, 4].map((id) => ids.isNew(id)), [true, false, false, false, true]);
});

test("StreamIds says new exactly once for each id, in any order", () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(Array.from({ length: 50 }, (_, n) => n * 4 + 1)), (order) => {
      const ids = new StreamIds(1);
      for (const id of order) {
        assert.ok(ids.isNew(id));
        ids.seen(id);
        assert.ok(!ids.isNew(id));
      }
    }),
  );
});
