import assert from "node:assert/strict";
import { test } from "node:test";

import { canonicalJson, keptArguments } from "../../../src/audit/kept_arguments.ts";
import { auditFolder } from "../../support/audit_fixture.ts";

const VALUE = { path: "README.md", text: "secret", branch: "main" };
const digest = (purpose: string, text: string) => `${purpose}:${text}`;

test("nothing is kept of arguments unless it is asked for", () => {
  assert.equal(keptArguments({ keep: "none", maxBytes: 100 }, VALUE, digest), undefined);
  assert.equal(keptArguments({ keep: "all", maxBytes: 100 }, undefined, digest), undefined);
});

test("all, or the members with certain names, are kept", () => {
  const some = keptArguments(
    { keep: ["branch", "path", "toString"], maxBytes: 100 },
    VALUE,
    digest,
  );

  assert.deepEqual(keptArguments({ keep: "all", maxBytes: 100 }, VALUE, digest), VALUE);
  assert.deepEqual(some, { branch: "main", path: "README.md" });
  assert.equal(keptArguments({ keep: ["other"], maxBytes: 100 }, VALUE, digest), undefined);
  assert.equal(keptArguments({ keep: ["0"], maxBytes: 100 }, ["a"], digest), undefined);
});

test("what is too long is cut, and its size is told", () => {
  const value = { text: "é".repeat(1_000) };

  const kept = keptArguments({ keep: "all", maxBytes: 90 }, value, digest);

  assert.deepEqual(kept, { cut: `{"text":"${"é".repeat(20)}…`, bytes: 2_011 });
});

test("a digest is the same for equal arguments, whatever the order of their members", () => {
  const other = { branch: "main", text: "secret", path: "README.md" };
  const of = (value: unknown) => keptArguments({ keep: "digest", maxBytes: 10 }, value, digest);

  assert.deepEqual(of(VALUE), of(other));
  assert.notDeepEqual(of(VALUE), of({ ...other, text: "Secret" }));
  assert.equal(canonicalJson([{ b: [2, 1], a: null }]), '[{"a":null,"b":[2,1]}]');
});

test("the trail's digest is kept by a key: it stays over restarts, and differs between edges", async (t) => {
  const [one, other] = [await auditFolder(t), await auditFolder(t)];
  const first = await one.open();
  const before = first.digest("session", "s1");
  await first.close();

  const again = (await one.open()).digest("session", "s1");
  const elsewhere = (await other.open()).digest("session", "s1");

  assert.match(before, /^[A-Za-z0-9_-]{22}$/);
  assert.equal(again, before);
  assert.notEqual(elsewhere, before);
  assert.notEqual(first.digest("arguments", "s1"), before);
});
