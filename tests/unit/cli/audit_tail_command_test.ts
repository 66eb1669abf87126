import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";

import {
  checkpointLine,
  deniedLine,
  lostLine,
  openLine,
  recordLine,
  textOfLines,
  toolLine,
  TRAIL_MS,
} from "../../support/audit_lines.ts";
import { runIn, TextSink } from "../../support/run_cli.ts";
import { TrailFolder } from "../../support/trail_folder.ts";

const trail = new TrailFolder();
after(() => trail.close());

/** A terminal of so many columns. */
class Terminal extends TextSink {
  readonly isTTY = true;
  readonly columns: number;

  constructor(columns: number) {
    super();
    this.columns = columns;
  }
}

const at = (seconds: number) => TRAIL_MS + seconds * 1_000;
const HOSTILE = "wri\x1b[31mte\nfile\u202e\u009b\u{1f600}\\u001b";

/** Something of everything. */
const LINES = [
  openLine(at(0)),
  toolLine("read_file", { time: at(1) }),
  toolLine("search_code", { time: at(2), user: "bob", duration_ms: 2_412, bytes_out: 1_300_000 }),
  deniedLine("shell_exec", { time: at(3), user: "bob" }),
  deniedLine(HOSTILE, {
    time: at(4),
    layer: "user",
    reason: "not_in_allow_list",
    rule: undefined,
    rule_at: undefined,
    user: "m\u00fcller\x07",
  }),
  recordLine({
    time: at(5),
    duration_ms: 1.4,
    tunnel: "code-server",
    client: "203.0.113.9",
    http_method: "POST",
    http_path: "/code-server/mcp",
    status: 401,
    code: "UNAUTHENTICATED",
    result: "refused",
    bytes_out: 160,
  }),
  toolLine("fetch", { time: at(6), result: "rpc_error", error_code: -32602 }),
  recordLine({
    time: at(7),
    duration_ms: 93_784_000,
    tunnel: "code-server",
    user: "alice",
    method: "subscriptions/listen",
    kind: "resource",
    name: "file:///repo/a/long/path/to/README.md",
    decision: "allow",
    layer: "user",
    rule: 'allow_resources "file:///repo/**"',
    rule_at: "user.toml:4:20",
    result: "ok",
    bytes_out: 118_000_000,
  }),
  checkpointLine(at(8)),
  lostLine(at(9), 17),
  toolLine("pay", {
    type: "intent",
    time: at(10),
    exchange: "z1",
    duration_ms: undefined,
    result: undefined,
  }),
  openLine(at(86_400)),
  toolLine("a", {
    time: at(86_401),
    batch: [{ method: "tools/call", kind: "tool", name: "delete_all", decision: "allow" }],
  }),
];
trail.write([textOfLines(LINES)]);

interface Tail {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `audit tail` on the trail; on a terminal when `columns` are given. */
async function tail(argv: readonly string[], columns?: number): Promise<Tail> {
  const stdout = columns === undefined ? new TextSink() : new Terminal(columns);
  const result = await runIn(trail.folder, ["audit", "tail", "--file", "audit.jsonl", ...argv], {
    stdout,
  });
  return { ...result, stdout: stdout.text };
}

test("80 columns have what matters in one line per record", async () => {
  const { code, stdout, stderr } = await tail(["--no-color"], 80);

  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  for (const line of stdout.split("\n")) assert.ok(line.length <= 80, line);
  assert.equal(
    stdout,
    `tunnel code-server
UTC      RESULT     TOOK USER       CALL                  RULE
-- 2026-11-25 UTC
08:30:01 ok         12ms alice      tool read_file        allow "read_*"
08:30:02 ok         2.4s bob        tool search_code      allow "read_*"
08:30:03 DENIED     <1ms bob        tool shell_exec       deny "shell_*"
08:30:04 DENIED     <1ms m\\u{fc}ll… tool wri\\u{1b}[31mte… not_in_allow_list
08:30:05 refused     1ms -          POST /code-server/mcp UNAUTHENTICATED
08:30:06 rpc err    12ms alice      tool fetch            error -32602, allow "…
08:30:07 ok         1d2h alice      resource file:///rep… allow "file:///repo/*…
08:30:09 LOST            -          17 records not writt…
08:30:10 NO END          alice      tool pay              the edge ended before…
-- 2026-11-26 UTC
08:30:01 ok         12ms alice      tool a (+1)           allow "read_*"
`,
  );
});

test("160 columns have dates, sizes, tunnels, and where a rule stands", async () => {
  const { stdout } = await tail(["--no-color"], 160);

  for (const line of stdout.split("\n")) assert.ok(line.length <= 160, line);
  assert.equal(
    stdout,
    `TIME (UTC)               RESULT    HTTP    TOOK    OUT  USER              TUNNEL       CALL                                 RULE
2026-11-25 08:30:01.000  ok         200    12ms   4.1K  alice             code-server  tool read_file                       allow_tools "read_*" user.toml:3:16
2026-11-25 08:30:02.000  ok         200    2.4s   1.2M  bob               code-server  tool search_code                     allow_tools "read_*" user.toml:3:16
2026-11-25 08:30:03.000  DENIED     200    <1ms   140B  bob               code-server  tool shell_exec                      deny "shell_*" mcptun.toml:12:15
2026-11-25 08:30:04.000  DENIED     200    <1ms   140B  m\\u{fc}ller\\u{7}  code-server  tool wri\\u{1b}[31mte\\u{a}file\\u{20…  user: not_in_allow_list
2026-11-25 08:30:05.000  refused    401     1ms   160B  -                 code-server  POST /code-server/mcp                UNAUTHENTICATED
2026-11-25 08:30:06.000  rpc err    200    12ms   4.1K  alice             code-server  tool fetch                           error -32602, allow … user.toml:3:16
2026-11-25 08:30:07.000  ok                1d2h   113M  alice             code-server  resource file:///repo/a/long/path/…  allow "file:///repo/… user.toml:4:20
2026-11-25 08:30:09.000  LOST                           -                 -            17 records not written
2026-11-25 08:30:10.000  NO END     200           4.1K  alice             code-server  tool pay                             the edge ended before it was over
2026-11-26 08:30:01.000  ok         200    12ms   4.1K  alice             code-server  tool a (+1)                          allow_tools "read_*" user.toml:3:16
`,
  );
});

test("denied lines stand out in colour as well, and only on a terminal that has it", async () => {
  const colored = await tail(["-n", "20"], 100);
  const plain = [await tail([], undefined), await tail(["--no-color"], 100)];

  assert.match(colored.stdout, /\x1b\[1;31mDENIED\x1b\[22;39m .* \x1b\[31mdeny "shell_\*"/);
  assert.match(colored.stdout, /\x1b\[33mrefused\x1b\[39m/);
  // deno-lint-ignore no-control-regex
  assert.match(colored.stdout.replace(/\x1b\[[0-9;]*m/g, ""), /^[\x20-\x7e\n…]*$/);
  for (const { stdout } of plain) {
    assert.ok(!stdout.includes("\x1b"));
    assert.match(stdout, /^.*DENIED.*shell_exec.*$/m);
  }
});

test("without a terminal nothing is shortened and everything is inert", async () => {
  const { stdout } = await tail([]);

  const [head = "", ...rows] = stdout.trimEnd().split("\n");
  assert.match(
    head,
    /^TIME \(UTC\) +RESULT +HTTP +TOOK +IN +OUT +CLIENT +USER +TUNNEL +CALL +RULE$/,
  );
  assert.equal(rows.length, 10);
  assert.match(stdout, /^[\x20-\x7e\n]*$/);
  assert.match(
    stdout,
    /m\\u\{fc\}ller\\u\{7\} .* tool wri\\u\{1b\}\[31mte\\u\{a\}file\\u\{202e\}\\u\{9b\}\\u\{1f600\}/,
  );
  assert.match(
    stdout,
    /^2026-11-25 08:30:03\.000 +DENIED .*deny_tools "shell_\*" mcptun\.toml:12:15$/m,
  );
});

test("--json gives the bytes of the lines, without a filter of every line", async () => {
  const all = await tail(["--json"]);
  const denied = await tail(["--json", "--decision", "deny"]);
  const last = await tail(["--json", "-n", "2"]);

  assert.equal(all.stdout, textOfLines(LINES));
  assert.equal(denied.stdout, textOfLines(LINES.slice(3, 5)));
  assert.equal(last.stdout, textOfLines(LINES.slice(-2)));
});

test("filters choose records, also by the other messages of a batch", async () => {
  const cases: readonly (readonly [readonly string[], number])[] = [
    [["--user", "alice"], 4],
    [["--user", "{alice,bob}"], 6],
    [["--user", "m*"], 1],
    [["--tunnel", "code-*"], 8],
    [["--tunnel", "wiki"], 0],
    [["--tool", "shell_*"], 1],
    [["--tool", "delete_*"], 1],
    [["--tool", "UNAUTH*"], 0],
    [["--resource", "file:///repo/*"], 1],
    [["--decision", "deny"], 2],
    [["--result", "denied,refused"], 3],
    [["--result", "ok", "--user", "bob"], 1],
    [["--where", "duration_ms > 500"], 2],
    [["--where", "error_code"], 1],
    [["--where", "not user"], 1],
    [["--since", "2026-11-25T08:30:06"], 3],
    [["--since", "2026-11-25 08:30:06Z", "--until", "2026-11-25T08:30:07"], 1],
    [["--until", "2026-11-25T08:30:02"], 1],
    [["--since", "2026-11-26T09:30:00+01:00"], 1],
    [["-n", "2", "--decision", "deny"], 2],
    [["-n", "1", "--decision", "deny"], 1],
    [["-n", "0"], 0],
  ];

  for (const [argv, expected] of cases) {
    const { code, stdout } = await tail([...argv, "--json"]);
    const found = stdout.split("\n").filter((line) => line.includes('"type":"exchange"'));

    assert.equal(code, 0, argv.join(" "));
    assert.equal(found.length, expected, argv.join(" "));
  }
  assert.equal(cases.length, 22);
});

test("intents are shown only when their exchange has not followed, or when they are asked for", async () => {
  const other = new TrailFolder();
  const intent = (exchange: string, seconds: number) =>
    toolLine("pay", { type: "intent", exchange, time: at(seconds), result: undefined });
  const rowsOf = async (argv: readonly string[] = []) => {
    const { stdout } = await runIn(other.folder, ["audit", "tail", "--file", other.path, ...argv]);
    return stdout.split("\n").slice(1, -1).map((line) => line.slice(24, 33).trim());
  };
  other.write([
    textOfLines([
      openLine(at(0)),
      intent("a", 1),
      intent("b", 2),
      checkpointLine(at(3), "rotated"),
    ]),
    textOfLines([openLine(at(3), 2), toolLine("pay", { exchange: "a", time: at(1) })]),
  ]);
  const afterRotation = await rowsOf();
  appendFileSync(other.path, textOfLines([openLine(at(9), 2), intent("c", 10)]));
  const afterCrash = await rowsOf();
  const asked = await rowsOf(["--where", "type = intent"]);
  const ofAnother = await rowsOf(["--user", "bob"]);
  other.close();

  assert.deepEqual(afterRotation, ["ok", "open"]);
  assert.deepEqual(afterCrash, ["ok", "NO END", "open"]);
  assert.deepEqual(asked, ["intent", "intent", "intent"]);
  assert.deepEqual(ofAnother, []);
});

test("lines that are no records are left out, and counted on standard error", async () => {
  const other = new TrailFolder();
  other.write([
    textOfLines([
      LINES[1]!,
      '{"v":1,"ty',
      '{"v":7,"type":"exchange","time":"2026-11-25T08:30:00.000Z"}',
      "\x1b[2J",
    ]) + "{",
  ]);
  const { code, stdout, stderr } = await tailAndClose(other);

  assert.equal(code, 0);
  assert.equal(stdout.trimEnd().split("\n").length, 2);
  assert.match(stderr, /^mcptun: note: .*audit\.jsonl: its last line has no end: /m);
  assert.match(
    stderr,
    /^mcptun: note: left out 2 lines that are no record \("mcptun audit verify"/m,
  );
  assert.match(stderr, /^mcptun: note: left out 1 line of a newer version/m);
});

test("a tunnel that comes later gets its column", async () => {
  const other = new TrailFolder();
  const lines = Array.from(
    { length: 6_000 },
    (_, index) => toolLine("read_file", { time: at(index) }),
  );
  other.write([textOfLines([...lines, toolLine("last", { tunnel: "wiki", time: at(6_001) })])]);
  const stdout = new Terminal(80);
  await runIn(other.folder, ["audit", "tail", "--file", other.path, "--since", "2026-11-25"], {
    stdout,
  });
  other.close();

  const heads = stdout.text.split("\n").filter((line) => line.includes("RULE"));
  assert.equal(heads.length, 2);
  assert.doesNotMatch(heads[0]!, /TUNNEL/);
  assert.match(heads[1]!, /TUNNEL/);
  assert.match(stdout.text, /alice +wiki +tool last/);
});

test("what cannot be used is told with exit code 2", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["--where", "duraton_ms > 5"], /--where: column 1: "duraton_ms" is no field .*duration_ms/],
    [["--since", "yesterday"], /--since: "yesterday" is no time \(write how long ago/],
    [["--since", "2026-02-31"], /--since: "2026-02-31" is no time/],
    [["--since", "1h", "--until", "2h"], /--until is not after --since/],
    [["--follow", "--until", "1h"], /--until and --follow exclude each other/],
    [["-n", "all"], /--lines: "all" is not a number of lines/],
    [["--decision", "denied"], /--decision: "denied" is not known \(allow, deny\)/],
    [
      ["--result", "ok,tool-error"],
      /--result: "tool-error" is not known \(did you mean "tool_error"/,
    ],
    [
      ["--where", "user = bob or decision = denied"],
      /--where: column 26: "decision" is never "denied" \(it is one of: allow, deny\)/,
    ],
    [["--tool", "a["], /--tool: "a\[": its \[ \] do not pair/],
    [["--file", "nothing.jsonl"], /Cannot read the audit trail ".*nothing\.jsonl": no such file/],
  ];

  for (const [argv, text] of cases) {
    const { code, stdout, stderr } = await tail(argv);

    assert.equal(code, 2, argv.join(" "));
    assert.equal(stdout, "", argv.join(" "));
    assert.match(stderr, text);
    assert.ok(!stderr.includes("internal error"), stderr);
  }
  assert.equal(cases.length, 11);
});

test("what is no file is refused at once by each command that reads the trail", {
  skip: process.platform === "win32" && "there are no FIFOs",
}, async () => {
  const other = new TrailFolder();
  execFileSync("mkfifo", ["-m", "600", join(other.folder, "fifo")]);
  writeFileSync(join(other.folder, "user.toml"), '[[policy]]\nusers = ["*"]\n');
  const commands = [
    ["audit", "tail"],
    ["audit", "tail", "-f"],
    ["audit", "stats"],
    ["policy", "replay", "user.toml"],
  ];

  for (const argv of commands) {
    const fifo = await runIn(other.folder, [...argv, "--file", "fifo"]);
    const folder = await runIn(other.folder, [...argv, "--file", "."]);

    assert.deepEqual([fifo.code, folder.code], [2, 2], argv.join(" "));
    assert.match(fifo.stderr, /Cannot read the audit trail ".*fifo": it is not a regular file\n/);
    assert.match(folder.stderr, /it is a folder \(name the file in it\)/);
  }
  other.close();
  assert.equal(commands.length, 4);
});

test("-n is the number of lines, also with some that have no outcome", async () => {
  const other = new TrailFolder();
  const intent = (exchange: string, seconds: number) =>
    toolLine("pay", { type: "intent", exchange, time: at(seconds), result: undefined });
  other.write([
    textOfLines([
      openLine(at(0)),
      ...[1, 2, 3].map((seconds) => toolLine("read_file", { time: at(seconds) })),
      intent("a", 4),
      openLine(at(5)),
      toolLine("read_file", { time: at(6) }),
      intent("b", 7),
    ]),
  ]);
  const counts: number[] = [];
  for (const lines of ["0", "1", "3", "50"]) {
    const { stdout } = await runIn(other.folder, [
      ...["audit", "tail", "--file", other.path, "-n", lines],
    ]);
    counts.push(stdout.split("\n").slice(1, -1).length);
  }
  other.close();

  assert.deepEqual(counts, [0, 1, 3, 6]);
});

test("a file that is no trail is refused", async () => {
  const other = new TrailFolder();
  other.write(['[[policy]]\nusers = ["*"]\n']);

  const { code, stdout, stderr } = await tailAndClose(other);

  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /audit\.jsonl": it is not an audit trail of mcptun\n/);
});

test("when there is nothing to show, that is said on standard error", async () => {
  const other = new TrailFolder();
  other.write([textOfLines([openLine(at(0)), checkpointLine(at(0))])]);
  const run = (folder: TrailFolder, ...argv: string[]) =>
    runIn(folder.folder, ["audit", "tail", "--file", folder.path, ...argv]);

  const empty = await run(other);
  const unmatched = await run(other, "--user", "nobody");
  const late = await run(trail, "--since", "2026-12-24");
  const quiet = [
    await run(other, "--json", "--user", "nobody"),
    await run(trail, "-n", "0"),
    await run(trail),
  ];
  other.close();

  assert.deepEqual(empty, {
    code: 0,
    stdout: "",
    stderr: "mcptun: note: the trail has no records yet\n",
  });
  for (const { code, stdout, stderr } of [unmatched, late]) {
    assert.deepEqual([code, stdout, stderr], [0, "", "mcptun: note: no record matches\n"]);
  }
  assert.deepEqual(quiet.map(({ stderr }) => stderr), ["", "", ""]);
});

test("without a file or a configuration it says what is missing", async () => {
  const { code, stderr } = await runIn(trail.folder, ["audit", "tail"]);

  assert.equal(code, 2);
  assert.match(
    stderr,
    /^mcptun: Cannot tell where the audit trail is: there is no mcptun\.toml here/,
  );
});

async function tailAndClose(trail: TrailFolder): Promise<Awaited<ReturnType<typeof runIn>>> {
  try {
    return await runIn(trail.folder, ["audit", "tail", "--file", trail.path]);
  } finally {
    trail.close();
  }
}
