import assert from "node:assert/strict";
import { test } from "node:test";

import { hashUserToken, isUserToken, makeUserToken } from "../../../src/identity/user_token.ts";

test("makeUserToken() makes a new token of 256 bits each time", () => {
  const tokens = new Set(Array.from({ length: 50 }, () => makeUserToken().reveal()));

  assert.equal(tokens.size, 50);
  for (const token of tokens) assert.match(token, /^mcpu_[A-Za-z0-9_-]{43}$/);
  assert.equal(String(makeUserToken()), "[redacted]");
});

test("hashUserToken() is SHA-256", () => {
  // FIPS 180-4 example "abc".
  assert.equal(
    Buffer.from(hashUserToken("abc")).toString("hex"),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
});

test("isUserToken() tells user tokens from others", () => {
  const token = makeUserToken().reveal();

  const verdicts = [token, "mcpu_", `${token}a`, token.slice(1), "eyJ.a.b", `${token}\n`].map(
    isUserToken,
  );

  assert.deepEqual(verdicts, [true, false, false, false, false, false]);
});
