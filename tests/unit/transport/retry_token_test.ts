import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import { RETRY_TOKEN_MS } from "../../../src/limits.ts";
import { RetryTokens } from "../../../src/transport/quic/retry_token.ts";

const from = { host: "192.0.2.1", port: 1_234 };
const originalId = randomBytes(20);
const retryId = randomBytes(20);
const tokens = new RetryTokens(randomBytes(32));
const token = tokens.make({ from, originalId, retryId }, 1_000);

test("a Retry token gives back the original connection id to the address it was made for", () => {
  assert.deepEqual(tokens.check(token, from, retryId, 1_000), originalId);
});

test("a Retry token is worth nothing elsewhere, later, damaged or under another key", () => {
  const otherKey = new RetryTokens(randomBytes(32));
  const refused = [
    tokens.check(token, { ...from, port: 1_235 }, retryId, 1_000),
    tokens.check(token, { ...from, host: "192.0.2.2" }, retryId, 1_000),
    tokens.check(token, from, randomBytes(20), 1_000),
    tokens.check(token, from, retryId, 1_000 + RETRY_TOKEN_MS + 1),
    otherKey.check(token, from, retryId, 1_000),
  ];

  assert.deepEqual(refused, refused.map(() => undefined));
});

test("a Retry token with any byte changed or missing is refused", () => {
  for (let at = 0; at < token.length; at++) {
    const damaged = new Uint8Array(token);
    damaged[at]! ^= 0x01;
    assert.equal(tokens.check(damaged, from, retryId, 1_000), undefined);
    assert.equal(tokens.check(token.subarray(0, at), from, retryId, 1_000), undefined);
  }
  assert.equal(token.length, 42);
});
