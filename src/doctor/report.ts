/** Steps as people and programs read them. @module */

import type { StepResult } from "./step_runner.ts";

/** One step in at most 80 columns: status, name, what was seen, and under it how to mend it. */
export function stepText(step: StepResult, nameWidth: number): string {
  const head = `${WORD_OF[step.status].padEnd(4)}  ${step.name.padEnd(nameWidth)}  `;
  const indent = " ".repeat(head.length);
  const width = COLUMNS - head.length;
  const detail = step.detail.split("\n").flatMap((part) => wrap(part, width));
  const hint = step.hint === undefined ? [] : wrap(step.hint, width - ARROW.length)
    .map((part, at) => (at === 0 ? ARROW : " ".repeat(ARROW.length)) + part);
  return [...detail, ...hint]
    .map((part, at) => `${(at === 0 ? head : indent) + part}`.trimEnd() + "\n").join("");
}

/** The last line. */
export function summaryText(steps: readonly StepResult[]): string {
  const count = (status: StepResult["status"]): number =>
    steps.filter((step) => step.status === status).length;
  const [failed, notes, skipped] = [count("fail"), count("note"), count("skip")];
  const more = [
    ...(notes === 0 ? [] : [`${notes} ${notes === 1 ? "note" : "notes"}`]),
    ...(skipped === 0 ? [] : [`${skipped} skipped`]),
  ].map((text) => `, ${text}`).join("");
  return failed === 0
    ? `${count("ok")} ok${more}: no problem found\n`
    : `${failed} of ${steps.length} steps failed${more}${
      failed === 1 ? "" : ": begin with the first"
    }\n`;
}

/** All steps as one JSON object in one line. */
export function stepsJson(steps: readonly StepResult[]): string {
  return JSON.stringify({
    ok: steps.every(({ status }) => status !== "fail"),
    steps: steps.map(({ name, status, detail, hint, tookMs }) => ({
      name,
      status,
      detail,
      // Always there, so that whoever reads it needs no check for the key.
      hint: hint ?? null,
      tookMs,
    })),
  }) + "\n";
}

/** Breaks at spaces. A word that is longer than a line, such as a URL, stays whole to be copied. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let current = "";
  for (const word of text.split(" ")) {
    if (current !== "" && current.length + 1 + word.length > width) {
      lines.push(current);
      current = word;
    } else {
      current = current === "" ? word : `${current} ${word}`;
    }
  }
  return [...lines, current];
}

const WORD_OF = { ok: "ok", fail: "FAIL", skip: "skip", note: "note" } as const;
const COLUMNS = 80;
const ARROW = "→ ";
