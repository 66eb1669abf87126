import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { proxyIdentity } from "../../../src/identity/proxy_identity.ts";

/** As `node:http` gives a header that was sent in UTF-8. */
const sent = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

test("proxyIdentity() reads user and groups", () => {
  const cases: readonly (readonly [string, string | undefined, string, readonly string[]])[] = [
    ["alice", undefined, "alice", []],
    ["alice", "", "alice", []],
    ["alice@example.com", "dev", "alice@example.com", ["dev"]],
    ["alice", "dev, ops team ,,dev,", "alice", ["dev", "ops team"]],
    [sent("Jörg Müller"), sent("Größe,dev"), "Jörg Müller", ["Größe", "dev"]],
  ];
  let ran = 0;
  for (const [user, groups, expected, listed] of cases) {
    assert.deepEqual(proxyIdentity({ user, groups }), { user: expected, groups: listed });
    ran++;
  }
  assert.equal(ran, 5);
});

test("proxyIdentity() refuses what is not a name", () => {
  const many = Array.from({ length: 257 }, (_, index) => `g${index}`).join(",");
  const cases: readonly (readonly [string, string | undefined])[] = [
    ["", undefined],
    [" ", undefined],
    ["alice, bob", undefined],
    ["a\tb", undefined],
    [sent("a\u202eb"), undefined],
    ["J\xf6rg", undefined], // Latin-1, not UTF-8
    ["a".repeat(257), undefined],
    ["alice", "dev,a\tb"],
    ["alice", "a".repeat(257)],
    ["alice", "J\xf6rg"],
    ["alice", many],
  ];
  let ran = 0;
  for (const [user, groups] of cases) {
    const result = proxyIdentity({ user, groups });
    assert.ok("problem" in result, JSON.stringify(user));
    ran++;
  }
  assert.equal(ran, 11);
});
