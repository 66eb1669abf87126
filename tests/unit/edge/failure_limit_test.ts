import assert from "node:assert/strict";
import { test } from "node:test";

import { FailureLimit } from "../../../src/edge/failure_limit.ts";
import { FAILURE_ADDRESSES, FAILURES_AT_ONCE, MS_PER_FAILURE } from "../../../src/limits.ts";
import { fakeClock } from "../../support/fake_clock.ts";

test("FailureLimit blocks an address after too many different proofs, and forgives with time", () => {
  const clock = fakeClock();
  const limit = new FailureLimit(clock);

  for (let guess = 0; guess < FAILURES_AT_ONCE; guess++) {
    assert.equal(limit.isBlocked("a"), false);
    limit.failed("a", `guess ${guess}`);
  }

  assert.equal(limit.isBlocked("a"), true);
  assert.equal(limit.isBlocked("b"), false);
  assert.equal(limit.retryAfterS("a"), MS_PER_FAILURE / 1_000);
  clock.advance(MS_PER_FAILURE);
  assert.equal(limit.isBlocked("a"), false);
  limit.failed("a", "one more");
  assert.equal(limit.isBlocked("a"), true);
});

test("FailureLimit counts a token that is shown again and again once", () => {
  const limit = new FailureLimit(fakeClock());

  for (let attempt = 0; attempt < 10 * FAILURES_AT_ONCE; attempt++) limit.failed("a", "same");

  assert.equal(limit.isBlocked("a"), false);
});

test("FailureLimit remembers a bounded number of addresses, the latest ones", () => {
  const limit = new FailureLimit(fakeClock());
  const block = (address: string) => {
    for (let guess = 0; guess < FAILURES_AT_ONCE; guess++) limit.failed(address, String(guess));
  };
  block("first");
  for (let address = 0; address < FAILURE_ADDRESSES - 1; address++) limit.failed(`${address}`, "");
  assert.equal(limit.isBlocked("first"), true);

  limit.failed("one too many", "");

  assert.equal(limit.isBlocked("first"), false);
});
