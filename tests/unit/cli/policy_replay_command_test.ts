import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";

import {
  deniedLine,
  recordLine,
  textOfLines,
  toolLine,
  TRAIL_MS,
} from "../../support/audit_lines.ts";
import { runIn, TextSink } from "../../support/run_cli.ts";
import { TrailFolder } from "../../support/trail_folder.ts";

const trail = new TrailFolder();
after(() => trail.close());

const at = (seconds: number) => TRAIL_MS + seconds * 1_000;
const write = (name: string, text: string) => writeFileSync(join(trail.folder, name), text);
const LINES = [
  toolLine("read_file", { time: at(1) }),
  toolLine("write_file", { time: at(2) }),
  toolLine("write_file", { time: at(70) }),
  deniedLine("shell_exec", { time: at(3) }),
  deniedLine("delete_file", {
    time: at(4),
    layer: "user",
    reason: "not_in_allow_list",
    rule: undefined,
    rule_at: undefined,
  }),
  // By a group alone, and in a batch.
  toolLine("read_a", {
    time: at(5),
    user: "bob",
    groups: ["ops"],
    batch: [
      { method: "tools/call", kind: "tool", name: "restart", decision: "allow", layer: "user" },
    ],
  }),
  // Nothing that a rule decides about.
  toolLine("t1", { time: at(6), kind: "task", decision: "deny", layer: "ownership", reason: "x" }),
  recordLine({ time: at(7), tunnel: "code-server", status: 401, result: "refused" }),
  recordLine({ time: at(8), tunnel: "plain", user: "alice", http_method: "GET", result: "ok" }),
  toolLine(`${"n".repeat(1_023)}…`, { time: at(9) }),
  toolLine("read_x", { time: at(10), tunnel: "gone" }),
];
trail.write([textOfLines(LINES)]);
write(
  "same.toml",
  `[[policy]]
users = ["alice"]
allow_tools = ["read_*", "write_file"]
[[policy]]
groups = ["ops"]
allow_tools = ["read_*", "restart"]
`,
);
write(
  "other.toml",
  `[[policy]]
users = ["alice"]
allow_tools = ["read_*", "delete_file", "shell_exec"]
[[policy]]
groups = ["ops"]
allow_tools = ["read_*"]
`,
);
write(
  "methods.toml",
  `[[policy]]
users = ["*"]
allow_tools = ["read_*", "write_file", "restart"]
deny_methods = ["tools/call"]
`,
);
write(
  "mcptun.toml",
  `[[tunnel]]
name = "code-server"
mode = "aware"
auth = "edge"
allow_tools = ["*"]
`,
);

const replay = (file: string, ...more: readonly string[]) =>
  runIn(trail.folder, [
    ...["policy", "replay", file, "--since", "2026-11-25", "--file", "audit.jsonl"],
    ...more,
  ]);

test("a policy that decides alike exits 0", async () => {
  const { code, stdout, stderr } = await replay("same.toml");

  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.equal(
    stdout,
    `0 of 9 recorded decisions would change with same.toml

Not judged: 2 without a decision: of tunnels that are not aware (mode = "aware"), or refused before it
Not judged: 1 whose record does not hold the whole name, or all groups or messages
Only the user layer is judged: the tunnels' own rules are in the configuration (add --config mcptun.toml)
`,
  );
});

test("a trail of which nothing is judged says so, and what to look at", async () => {
  const late = await replay("same.toml", "--since", "2026-12-24");
  const lateJson = await replay("same.toml", "--since", "2026-12-24", "--json");
  write("plain.jsonl", textOfLines([recordLine({ time: at(8), tunnel: "plain", user: "alice" })]));
  const plain = await runIn(trail.folder, [
    "policy",
    "replay",
    "same.toml",
    "--file",
    "plain.jsonl",
  ]);

  assert.equal(late.code, 0);
  assert.match(late.stdout, /^Nothing was judged: no record in "[^"]*audit\.jsonl" is of the time/);
  assert.match(late.stdout, /--since and --until/);
  assert.equal((JSON.parse(lateJson.stdout) as { judged: number }).judged, 0);
  assert.equal(plain.code, 0);
  assert.match(plain.stdout, /^Nothing was judged: no record in .* has a decision/);
  assert.match(plain.stdout, /1 have none: they are of tunnels that are not aware/);
});

test("what would change is grouped, new denials first, and exits 1", async () => {
  const { code, stdout } = await replay("other.toml");

  assert.equal(code, 1);
  const [head, , titles, ...rows] = stdout.split("\n");
  assert.equal(head, "4 of 9 recorded decisions would change with other.toml");
  assert.match(titles!, /^WOULD BE +CALLS +USER +TUNNEL +TARGET +FIRST +LAST +BECAUSE +WAS$/);
  assert.match(
    rows[0]!,
    /^DENIED +2 +alice +code-server +tool write_file +2026-11-25 08:30 UTC +2026-11-25 08:31 UTC +user: not_in_allow_list \(no pattern of the allow list matches\) +user: allow_tools "read_\*" \(user\.toml:3:16\)$/,
  );
  assert.match(rows[1]!, /^DENIED +1 +bob +code-server +tool restart /);
  assert.match(
    rows[2]!,
    /^allowed +1 +alice +code-server +tool delete_file .* user: allow_tools "delete_file" \(other\.toml:3:26\) +user: not_in_allow_list$/,
  );
  assert.equal(rows[3], "");
});

test("a narrow terminal gets the whole reason, below each row when there is no room in it", async () => {
  const at = async (columns: number) => {
    const stdout = Object.assign(new TextSink(), { isTTY: true, columns });
    const argv = ["policy", "replay", "other.toml", "--since", "2026-11-25", "--file"];
    await runIn(trail.folder, [...argv, "audit.jsonl"], { stdout });
    return stdout.text.split("\n");
  };
  const widths = [60, 80, 100, 130, 160];
  let tried = 0;
  for (const columns of widths) {
    const lines = await at(columns);

    assert.ok(lines.every((line) => line.length <= columns), lines.join("\n"));
    const text = lines.join(" ").replace(/ +/g, " ");
    assert.ok(text.includes('user: allow_tools "delete_file" (other.toml:3:26)'), text);
    assert.ok(text.includes("user: not_in_allow_list"), text);
    assert.ok(text.includes("write_file"), text);
    tried++;
  }
  assert.equal(tried, widths.length);
  assert.match((await at(160))[2]!, / BECAUSE$/);
  assert.doesNotMatch((await at(80))[2]!, /BECAUSE|WAS/);
});

test("without --since it is the day before --until", async () => {
  const run = (...more: string[]) =>
    runIn(trail.folder, ["policy", "replay", "same.toml", "--file", "audit.jsonl", ...more]);

  const within = await run("--until", "2026-11-26", "--json");
  const before = await run("--until", "2026-01-01", "--json");

  assert.equal(within.code, 0, within.stderr);
  assert.equal((JSON.parse(within.stdout) as { judged: number }).judged, 9);
  assert.equal(before.code, 0, before.stderr);
  assert.equal((JSON.parse(before.stdout) as { judged: number }).judged, 0);
});

test("with a configuration the tunnels' rules are judged too", async () => {
  const { code, stdout } = await replay("other.toml", "--config", "mcptun.toml", "--json");

  assert.equal(code, 1);
  const found = JSON.parse(stdout);
  const short = found.changes.map((
    { to, user, name, count }: Readonly<Record<string, unknown>>,
  ) => [to, user, name, count]);
  assert.deepEqual(short, [
    ["deny", "alice", "write_file", 2],
    ["deny", "bob", "restart", 1],
    // The tunnel had denied it, and its rules in the configuration do not.
    ["allow", "alice", "shell_exec", 1],
    ["allow", "alice", "delete_file", 1],
  ]);
  assert.deepEqual(found.layers, ["tunnel", "user"]);
  assert.deepEqual(found.skipped, { undecided: 2, tunnel: 1, cut: 1 });
  assert.equal(found.changes[0].first, "2026-11-25T08:30:02.000Z");
  assert.equal(found.changes[0].last, "2026-11-25T08:31:10.000Z");
});

test("a method that is denied denies what it names", async () => {
  const { code, stdout } = await replay("methods.toml", "--json");

  assert.equal(code, 1);
  const { changes } = JSON.parse(stdout);
  assert.ok(changes.length > 0);
  for (const { to, because } of changes) {
    assert.equal(to, "deny");
    assert.match(because, /^user: deny_methods "tools\/call"/);
  }
});

test("what cannot be read exits 2", async () => {
  write("bad.toml", "[[policy]]\nalow_tools = 1\n");
  const none = ["policy", "replay", "same.toml", "--file", "nothing.jsonl"];
  const results = [
    await replay("bad.toml"),
    await replay("absent.toml"),
    await replay("same.toml", "--config", "absent.toml"),
    await replay("same.toml", "--since", "never"),
    await runIn(trail.folder, none),
  ];

  for (const { code, stdout } of results) {
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
  }
  assert.equal(results.length, 5);
});
