import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { EventBoundary } from "../../../src/edge/event_boundary.ts";

const CASES: readonly (readonly [text: string, between: boolean])[] = [
  ["", true],
  ["data: x", false],
  ["data: x\n", false],
  ["data: x\n\n", true],
  ["data: x\r\n", false],
  ["data: x\r\n\r\n", true],
  ["data: x\r", false],
  ["data: x\r\r", true],
  ["data: x\n\r", true],
  ["data: x\n\r\n", true],
  ["data: x\r\n\n", true],
  ["data: x\r\n\r", true],
  ["data: x\n\ndata: y", false],
  ["data: x\n\ndata: y\n", false],
  [": comment\n\n", true],
  ["\n", true],
];

test("EventBoundary tells the space between events, however the bytes are cut", () => {
  let count = 0;
  for (const [text, between] of CASES) {
    const bytes = Buffer.from(text);
    for (let size = 1; size <= Math.max(1, bytes.length); size++) {
      const boundary = new EventBoundary();
      for (let at = 0; at < bytes.length; at += size) {
        boundary.push(bytes.subarray(at, at + size));
      }
      assert.equal(boundary.betweenEvents, between, `${JSON.stringify(text)} by ${size}`);
    }
    count++;
  }
  assert.equal(count, CASES.length);
});
