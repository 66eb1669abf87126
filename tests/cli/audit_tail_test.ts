// test-timeout: 120s
import assert from "node:assert/strict";
import { appendFileSync, renameSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { after, test } from "node:test";

import { textOfLines, toolLine, TRAIL_MS } from "../support/audit_lines.ts";
import { startCli } from "../support/cli_process.ts";
import { TrailFolder } from "../support/trail_folder.ts";

const trail = new TrailFolder();
after(() => trail.close());

const line = (number: number) => toolLine(`tool_${number}`, { time: TRAIL_MS + number });

test("the program follows its file through a rotation, and a signal ends it with 0", async () => {
  trail.write([textOfLines([line(1), line(2)])]);
  const tail = startCli(["audit", "tail", "-f", "-n", "1", "--json", "--file", trail.path]);
  assert.deepEqual(await tail.lines(1), [line(2)]);

  appendFileSync(trail.path, textOfLines([line(3)]));
  assert.deepEqual(await tail.lines(2), [line(2), line(3)]);
  appendFileSync(trail.path, textOfLines([line(4)]));
  renameSync(trail.path, trail.rotated(1));
  writeFileSync(trail.path, textOfLines([line(5)]));
  appendFileSync(trail.path, textOfLines([line(6)]));

  assert.deepEqual(await tail.lines(5), [2, 3, 4, 5, 6].map(line));
  tail.signal("SIGINT");
  const { code, stderr } = await tail.result;
  assert.equal(code, 0);
  assert.equal(stderr, "");
});

test("a reader that has seen enough ends the program quietly", async () => {
  // More than a pipe holds, so that the program is still writing.
  const lines = Array.from({ length: 20_000 }, (_, at) => line(at));
  trail.write([textOfLines(lines)]);
  let cases = 0;

  for (const more of [["--json"], [], ["-f"]]) {
    const since = ["--since", "2026-11-25"];
    const tail = startCli(["audit", "tail", ...since, ...more, "--file", trail.path]);
    await once(tail.child.stdout!, "readable");
    tail.child.stdout!.destroy();
    const { code, stderr } = await tail.result;

    assert.equal(stderr, "");
    assert.equal(code, 0);
    cases++;
  }
  assert.equal(cases, 3);
});
