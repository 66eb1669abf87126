import assert from "node:assert/strict";
import { test } from "node:test";

import { classifyRequest } from "../../../src/mcp/classify.ts";
import {
  bodyOf,
  isAllowed,
  SMUGGLING_MAX_BYTES,
  smugglingCases,
} from "../../support/mcp_smuggling.ts";
import type { SmugglingCase } from "../../support/mcp_smuggling.ts";

const LEAST_CASES = 500;

test("every case of the smuggling corpus gets its verdict", () => {
  const cases = smugglingCases();
  const wrong: string[] = [];

  for (const one of cases) {
    const found = verdictOf(one);
    const wanted = one.verdict.outcome === "allowed"
      ? { ...one.verdict, strip: one.strip ?? [] }
      : one.verdict;
    if (!isSame(found, wanted)) {
      wrong.push(`${one.name}: wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(found)}`);
    }
  }

  assert.deepEqual(wrong, []);
  assert.ok(cases.length >= LEAST_CASES, `${cases.length} cases`);
  assert.equal(new Set(cases.map((one) => one.name)).size, cases.length);
});

interface Found {
  readonly outcome: string;
  readonly [key: string]: unknown;
}

function verdictOf(one: SmugglingCase): Found {
  const classified = classifyRequest({
    httpMethod: one.httpMethod ?? "POST",
    rawHeaders: one.headers,
    body: bodyOf(one),
    maxBytes: SMUGGLING_MAX_BYTES,
  });
  if (classified.outcome === "refused") {
    const { httpStatus: status, code, reason } = classified;
    return { outcome: "refused", status, code, reason };
  }
  const { strip } = classified;
  for (const message of classified.messages) {
    const denied = message.targets.find((target) => !isAllowed(target));
    if (denied === undefined) continue;
    const { kind, name } = denied;
    const hasId = one.verdict.outcome === "denied" && one.verdict.id !== undefined;
    return { outcome: "denied", kind, name, ...(hasId ? { id: message.id?.raw } : {}) };
  }
  assert.equal(classified.era, one.era, one.name);
  return { outcome: "allowed", strip };
}

function isSame(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    // Not equal: the caller reports it with its case.
    return false;
  }
}
