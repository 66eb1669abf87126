import assert from "node:assert/strict";
import { test } from "node:test";

import { line, plain, shown, shownList } from "../../../src/doctor/finding.ts";
import { stepsJson, stepText, summaryText } from "../../../src/doctor/report.ts";
import { type StepResult, StepRunner } from "../../../src/doctor/step_runner.ts";
import { fakeClock } from "../../support/fake_clock.ts";

test("text from outside is escaped, quoted and cut", () => {
  let ran = 0;
  for (
    const [text, expected] of [
      ["plain", '"plain"'],
      ["\u001b[31mred", '"\\u{1b}[31mred"'],
      ["a\nb\r\tc", '"a\\u{a}b\\u{d}\\u{9}c"'],
      ["\u009b2J", '"\\u{9b}2J"'],
      ["a\u202eb\u2066c\u200bd\ufeff", '"a\\u{202e}b\\u{2066}c\\u{200b}d\\u{feff}"'],
      ["a\u2028b\u00a0c", '"a\\u{2028}b\\u{a0}c"'],
      ["\ud800", '"\\u{d800}"'],
      ["e\u0301", '"e\\u{301}"'],
      ["\u{e0041}", '"\\u{e0041}"'],
      ["größe 日本", '"größe 日本"'],
    ] as const
  ) {
    assert.equal(shown(text), expected);
    ran++;
  }
  assert.equal(ran, 10);
  assert.equal(plain("x".repeat(500), 10), `${"x".repeat(9)}…`);
  assert.equal(shownList(["a", "b", "c"], 2), "a, b and 1 more");
  assert.ok(line("\u0000".repeat(1_000_000)).length <= 1_000);
});

test("a step is wrapped at 80 columns under its own column, with an arrow before the hint", () => {
  const text = stepText({
    name: "tls",
    status: "fail",
    detail: `${"word ".repeat(30).trim()}\nsecond`,
    hint: "mend ".repeat(30).trim(),
    tookMs: 1,
  }, 9);

  const lines = text.trimEnd().split("\n");
  assert.ok(lines.every((one) => one.length <= 80));
  assert.match(lines[0]!, /^FAIL {2}tls {8}word word/);
  assert.ok(lines.slice(1).every((one) => one.startsWith(" ".repeat(17))));
  assert.equal(lines.filter((one) => one.includes("→")).length, 1);
  assert.ok(lines.includes(`${" ".repeat(17)}second`));
});

test("a URL longer than a line stays whole", () => {
  const url = `https://example.com/${"a".repeat(100)}`;

  assert.ok(stepText(result("note", url), 9).includes(url));
});

test("the summary counts what a person has to look at", () => {
  assert.equal(summaryText([result("ok"), result("skip")]), "1 ok, 1 skipped: no problem found\n");
  assert.equal(summaryText([result("fail"), result("note")]), "1 of 2 steps failed, 1 note\n");
  assert.equal(
    summaryText([result("fail"), result("fail")]),
    "2 of 2 steps failed: begin with the first\n",
  );
});

test("as JSON every step has every key", () => {
  const value = JSON.parse(stepsJson([result("ok"), { ...result("fail"), hint: "h" }])) as unknown;

  assert.deepEqual(value, {
    ok: false,
    steps: [
      { name: "x", status: "ok", detail: "d", hint: null, tookMs: 2 },
      { name: "x", status: "fail", detail: "d", hint: "h", tookMs: 2 },
    ],
  });
});

test("a runner keeps time, makes every line inert and hides secrets", async () => {
  const clock = fakeClock();
  const told: StepResult[] = [];
  const runner = new StepRunner({
    clock,
    signal: new AbortController().signal,
    onStep: (step) => told.push(step),
  });
  runner.hide("s3cret");
  runner.hide("");

  await runner.run("a", () => {
    clock.advance(12);
    return { status: "fail", detail: ["one s3cret", "two\u001b"], hint: "use s3cret\n" };
  });
  runner.skip(["b", "c"], "later");

  assert.deepEqual(told, runner.results);
  assert.equal(runner.ok, false);
  assert.deepEqual(runner.results[0], {
    name: "a",
    status: "fail",
    detail: "one [redacted]\ntwo\\u{1b}",
    hint: "use [redacted]\\u{a}",
    tookMs: 12,
  });
  assert.deepEqual(runner.results.map(({ name }) => name), ["a", "b", "c"]);
});

function result(status: StepResult["status"], detail = "d"): StepResult {
  return { name: "x", status, detail, hint: undefined, tookMs: 2 };
}
