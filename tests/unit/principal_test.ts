import assert from "node:assert/strict";
import { test } from "node:test";

import { ownerOf, type Principal } from "../../src/principal.ts";

test("ownerOf() tells apart everybody who is not the same", () => {
  const everybody: readonly Partial<Principal>[] = [
    { how: "user_token", user: "alice" },
    { how: "certificate", user: "alice" },
    { how: "proxy_header", user: "alice" },
    { how: "jwt", user: "alice", issuer: "https://one.example.com" },
    { how: "jwt", user: "alice", issuer: "https://two.example.com" },
    { how: "jwt", user: "alice", issuer: "https://one.example.com/" },
    { how: "jwt", user: "b alice", issuer: "https://one.example.com/a" },
    { how: "jwt", user: "alice", issuer: "https://one.example.com/a b" },
    { how: "jwt", user: "bob", issuer: "https://one.example.com" },
  ];

  const owners = everybody.map((one) => ownerOf({ groups: [], ...one } as Principal));

  assert.equal(new Set(owners).size, 9);
});

test("ownerOf() is the same whatever the groups are now", () => {
  const alice = { user: "alice", how: "jwt", issuer: "https://one.example.com" } as const;

  assert.equal(ownerOf({ ...alice, groups: ["dev"] }), ownerOf({ ...alice, groups: [] }));
});
