import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { ByteBudget, HeldBody } from "../../../src/edge/aware/byte_budget.ts";

test("ByteBudget keeps each owner to its share, and all of them to the whole", () => {
  const budget = new ByteBudget({ mostBytes: 100, mostBytesEach: 40 });

  assert.equal(budget.take("mallory", 40), true);
  assert.equal(budget.take("mallory", 1), false);
  assert.equal(budget.take("alice", 40), true);
  assert.equal(budget.take("bob", 21), false);
  assert.equal(budget.take("bob", 20), true);
  assert.equal(budget.take("carol", 1), false);
  budget.give("mallory", 40);
  assert.equal(budget.take("mallory", 40), true);
});

test("ByteBudget forgets owners that hold nothing, and none that holds something", () => {
  const budget = new ByteBudget({ mostBytes: 1_000, mostBytesEach: 40 });
  budget.take("alice", 30);
  for (let count = 0; count < 10_000; count++) {
    assert.equal(budget.take(`user ${count}`, 1), true);
    budget.give(`user ${count}`, 1);
  }

  assert.equal(budget.take("alice", 11), false);
  assert.equal(budget.take("alice", 10), true);
});

test("HeldBody holds a body in one-byte chunks in few pieces, and gives back what came", () => {
  const budget = new ByteBudget({ mostBytes: 1_000_000, mostBytesEach: 1_000_000 });
  const body = new HeldBody(budget, "alice", 1_000_000);
  const sent = Buffer.alloc(200_000, "0123456789");
  for (let at = 0; at < sent.length; at++) body.add(sent.subarray(at, at + 1));

  assert.ok(body.pieces < 20, `${body.pieces} pieces`);
  assert.equal(body.bytes, 200_000);
  assert.ok(body.whole().equals(sent));
  body.release();
  body.release();
  // Given back twice, there would be room for more than there is.
  assert.equal(budget.take("alice", 1_000_000), true);
  assert.equal(budget.take("alice", 1), false);
});

test("HeldBody keeps the order of small and large chunks", () => {
  const budget = new ByteBudget({ mostBytes: 10_000_000, mostBytesEach: 10_000_000 });
  const body = new HeldBody(budget, "alice", 10_000_000);
  const parts: Buffer[] = [];
  for (const [index, length] of [1, 5_000, 3, 0, 4_096, 4_095, 900, 1, 70_000, 2, 2].entries()) {
    const part = Buffer.alloc(length, 97 + index);
    parts.push(part);
    assert.equal(body.add(part), "taken");
  }

  assert.equal(parts.length, 11);
  assert.ok(body.whole().equals(Buffer.concat(parts)));
  assert.equal(body.add(Buffer.from("more")), "taken");
  assert.ok(body.whole().equals(Buffer.concat([...parts, Buffer.from("more")])));
});

test("HeldBody of one chunk is that chunk, and one that is refused holds nothing", () => {
  const budget = new ByteBudget({ mostBytes: 100, mostBytesEach: 50 });
  const one = new HeldBody(budget, "alice", 20);
  const chunk = Buffer.from("only");
  one.add(chunk);

  assert.equal(one.whole().buffer, chunk.buffer);
  assert.equal(one.add(Buffer.alloc(17)), "too_large");
  assert.equal(new HeldBody(budget, "alice", 200).add(Buffer.alloc(51)), "no_room");
  assert.equal(budget.take("alice", 50), true);
});
