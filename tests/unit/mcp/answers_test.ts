import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { filterMessage } from "../../../src/mcp/filters.ts";
import { ORDINARY_METHODS } from "../../../src/policy/methods.ts";
import { answerCases, isAllowed } from "../../support/mcp_smuggling.ts";

test("every answer of a server gets its verdict", () => {
  let count = 0;

  for (const { name, era, expect, body, verdict } of answerCases()) {
    const found = filterMessage(Buffer.from(body), {
      era,
      expect,
      expectId: "n:1",
      allow: (kind, target) =>
        kind === "method" && ORDINARY_METHODS.has(target) || isAllowed({ kind, name: target }),
      standing: () => true,
      maxBytes: 100_000,
      families: ["sampling", "elicitation", "roots"],
    });
    const shown = {
      outcome: found.outcome,
      ...(found.outcome === "rewritten" ? { body: found.bytes.toString() } : {}),
      ...(found.outcome === "refused" ? { reason: found.reason } : {}),
    };
    assert.deepEqual(shown, verdict, name);
    count++;
  }

  assert.equal(count, 129);
});
