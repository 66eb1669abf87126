/**
 * What a test file asks for, and what the runtimes' summaries say about it. Pure.
 *
 * @module
 */

const DEFAULT_TIMEOUT_MS = 60_000;
const HEADER_LINES = 40;

/** What a test file asks for in the comments near its top. */
export function headerOf(text) {
  const head = text.split("\n", HEADER_LINES).join("\n");
  const seconds = /^\/\/ test-timeout: (\d+)s$/m.exec(head)?.[1];
  return {
    timeoutMs: seconds === undefined ? DEFAULT_TIMEOUT_MS : Number(seconds) * 1_000,
    only: /^\/\/ test-runtime: (node|deno)$/m.exec(head)?.[1],
    alone: /^\/\/ test-alone$/m.test(head),
  };
}

/** The counts of Node's spec reporter, or `undefined` when the output has no summary. */
export function readNodeSummary(output) {
  const count = (name) => {
    const found = [...output.matchAll(new RegExp(`^ℹ ${name} (\\d+)$`, "gm"))].at(-1);
    return found === undefined ? undefined : Number(found[1]);
  };
  const passed = count("pass");
  const failed = count("fail");
  if (passed === undefined || failed === undefined) return undefined;
  return {
    passed,
    failed: failed + (count("cancelled") ?? 0),
    skipped: (count("skipped") ?? 0) + (count("todo") ?? 0),
  };
}

/** The counts of `deno test`, or `undefined` when the output has no summary. */
export function readDenoSummary(output) {
  const steps = String.raw`(?: \(\d+ steps?\))?`;
  const pattern = new RegExp(
    String
      .raw`^(?:ok|FAILED) \| (\d+) passed${steps} \| (\d+) failed${steps}(?: \| (\d+) ignored)?`,
    "gm",
  );
  const found = [...output.matchAll(pattern)].at(-1);
  if (found === undefined) return undefined;
  return { passed: Number(found[1]), failed: Number(found[2]), skipped: Number(found[3] ?? 0) };
}

/** Counts of one finished process: a file that ends badly, or says nothing, never counts as passed. */
export function judge({ output, exitCode, signal, timedOut, timeoutMs, read }) {
  const counts = read(output) ?? { passed: 0, failed: 0, skipped: 0 };
  const failWith = (problem) => ({ ...counts, failed: Math.max(1, counts.failed), problem });

  if (timedOut) {
    const why = read(output) === undefined
      ? "a test did not end, or something was left open after it"
      : "every test ended, but something was left open";
    return failWith(`Killed after ${timeoutMs / 1_000} s: ${why}`);
  }
  if (counts.failed > 0) return { ...counts, problem: undefined };
  if (exitCode !== 0) return failWith(`Ended with ${signal ?? `exit code ${exitCode}`}`);
  if (counts.passed + counts.skipped === 0) return failWith("Holds no test");
  return { ...counts, problem: undefined };
}
