import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bearerToken,
  hashUserToken,
  isUserToken,
  makeUserToken,
  userTokenCheck,
} from "../../../src/identity/user_token.ts";

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

test("check() finds the user of a known token", () => {
  const alice = makeUserToken().reveal();
  const bob = makeUserToken().reveal();
  const tokens = userTokenCheck([
    { user: "alice", hash: hashUserToken(alice) },
    { user: "bob", hash: hashUserToken(bob) },
  ]);

  assert.deepEqual(tokens.check(`Bearer ${alice}`), { user: "alice" });
  assert.deepEqual(tokens.check(`bearer  ${bob}`), { user: "bob" });
});

test("check() refuses everything but a known bearer token", () => {
  const token = makeUserToken().reveal();
  const tokens = userTokenCheck([{ user: "alice", hash: hashUserToken(token) }]);
  const refused = [
    undefined,
    "",
    token,
    "Bearer",
    "Bearer ",
    `Bearer${token}`,
    `Basic ${token}`,
    `Bearer ${token}x`,
    `Bearer ${token.slice(0, -1)}`,
    `Bearer ${token.toUpperCase()}`,
    `Bearer ${token}, Bearer ${token}`,
    `Bearer ${token} ${token}`,
    `Bearer\n${token}`,
    `Bearer ${token}\n`,
    `Bearer ${makeUserToken().reveal()}`,
    `Bearer ${Buffer.from(hashUserToken(token)).toString("base64url")}`,
    "Bearer " + "x".repeat(1_000_000),
    "Bearer" + " ".repeat(1_000_000),
  ];

  const found = refused.map((authorization) => tokens.check(authorization));

  assert.equal(found.length, 18);
  assert.ok(found.every((user) => user === undefined));
});

test("check() of no known token refuses everything", () => {
  assert.equal(userTokenCheck([]).check(`Bearer ${makeUserToken().reveal()}`), undefined);
});

test("userTokenCheck() refuses a hash of another length", () => {
  assert.throws(() => userTokenCheck([{ user: "a", hash: new Uint8Array(31) }]), TypeError);
});

test("bearerToken() takes one token of any kind out of the header", () => {
  const cases: [string | undefined, string | undefined][] = [
    ["Bearer abc", "abc"],
    ["bEaReR   a.b-c_d~e+f/g==  ", "a.b-c_d~e+f/g=="],
    [undefined, undefined],
    ["", undefined],
    ["Bearer", undefined],
    ["Bearer ", undefined],
    ["Bearerabc", undefined],
    ["Bearer\tabc", undefined],
    [" Bearer abc", undefined],
    ["Basic abc", undefined],
    ["Bearer a b", undefined],
    ["Bearer a, Bearer b", undefined],
    ["Bearer a=b", undefined],
    ["Bearer ä", undefined],
    ["Bearer abc\n", undefined],
    [`Bearer ${"x".repeat(1_000_000)}!`, undefined],
    [`Bearer x${" ".repeat(1_000_000)}!`, undefined],
  ];

  for (const [header, token] of cases) assert.equal(bearerToken(header), token, header);

  assert.equal(cases.length, 17);
});

test("isUserToken() tells user tokens from others", () => {
  const token = makeUserToken().reveal();

  const verdicts = [token, "mcpu_", `${token}a`, token.slice(1), "eyJ.a.b", `${token}\n`].map(
    isUserToken,
  );

  assert.deepEqual(verdicts, [true, false, false, false, false, false]);
});
