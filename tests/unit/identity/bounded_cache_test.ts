import assert from "node:assert/strict";
import { test } from "node:test";

import { BoundedCache } from "../../../src/identity/bounded_cache.ts";

test("BoundedCache drops the oldest entry when it is full", () => {
  const cache = new BoundedCache<number>(3);
  for (const [index, key] of ["a", "b", "c"].entries()) cache.set(key, index, 100);
  cache.set("a", 9, 100); // the newest now
  cache.set("d", 3, 100);

  assert.equal(cache.size, 3);
  assert.deepEqual(["a", "b", "c", "d"].map((key) => cache.get(key, 0)), [9, undefined, 2, 3]);
});

test("BoundedCache never grows above its bound", () => {
  const cache = new BoundedCache<number>(10);
  for (let index = 0; index < 10_000; index++) cache.set(`key-${index}`, index, Infinity);

  assert.equal(cache.size, 10);
  assert.equal(cache.get("key-9999", 0), 9_999);
});

test("BoundedCache has nothing beyond its time", () => {
  const cache = new BoundedCache<string>(3);
  cache.set("a", "x", 100);

  assert.equal(cache.get("a", 99), "x");
  assert.equal(cache.get("a", 100), undefined);
  assert.equal(cache.size, 0);
  cache.set("b", "y", 200);
  cache.clear();
  assert.equal(cache.get("b", 0), undefined);
});
