import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

interface Scenario {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
}

interface Compare {
  readScenarios(directory: string): Promise<Map<string, Scenario>>;
  totals(scenarios: ReadonlyMap<string, Scenario>): Record<string, number>;
  regressions(
    direct: ReadonlyMap<string, Scenario>,
    tunnel: ReadonlyMap<string, Scenario>,
  ): string[];
}

// Plain JavaScript that stays out of the build; the runner starts us in the root.
const path = pathToFileURL(resolve("tests/conformance/compare.mjs")).href;
const compare = await import(path) as Compare;

const run = (scenarios: Record<string, Scenario>) => new Map(Object.entries(scenarios));

test("regressions() finds nothing when the tunnel is the same or better", () => {
  const direct = run({ a: { passed: ["x", "x"], failed: ["y"] }, b: { passed: [], failed: [] } });
  const better = run({
    a: { passed: ["x", "x", "y"], failed: [] },
    b: { passed: ["z"], failed: [] },
  });

  assert.deepEqual(compare.regressions(direct, direct), []);
  assert.deepEqual(compare.regressions(direct, better), []);
});

test("regressions() names a scenario that did not run through the tunnel", () => {
  const direct = run({ a: { passed: ["x"], failed: [] }, b: { passed: ["x"], failed: [] } });
  const tunnel = run({ a: { passed: ["x"], failed: [] } });

  assert.deepEqual(compare.regressions(direct, tunnel), ["b: did not run"]);
});

test("regressions() names a check that newly fails, once", () => {
  const direct = run({ a: { passed: ["x"], failed: ["y"] } });
  const tunnel = run({ a: { passed: [], failed: ["x", "y"] } });

  assert.deepEqual(compare.regressions(direct, tunnel), ["a: x fails"]);
});

test("regressions() names a check that is new through the tunnel and fails", () => {
  const direct = run({ a: { passed: ["x"], failed: [] } });
  const tunnel = run({ a: { passed: ["x"], failed: ["new"] } });

  assert.deepEqual(compare.regressions(direct, tunnel), ["a: new fails"]);
});

test("regressions() names a check that no longer passes, nor fails", () => {
  const direct = run({ a: { passed: ["x", "y"], failed: [] } });
  const tunnel = run({ a: { passed: ["y"], failed: [] } });

  assert.deepEqual(compare.regressions(direct, tunnel), ["a: x does not pass"]);
});

test("regressions() counts checks with the same name", () => {
  const direct = run({ a: { passed: ["x", "x"], failed: ["y"] } });
  const tunnel = run({ a: { passed: ["x"], failed: ["y", "y"] } });

  assert.deepEqual(compare.regressions(direct, tunnel), ["a: y fails", "a: x does not pass"]);
});

test("readScenarios() and totals() read what the suite writes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-compare-"));
  try {
    const write = (name: string, checks: { id: string; status: string }[]): void => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "checks.json"), JSON.stringify(checks));
    };
    write("server-tools-list-2026-01-02T03-04-05", [
      { id: "x", status: "SUCCESS" },
      { id: "i", status: "INFO" },
    ]);
    write("server-ping-2026-01-02T03-04-05", [
      { id: "y", status: "FAILURE" },
      { id: "z", status: "SUCCESS" },
    ]);
    write("something-else", [{ id: "n", status: "FAILURE" }]);

    const scenarios = await compare.readScenarios(folder);

    assert.deepEqual(Object.fromEntries(scenarios), {
      ping: { passed: ["z"], failed: ["y"] },
      "tools-list": { passed: ["x"], failed: [] },
    });
    assert.deepEqual(compare.totals(scenarios), {
      scenariosPassed: 1,
      scenariosFailed: 1,
      checksPassed: 2,
      checksFailed: 1,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
