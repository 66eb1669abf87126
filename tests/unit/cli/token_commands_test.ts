import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Writable } from "node:stream";
import { test, type TestContext } from "node:test";

import { connectedSerials } from "../../../src/cli/connected_rifts.ts";
import { distanceOf, nearestHint, shownName } from "../../../src/cli/token_values.ts";
import { decodeCredential } from "../../../src/identity/credential.ts";
import { hashUserToken } from "../../../src/identity/user_token.ts";
import { runIn, type RunResult } from "../../support/run_cli.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const FOR_RIFT = ["token", "issue", "--tunnels", "code,wiki-*", "--ttl", "30d", "--rift"];
const FOR_USER = ["token", "issue", "--user"];
/** Everything a terminal would act on, or show as something else. */
const UNPRINTABLE = /[^\n\x20-\x7e]/;

test("a user's token is printed once, alone on stdout, and works in the store", async (t) => {
  const { run, read } = place(t);

  const { code, stdout, stderr } = await run(
    ...FOR_USER,
    "alice",
    "--groups",
    "ops, dev",
    "--ttl",
    "7d",
  );

  assert.equal(code, 0);
  assert.match(stdout, /^mcpu_[A-Za-z0-9_-]{43}\n$/);
  assert.match(stderr, /^user +alice\nid +[0-9a-f]{8}\ngroups +ops, dev\nends +\d{4}-/);
  assert.match(stderr, /^A running edge accepts it within 2 s$/m);
  assert.doesNotMatch(stderr, /mcpu_|warning/);
  const { tokens } = JSON.parse(read("state/user-tokens.json")) as {
    tokens: Record<string, unknown>[];
  };
  assert.equal(tokens[0]!["hash"], hashOf(stdout.trim()));
  assert.deepEqual(tokens[0]!["groups"], ["ops", "dev"]);
  assert.equal(
    Number(tokens[0]!["expiresAtMs"]) - Number(tokens[0]!["issuedAtMs"]),
    7 * DAY_MS,
  );
  assert.ok(!read("state/user-tokens.json").includes(stdout.trim().slice(5)));
});

test("a user's token without --ttl has no end, and says so", async (t) => {
  const { run } = place(t);

  const issued = await run(...FOR_USER, "alice");
  const list = await run("token", "list");

  assert.match(issued.stderr, /^ends +never, unless revoked$/m);
  assert.match(list.stdout, /^ {2}alice +[0-9a-f]{8} +- +never +active$/m);
});

test("a user's token warns while no tunnel asks for one", async (t) => {
  const { run } = place(t, '[edge]\nstate_dir = "state"\n[[tunnel]]\nname = "a"\n');

  const { code, stderr } = await run(...FOR_USER, "alice");

  assert.equal(code, 0);
  assert.match(stderr, /warning: no declared tunnel has auth = "edge".*mcptun\.toml\)\n$/);
});

test("--json of issue is one line with the secret, or with the file it went to", async (t) => {
  const { run, read, folder } = place(t);

  const rift = await run(...FOR_RIFT, "laptop", "--json");
  const user = await run(...FOR_USER, "alice", "--groups", "ops", "--json");
  const file = await run(...FOR_USER, "bob", "--json", "--out", "bob.token");
  const riftFile = await run(...FOR_RIFT, "ci", "--json", "--out", "ci.token");

  for (const { code, stderr } of [rift, user, file, riftFile]) {
    assert.deepEqual([code, stderr], [0, ""]);
  }
  const { token, ...facts } = lineOf(rift);
  const credential = decodeCredential(String(token));
  assert.deepEqual(facts, {
    kind: "rift",
    name: "laptop",
    serial: credential.serial,
    tunnels: ["code", "wiki-*"],
    expiresAtMs: credential.expiresAtMs,
    address: "localhost:4443",
  });
  const { token: userToken, ...userFacts } = lineOf(user);
  assert.deepEqual(userFacts, {
    kind: "user",
    name: "alice",
    id: hashOf(String(userToken)).slice(0, 8),
    groups: ["ops"],
    expiresAtMs: null,
  });
  const { id, ...fileFacts } = lineOf(file);
  assert.match(String(id), /^[0-9a-f]{8}$/);
  assert.deepEqual(fileFacts, {
    kind: "user",
    name: "bob",
    groups: [],
    expiresAtMs: null,
    file: join(folder, "bob.token"),
  });
  assert.match(read("bob.token"), /^mcpu_[A-Za-z0-9_-]{43}\n$/);
  assert.equal(lineOf(riftFile)["file"], join(folder, "ci.token"));
  if (process.platform !== "win32") {
    for (const name of ["bob.token", "ci.token", "state/user-tokens.json"]) {
      assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
    }
  }
});

test("a file that is there already stays, and no token is made for it", async (t) => {
  const { run, read, folder } = place(t);
  writeFileSync(join(folder, "taken"), "mine");

  const { code, stderr } = await run(...FOR_USER, "alice", "--out", "taken");

  assert.equal(code, 1);
  assert.match(stderr, /^mcptun: "taken" exists and stays as it is/);
  assert.equal(read("taken"), "mine");
  assert.ok(!existsSync(join(folder, "state")));
});

test("a user's token that could not be printed is revoked, and its file is gone", async (t) => {
  const { run, runTo, folder } = place(t);
  const full = () => {
    const stream = new Writable({
      write: (_chunk, _encoding, done) =>
        done(Object.assign(new Error("no space"), { code: "ENOSPC" })),
    });
    stream.on("error", () => {}); // as the process does for its own
    return stream;
  };

  const failed = [
    await runTo(full(), ...FOR_USER, "alice"),
    await runTo(full(), ...FOR_USER, "alice", "--json", "--out", "a.token"),
  ];
  const list = await run("token", "list", "--all", "--json");

  for (const { code, stderr } of failed) {
    assert.equal(code, 1);
    assert.match(stderr, /^mcptun: Cannot write standard output: ENOSPC/);
  }
  assert.ok(!existsSync(join(folder, "a.token")));
  assert.deepEqual(usersOf(list).map(({ state }) => state), ["revoked", "revoked"]);
});

test("list shows whose, until when and in which state, and hides what is over", async (t) => {
  const { run, state } = place(t);
  const nowMs = Date.now();
  const old = { issuedAtMs: nowMs - 40 * DAY_MS, tunnels: ["code"], revoked: false };
  state("credentials.json", {
    version: 1,
    credentials: [
      {
        ...old,
        name: "rotating",
        serial: "0a",
        expiresAtMs: nowMs + 20.2 * HOUR_MS,
        rotated: true,
      },
      { ...old, name: "steady", serial: "1a", expiresAtMs: nowMs + 3.2 * DAY_MS },
      { ...old, name: "steady", serial: "1b", expiresAtMs: nowMs + 30.2 * DAY_MS, renews: "1a" },
      { ...old, name: "gone", serial: "0b", expiresAtMs: nowMs - DAY_MS },
      { ...old, name: "stolen", serial: "0c", expiresAtMs: nowMs + DAY_MS, revoked: true },
      {
        ...old,
        name: "rotating",
        serial: "0d",
        issuedAtMs: nowMs,
        expiresAtMs: nowMs + 12.2 * DAY_MS,
      },
    ].map((record) => ({ ...record, expiresAtMs: Math.trunc(record.expiresAtMs) })),
  });
  state("rifts-seen.json", {
    version: 1,
    rifts: { "0a": { name: "rotating", lastSeenMs: Math.trunc(nowMs - 3.1 * HOUR_MS) } },
  });

  const short = await run("token", "list");
  const all = await run("token", "list", "--all");
  const json = await run("token", "list", "--all", "--json");

  const lines = short.stdout.split("\n");
  const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d UTC`;
  assert.equal(short.code, 0);
  assert.equal(lines[0], "Rifts");
  assert.match(lines[1]!, /^ {2}NAME {6}TUNNELS {2}ENDS +LAST SEEN +CONNECTED {2}STATE$/);
  assert.match(
    lines[2]!,
    new RegExp(
      `^ {2}rotating {2}code +${time}, in 20 hours +${time}, 3 hours ago +- +rotated, ends in 20 hours$`,
    ),
  );
  assert.match(lines[3]!, new RegExp(`^ {2}rotating {2}code +${time}, in 12 days +- +- +active$`));
  assert.match(lines[4]!, /^ {2}steady .* - +- +renewed, ends in 3 days$/);
  assert.match(lines[5]!, /^ {2}steady .* - +- +active$/);
  assert.deepEqual(lines.slice(6), [
    "Users: none",
    "2 revoked or ended not shown (--all shows them)",
    "",
  ]);
  assert.match(all.stdout, /^ {2}gone .* 24 hours ago +- +- +ended$/m);
  assert.match(all.stdout, /^ {2}stolen .* revoked$/m);
  assert.doesNotMatch(all.stdout, /not shown/);
  assert.deepEqual(riftsOf(json).map(({ name, serial, state }) => [name, serial, state]), [
    ["gone", "0b", "ended"],
    ["rotating", "0a", "rotated"],
    ["rotating", "0d", "active"],
    ["steady", "1a", "renewed"],
    ["steady", "1b", "active"],
    ["stolen", "0c", "revoked"],
  ]);
  assert.deepEqual(Object.keys(riftsOf(json)[0]!), [
    "name",
    "serial",
    "tunnels",
    "issuedAtMs",
    "expiresAtMs",
    "lastSeenMs",
    "connected",
    "state",
  ]);
});

test("list never shows a secret or a hash", async (t) => {
  const { run } = place(t);
  const rift = await run(...FOR_RIFT, "laptop");
  const user = await run(...FOR_USER, "alice");
  await run(...FOR_USER, "bob");
  await run("token", "revoke", "--user", "bob");

  const outputs = [
    await run("token", "list"),
    await run("token", "list", "--all"),
    await run("token", "list", "--json"),
    await run("token", "list", "--all", "--json"),
  ];

  const { keyPem } = decodeCredential(rift.stdout).material;
  const token = user.stdout.trim();
  const secrets = [
    rift.stdout.trim().slice(0, 40),
    keyPem.split("\n")[1]!,
    token,
    token.slice(5, 25),
    hashOf(token).slice(0, 12),
    "mcpt_",
    "mcpu_",
  ];
  for (const { code, stdout, stderr } of outputs) {
    assert.equal(code, 0);
    assert.match(stdout, /laptop/);
    for (const secret of secrets) assert.ok(!(stdout + stderr).includes(secret));
  }
  assert.equal(outputs.length, 4);
  assert.deepEqual(Object.keys(usersOf(outputs[2]!)[0]!), [
    "name",
    "id",
    "groups",
    "issuedAtMs",
    "expiresAtMs",
    "state",
  ]);
});

test("list asks a running edge who is connected", {
  skip: process.platform === "win32" ? "no socket files" : false,
}, async (t) => {
  const { run, edgeAnswers } = place(t);
  const { serial } = lineOf(await run(...FOR_RIFT, "laptop", "--json"));
  await run(...FOR_RIFT, "ci");
  const rifts = [{ name: "laptop", serial, connectedAtMs: 1 }];
  await edgeAnswers(t, 200, JSON.stringify({ tunnels: [{ name: "code", rifts }] }));

  const text = await run("token", "list");
  const json = await run("token", "list", "--json");

  assert.equal(text.stderr, "");
  assert.match(text.stdout, /^ {2}ci .* - +no +active$/m);
  assert.match(text.stdout, /^ {2}laptop .* now +yes +active$/m);
  assert.deepEqual(riftsOf(json).map(({ connected }) => connected), [false, true]);
});

test("list goes on with a warning when the running edge answers strangely", {
  skip: process.platform === "win32" ? "no socket files" : false,
}, async (t) => {
  const cases: [number, string][] = [
    [200, "{}"],
    [200, "null"],
    [200, "["],
    [200, '{"tunnels":[{"rifts":[{"serial":7}]}]}'],
    [200, '{"tunnels":{}}'],
    [500, "{}"],
  ];

  for (const [status, body] of cases) {
    const { run, edgeAnswers } = place(t);
    await run(...FOR_RIFT, "laptop");
    const close = await edgeAnswers(t, status, body);
    const { code, stdout, stderr } = await run("token", "list");
    await close();

    assert.equal(code, 0);
    assert.match(stderr, /^mcptun: warning: who is connected is not known: [^\n]+\n$/);
    assert.match(stdout, /^ {2}laptop .* - +- +active$/m);
  }
  assert.equal(cases.length, 6);
});

test("list without a state directory says so and makes none", async (t) => {
  const { run, folder } = place(t);

  const { code, stdout, stderr } = await run("token", "list");

  assert.equal(code, 0);
  assert.equal(stdout, "Rifts: none\nUsers: none\n");
  assert.match(stderr, /warning: there is no state directory ".*state"/);
  assert.ok(!existsSync(join(folder, "state")));
});

test("a damaged list of last times is a warning, a damaged list of tokens ends the command", async (t) => {
  const { run, folder } = place(t);
  await run(...FOR_USER, "alice");
  writeFileSync(join(folder, "state", "rifts-seen.json"), "{", { mode: 0o600 });
  const seen = await run("token", "list");
  writeFileSync(join(folder, "state", "user-tokens.json"), "{");

  const damaged = [
    await run("token", "list"),
    await run(...FOR_USER, "bob"),
    await run("token", "revoke", "--user", "alice"),
  ];

  assert.equal(seen.code, 0);
  assert.match(seen.stderr, /warning: Cannot read when rifts were last seen.*it is damaged\n$/);
  for (const { code, stdout, stderr } of damaged) {
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /^mcptun: Cannot use ".*user-tokens\.json": it is not JSON \(restore/);
  }
});

test("revoke ends a rift's credential, says what happens, and may be repeated", async (t) => {
  const { run } = place(t);
  const { serial } = lineOf(await run(...FOR_RIFT, "laptop", "--json"));

  const first = await run("token", "revoke", "laptop");
  const again = await run("token", "revoke", "laptop");
  const json = await run("token", "revoke", "laptop", "--json");

  assert.deepEqual([first.code, again.code, json.code], [0, 0, 0]);
  assert.equal(
    first.stdout,
    `Revoked 1 credential of rift "laptop" (${String(serial)})\n` +
      "A running edge closes its connections within 2 s\n",
  );
  assert.equal(again.stdout, 'Nothing to do: rift "laptop" was revoked already\n');
  assert.deepEqual(lineOf(json), { kind: "rift", name: "laptop", revoked: [] });
});

test("revoke --user ends all tokens of a user, with --id one", async (t) => {
  const { run } = place(t);
  const ids: string[] = [];
  for (let count = 0; count < 3; count++) {
    ids.push(String(lineOf(await run(...FOR_USER, "alice", "--json"))["id"]));
  }

  const one = await run("token", "revoke", "--user", "alice", "--id", ids[1]!, "--json");
  const wrong = await run("token", "revoke", "--user", "alice", "--id", "0badf00d");
  const rest = await run("token", "revoke", "--user", "alice");
  const again = await run("token", "revoke", "--user", "alice");

  assert.deepEqual(lineOf(one), { kind: "user", name: "alice", revoked: [ids[1]] });
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, new RegExp(`no token with id "0badf00d" .*: ${ids[0]}, ${ids[2]}\\)`));
  assert.equal(
    rest.stdout,
    `Revoked 2 tokens of user "alice" (${ids[0]}, ${ids[2]})\n` +
      "A running edge refuses them and ends their event streams within 2 s\n",
  );
  assert.equal(again.stdout, 'Nothing to do: user "alice" was revoked already\n');
});

test("wrong usage exits 2, prints nothing on stdout, and says what to write", async (t) => {
  const { run } = place(t);
  await run(...FOR_RIFT, "laptop");
  await run(...FOR_USER, "alice");
  const issue = ["token", "issue"];
  const cases: [string[], RegExp][] = [
    [issue, /Say who it is for: --rift NAME for a rift, or --user NAME/],
    [[...FOR_RIFT, "a", "--user", "b"], /--rift or --user, not both/],
    [[...issue, "--rift", "a", "--ttl", "1h"], /--tunnels is missing/],
    [[...issue, "--rift", "a", "--tunnels", "x"], /--ttl is missing/],
    [[...FOR_RIFT, "a", "--groups", "g"], /--groups is for users/],
    [[...FOR_USER, "a", "--tunnels", "x"], /--tunnels is for rifts/],
    [[...FOR_USER, "a", "--groups", "x,,y"], /--groups: "x,,y" has an empty name/],
    [[...FOR_USER, "a", "--ttl", "30"], /--ttl: "30" is not a duration/],
    [[...FOR_USER, "a", "--ttl", "5s"], /--ttl: "5s" is out of range/],
    [[...FOR_USER, "a", "--ttl", "9999d"], /--ttl: "9999d" is out of range/],
    [[...FOR_USER, ""], /--user: its value is empty/],
    [[...FOR_USER, "a,b"], /Cannot use "a,b" as a user name/],
    [[...FOR_USER, "a\u001b[31m"], /Cannot use "a\\u001b\[31m" as a user name/],
    [[...FOR_USER, "a\u009b2J"], /Cannot use "a\\u\{9b\}2J" as a user name/],
    [[...FOR_USER, "a", "--groups", "b\u202ec"], /Cannot use "b\\u\{202e\}c" as a group name/],
    [[...FOR_RIFT, "Laptop"], /Cannot use "Laptop" as a rift name/],
    [["token", "revoke"], /Say whose/],
    [["token", "revoke", "a", "--user", "b"], /not both/],
    [["token", "revoke", "a", "--id", "b"], /--id is for tokens of users/],
    [["token", "revoke", "latop"], /"latop": no rift's .* \(did you mean "laptop"\?\)/],
    [["token", "revoke", "alice"], /\(a user has it: add --user\)/],
    [["token", "revoke", "zzzzzzzz"], /\("mcptun token list --all" shows every name\)/],
    [["token", "revoke", "\u001b[2J\u009b"], /"\\u001b\[2J\\u\{9b\}": no rift's/],
    [["token", "revoke", "--user", "alicd"], /"alicd" has no token \(did you mean "alice"\?\)/],
    [["token", "revoke", "x".repeat(10_000)], /no rift's credential has this name/],
    [["token", "rotate", "latop"], /"latop": no rift's .* \(did you mean "laptop"\?\)/],
    [["token", "rotate", "laptop", "--overlap", "x"], /--overlap: "x" is not a duration/],
    [["token", "rotate", "laptop", "--ttl", "1s"], /--ttl: "1s" is out of range/],
    [["token", "list", "extra"], /too many arguments/],
  ];

  for (const [argv, expected] of cases) {
    const { code, stdout, stderr } = await run(...argv);

    assert.equal(code, 2, argv.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, /^mcptun: /);
    assert.match(stderr, expected);
    assert.doesNotMatch(stderr, UNPRINTABLE);
    assert.ok(stderr.length < 600, stderr);
  }
  assert.equal(cases.length, 29);
});

test("revoke and rotate where nothing was issued make no state directory", async (t) => {
  const { run, folder } = place(t);

  const results = [
    await run("token", "revoke", "laptop"),
    await run("token", "revoke", "--user", "alice"),
    await run("token", "rotate", "laptop"),
  ];

  for (const { code, stderr } of results) {
    assert.equal(code, 2);
    assert.match(stderr, /there is no state directory/);
  }
  assert.ok(!existsSync(join(folder, "state")));
});

test("with --state-dir tokens are issued, listed and revoked while the file has a mistake", async (t) => {
  const { run, folder } = place(t);
  const issued = await run(...FOR_RIFT, "laptop");
  writeFileSync(join(folder, "mcptun.toml"), "[edge]\nlisten = 7\n");
  const commands = [
    ["token", "revoke", "laptop"],
    ["token", "list", "--json"],
    [...FOR_USER, "alice"],
  ];
  let ran = 0;

  for (const argv of commands) {
    const without = await run(...argv);
    const named = await run(...argv, "--state-dir", "state");
    assert.equal(without.code, 2);
    assert.match(without.stderr, /without the configuration, give --state-dir FOLDER\n/);
    assert.equal(named.code, 0, named.stderr);
    ran++;
  }
  const { rifts, users } = lineOf(
    await run("token", "list", "--all", "--json", "--state-dir", "state"),
  ) as { rifts: { state: string }[]; users: unknown[] };

  assert.equal(issued.code, 0);
  assert.equal(ran, 3);
  assert.equal(rifts[0]?.state, "revoked");
  assert.equal(users.length, 1);
});

test("a token on the command line is refused and not repeated", async (t) => {
  const { run } = place(t);
  const { stdout } = await run(...FOR_USER, "alice");

  const { code, stderr } = await run("token", "revoke", "--user", stdout.trim());

  assert.equal(code, 2);
  assert.ok(!stderr.includes(stdout.trim().slice(5, 25)));
});

test("distances are told in the unit that fits", () => {
  const cases: [number, string][] = [
    [1, "in less than a minute"],
    [-59_000, "less than a minute ago"],
    [60_000, "in 1 minute"],
    [-119 * 60_000, "119 minutes ago"],
    [2 * HOUR_MS, "in 2 hours"],
    [47 * HOUR_MS, "in 47 hours"],
    [30 * DAY_MS - 1, "in 30 days"],
    [-365 * DAY_MS, "365 days ago"],
  ];

  for (const [distanceMs, text] of cases) assert.equal(distanceOf(1e12 + distanceMs, 1e12), text);

  assert.equal(cases.length, 8);
});

test("names are shown bare when plain, quoted else; a near name is found among many", () => {
  assert.deepEqual(["a.b-c@d+e_f", "a b", "-a", "Ü"].map(shownName), [
    "a.b-c@d+e_f",
    '"a b"',
    '"-a"',
    '"Ü"',
  ]);
  const many = Array.from({ length: 50_000 }, (_, at) => `user-${at}`);
  assert.equal(nearestHint("alcie", ["alice", ...many]), '(did you mean "alice"?)');
});

test("the status of an edge is read as far as it is one", () => {
  const tunnels = [{ rifts: [{ serial: "0a" }, { serial: "0b" }] }, { rifts: [{ serial: "0a" }] }];

  assert.deepEqual([...connectedSerials({ tunnels })!], ["0a", "0b"]);
  assert.deepEqual([...connectedSerials({ tunnels: [] })!], []);
  const idle = { rifts: [{ serial: "0c" }], tunnels: [{ rifts: [] }] };
  assert.deepEqual([...connectedSerials(idle) ?? []], ["0c"]);
  for (
    const other of [undefined, 1, [], { tunnels: [1] }, { tunnels: [], rifts: [1] }, {
      tunnels: [{ rifts: [null] }],
    }]
  ) {
    assert.equal(connectedSerials(other), undefined);
  }
});

const CONFIG = `[edge]
tunnel_address = "localhost:4443"
state_dir = "state"
hosts = ["localhost"]
[[tunnel]]
name = "code"
auth = "edge"
[[tunnel]]
name = "wiki-a"
`;

function place(t: TestContext, config = CONFIG) {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-tok-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "mcptun.toml"), config);
  return {
    folder,
    run: (...argv: string[]) => runIn(folder, argv),
    runTo: (stdout: Writable, ...argv: string[]) => runIn(folder, argv, { stdout }),
    read: (name: string) => readFileSync(join(folder, name), "utf8"),
    state: (name: string, value: unknown) => {
      mkdirSync(join(folder, "state"), { recursive: true, mode: 0o700 });
      writeFileSync(join(folder, "state", name), JSON.stringify(value), { mode: 0o600 });
    },
    /** Something that answers where a running edge would. */
    edgeAnswers: async (context: TestContext, status: number, body: string) => {
      const server = createServer((_request, response) => {
        response.writeHead(status, { connection: "close" }).end(body);
      });
      await new Promise<void>((resolve) => {
        server.listen(join(folder, "state", "admin.sock"), resolve);
      });
      let closing: Promise<void> | undefined;
      const close = () => closing ??= new Promise((resolve) => server.close(() => resolve()));
      context.after(close);
      return close;
    },
  };
}

function lineOf({ stdout }: RunResult): Record<string, unknown> {
  assert.match(stdout, /^[^\n]+\n$/);
  return JSON.parse(stdout) as Record<string, unknown>;
}

function riftsOf(result: RunResult): Record<string, unknown>[] {
  return lineOf(result)["rifts"] as Record<string, unknown>[];
}

function usersOf(result: RunResult): Record<string, unknown>[] {
  return lineOf(result)["users"] as Record<string, unknown>[];
}

function hashOf(token: string): string {
  return Buffer.from(hashUserToken(token)).toString("hex");
}
