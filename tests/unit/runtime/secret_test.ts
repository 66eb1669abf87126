import assert from "node:assert/strict";
import { format, inspect } from "node:util";
import { test } from "node:test";

import { Secret } from "../../../src/runtime/secret.ts";

const VALUE = "mcpu_very-secret";

test("Secret reveals its value only when asked", () => {
  assert.equal(new Secret(VALUE).reveal(), VALUE);
});

test("Secret prints as [redacted] wherever a value is turned into text", () => {
  const secret = new Secret(VALUE);
  const deno = (globalThis as { Deno?: { inspect(value: unknown): string } }).Deno;
  const printed = [
    String(secret),
    `${secret as unknown as string}`, // as a mistake in plain JavaScript would
    JSON.stringify({ secret }),
    JSON.stringify([secret]),
    inspect(secret),
    inspect({ deep: { secret } }, { showHidden: true, depth: 9 }),
    format("%s %o %j", secret, secret, secret),
    inspect(new Error("broken", { cause: secret })),
    ...(deno === undefined ? [] : [deno.inspect(secret), deno.inspect({ secret })]),
  ];

  assert.ok(printed.length >= 8);
  for (const text of printed) {
    assert.doesNotMatch(text, /very-secret/);
    assert.match(text, /\[redacted\]/);
  }
});

test("Secret has no property that holds its value", () => {
  const secret = new Secret(VALUE);

  assert.deepEqual(Reflect.ownKeys(secret), []);
  assert.deepEqual(Object.assign({}, secret), {});
  assert.deepEqual(structuredClone(secret), {});
});
