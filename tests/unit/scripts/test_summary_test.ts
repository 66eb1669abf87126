import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Summary {
  headerOf(text: string): { timeoutMs: number; only: string | undefined; alone: boolean };
  readNodeSummary(output: string): Counts | undefined;
  readDenoSummary(output: string): Counts | undefined;
  judge(end: {
    output: string;
    exitCode: number | null;
    timedOut: boolean;
    timeoutMs: number;
    read: (output: string) => Counts | undefined;
  }): Counts & { problem: string | undefined };
}

// The scripts are plain JavaScript and stay out of the build; the runner starts us in the root.
const path = pathToFileURL(resolve("scripts/test_summary.mjs")).href;
const summary = await import(path) as Summary;

const NODE_OUTPUT =
  "✔ a\nℹ tests 5\nℹ suites 0\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1\nℹ todo 0\n";

test("readNodeSummary() reads the last summary of the spec reporter", () => {
  assert.deepEqual(summary.readNodeSummary(NODE_OUTPUT), { passed: 3, failed: 2, skipped: 1 });
  assert.equal(summary.readNodeSummary("✔ a\n"), undefined);
});

test("readDenoSummary() reads the last summary of deno test", () => {
  assert.deepEqual(summary.readDenoSummary("\nok | 2 passed (4 steps) | 0 failed (13ms)\n"), {
    passed: 2,
    failed: 0,
    skipped: 0,
  });
  assert.deepEqual(
    summary.readDenoSummary("FAILED | 1 passed | 2 failed (1 step) | 3 ignored (1s)"),
    {
      passed: 1,
      failed: 2,
      skipped: 3,
    },
  );
  assert.equal(summary.readDenoSummary("error: Uncaught"), undefined);
});

test("judge() passes only a file that ran tests and ended well", () => {
  const end = { exitCode: 0, timedOut: false, timeoutMs: 2_000, read: summary.readDenoSummary };
  const good = "ok | 2 passed | 0 failed (1ms)";

  assert.deepEqual(summary.judge({ ...end, output: good }), {
    passed: 2,
    failed: 0,
    skipped: 0,
    problem: undefined,
  });
  assert.equal(summary.judge({ ...end, output: good, exitCode: 1 }).failed, 1);
  assert.equal(summary.judge({ ...end, output: good, exitCode: null }).failed, 1);
  assert.equal(summary.judge({ ...end, output: "" }).problem, "Holds no test");
  assert.equal(summary.judge({ ...end, output: "ok | 0 passed | 0 failed (1ms)" }).failed, 1);
});

test("judge() says whether a killed file hung in a test or after the last one", () => {
  const end = { exitCode: null, timedOut: true, timeoutMs: 2_000, read: summary.readDenoSummary };

  assert.match(
    summary.judge({ ...end, output: "" }).problem ?? "",
    /after 2 s: a test did not end/,
  );
  const after = summary.judge({ ...end, output: "ok | 2 passed | 0 failed (1ms)" });
  assert.match(after.problem ?? "", /something was left open/);
  assert.equal(after.failed, 1);
});

test("headerOf() reads what a file asks for", () => {
  assert.deepEqual(
    summary.headerOf("// test-timeout: 90s\n// test-runtime: deno\n// test-alone\n"),
    {
      timeoutMs: 90_000,
      only: "deno",
      alone: true,
    },
  );
  assert.deepEqual(summary.headerOf("import x;\n"), {
    timeoutMs: 60_000,
    only: undefined,
    alone: false,
  });
});
