import assert from "node:assert/strict";
import { after, test } from "node:test";

import {
  deniedLine,
  lostLine,
  openLine,
  textOfLines,
  toolLine,
  TRAIL_MS,
} from "../../support/audit_lines.ts";
import { runIn } from "../../support/run_cli.ts";
import { TrailFolder } from "../../support/trail_folder.ts";

const trail = new TrailFolder();
after(() => trail.close());

const at = (seconds: number) => TRAIL_MS + seconds * 1_000;
trail.write([
  textOfLines([
    openLine(at(0)),
    toolLine("read_file", { time: at(1), duration_ms: 10 }),
    toolLine("read_file", { time: at(2), duration_ms: 10 }),
    toolLine("evil\x1b[2J", { time: at(3), duration_ms: 900, user: "bob", result: "tool_error" }),
  ]),
  textOfLines([
    deniedLine("shell_exec", { time: at(60), tunnel: "wiki" }),
    lostLine(at(61), 3),
    toolLine("pay", { type: "intent", time: at(62), exchange: "a", result: undefined }),
    openLine(at(63)),
    toolLine("pay", { type: "intent", time: at(64), exchange: "b", result: undefined }),
  ]),
]);
const argv = ["audit", "stats", "--file", "audit.jsonl"];

test("without --since it is the day before --until", async () => {
  const within = await runIn(trail.folder, [...argv, "--until", "2026-11-26"]);
  const before = await runIn(trail.folder, [...argv, "--until", "2026-01-01"]);

  assert.equal(within.code, 0, within.stderr);
  assert.match(within.stdout, /^4 exchanges, /);
  assert.deepEqual(before, { code: 0, stdout: "No exchange in this time\n", stderr: "" });
});

test("stats are tables by tunnel, user and tool, inert", async () => {
  const { code, stdout, stderr } = await runIn(trail.folder, [...argv, "--since", "2026-11-25"]);

  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.equal(
    stdout,
    `4 exchanges, 2026-11-25 08:30 UTC to 2026-11-25 08:31 UTC
ok 2, tool_error 1, denied 1
LOST: 3 records could not be written
NO END: 1 without an end, because the edge ended
open: 1 in flight at the end of the trail, or the edge has ended

TUNNEL                  CALLS   DENIED  REFUSED   ERRORS      P50      P95
code-server                 3        0        0        1     10ms    941ms
wiki                        1        1        0        0        -        -

USER                    CALLS   DENIED  REFUSED   ERRORS      P50      P95
alice                       3        1        0        0     10ms     10ms
bob                         1        0        0        1    941ms    941ms

TOOL                    CALLS   DENIED  REFUSED   ERRORS      P50      P95
read_file                   2        0        0        0     10ms     10ms
evil\\u{1b}[2J               1        0        0        1    941ms    941ms
shell_exec                  1        1        0        0        -        -

P50 and P95 are within 5%, of answered calls, without event streams
`,
  );
});

test("--json has every count, and filters are kept", async () => {
  const { stdout } = await runIn(trail.folder, [
    ...argv,
    ...["--since", "2026-11-25T08:30:02", "--until", "2026-11-25T08:31:00", "--json"],
  ]);

  const row = { denied: 0, refused: 0, errors: 0 };
  assert.deepEqual(JSON.parse(stdout), {
    from: "2026-11-25T08:30:02.000Z",
    to: "2026-11-25T08:30:03.000Z",
    ...{ calls: 2, ...row, errors: 1, p50_ms: 9.7, p95_ms: 941 },
    results: { ok: 1, tool_error: 1 },
    lost: 0,
    unfinished: 0,
    open: 0,
    tunnels: {
      rows: [{ name: "code-server", calls: 2, ...row, errors: 1, p50_ms: 9.7, p95_ms: 941 }],
      others: null,
    },
    users: {
      rows: [
        { name: "alice", calls: 1, ...row, p50_ms: 9.7, p95_ms: 9.7 },
        { name: "bob", calls: 1, ...row, errors: 1, p50_ms: 941, p95_ms: 941 },
      ],
      others: null,
    },
    tools: {
      rows: [
        { name: "evil\x1b[2J", calls: 1, ...row, errors: 1, p50_ms: 941, p95_ms: 941 },
        { name: "read_file", calls: 1, ...row, p50_ms: 9.7, p95_ms: 9.7 },
      ],
      others: null,
    },
  });
});

test("a time without records says so", async () => {
  const { code, stdout } = await runIn(trail.folder, [...argv, "--since", "2030-01-01"]);

  assert.equal(code, 0);
  assert.equal(stdout, "No exchange in this time\n");
});
