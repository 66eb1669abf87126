import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { eventStreamProblem } from "../../support/event_stream.ts";

const KEPT = JSON.parse(readFileSync("tests/vectors/event_streams.json", "utf8")) as string[];

test("a client reads of a filtered stream what it would of the stream itself, each event judged", () => {
  let ran = 0;
  for (const text of KEPT) {
    const bytes = Buffer.from(text, "base64");
    for (let cut = 0; cut <= bytes.length; cut += Math.max(1, bytes.length >> 3)) {
      assert.equal(eventStreamProblem(bytes, [cut], 1_000_000), undefined, text);
    }
    assert.equal(eventStreamProblem(bytes, [...bytes.keys()], 1_000_000), undefined, text);
    ran++;
  }

  assert.ok(ran >= 100, `${ran} streams`);
});
