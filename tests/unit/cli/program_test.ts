import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Readable, Writable } from "node:stream";
import { after, test } from "node:test";

import { starter } from "../../../src/cli/init_command.ts";
import { type Io, OUTPUT_CLOSED } from "../../../src/cli/io.ts";
import { runCli } from "../../../src/cli/program.ts";
import { reportFailure } from "../../../src/cli/report.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { TunnelError } from "../../../src/errors.ts";

const COMMANDS = [
  [],
  ["dev"],
  ["init"],
  ["edge"],
  ["rift"],
  ["status"],
  ["token"],
  ["token", "issue"],
  ["token", "list"],
  ["token", "revoke"],
  ["token", "rotate"],
  ["config"],
  ["config", "check"],
  ["doctor"],
  ["policy"],
  ["policy", "check"],
  ["policy", "explain"],
];

const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("the help of every command has examples and says nothing on stderr", async () => {
  for (const command of COMMANDS) {
    const { code, stdout, stderr } = await run([...command, "--help"]);

    assert.equal(code, 0, command.join(" "));
    assert.match(stdout, /^Usage: mcptun/);
    assert.match(stdout, /\nExamples:\n {2}mcptun /);
    assert.equal(stderr, "");
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
  }
});

test("the help command goes down to inner commands, and no example leaves a secret readable", async () => {
  const inner = await run(["help", "token", "issue"]);
  const outer = await run(["help", "token"]);

  assert.equal(inner.code, 0);
  assert.match(inner.stdout, /^Usage: mcptun token issue/);
  assert.doesNotMatch(inner.stdout, / > /);
  assert.match(outer.stdout, /^Usage: mcptun token /);
});

test("no command at all is wrong usage, answered with the help", async () => {
  const { code, stdout, stderr } = await run([]);

  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^Usage: mcptun/);
});

test("the version is the one of package.json", async () => {
  const { code, stdout } = await run(["--version"]);

  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test("unknown commands and flags exit 2 and name the nearest", async () => {
  const cases: [string[], RegExp][] = [
    [
      ["egde"],
      /^mcptun: unknown command 'egde'\n\(Did you mean edge\?\)\n\(see "mcptun --help"\)\n$/,
    ],
    [
      ["edge", "--listn", "x"],
      /^mcptun: unknown option '--listn'\n\(Did you mean --listen\?\)\n\(see "mcptun edge --help"\)\n$/,
    ],
    [
      ["token", "isue"],
      /^mcptun: unknown command 'isue'\n\(Did you mean issue\?\)\n\(see "mcptun token --help"\)\n$/,
    ],
    [["init", "extra"], /^mcptun: too many arguments/],
    [["help", "bogus"], /^mcptun: unknown command 'bogus'\n\(see "mcptun --help"\)\n$/],
    [["help", "token", "isue"], /^mcptun: unknown command 'isue'\n\(Did you mean issue\?\)\n/],
    [["edge", "--config", ""], /^mcptun: --config: its value is empty/],
    [["token", "issue", "--rift", "a", "--user", "b"], /^mcptun: --rift or --user, not both/],
    [
      ["token", "revoke", "a", "--user", "b"],
      /^mcptun: The NAME of a rift or --user NAME, not both/,
    ],
    [["token", "rotate"], /^mcptun: missing required argument 'rift'/],
  ];

  for (const [argv, expected] of cases) {
    const { code, stdout, stderr } = await run(argv);

    assert.equal(code, 2, argv.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, expected);
  }
});

test("a credential on the command line is refused and not repeated", async () => {
  const secret = `mcpt_${"a1".repeat(40)}`;

  for (
    const argv of [
      ["rift", "--token-file", secret],
      ["rift", `--token-file=${secret}`],
      [secret],
      ["status", "--state-dir", `mcpa_${"a1".repeat(21)}`],
    ]
  ) {
    const { code, stdout, stderr } = await run(argv);

    assert.equal(code, 2);
    assert.match(stderr, /^mcptun: A credential must not stand on the command line/);
    assert.doesNotMatch(stdout + stderr, /a1a1/);
  }
});

test("the starter file is valid, whatever the host is called", () => {
  for (const host of ["vm", "host.example.com", 'we"ird\nname', ""]) {
    const { config } = loadConfig({ text: starter(host) });

    assert.equal(config.tunnels.length, 1);
    assert.equal(config.tunnels[0]?.auth, "edge");
    assert.equal(config.rift.exposes.length, 1);
  }
});

test("the starter file stays valid with its examples commented in", () => {
  loadConfig({ text: starter("vm").replace(/^# (\w+ = |\[)/gm, "$1") });
});

test("what init writes of aware tunnels, policy and audit works once it is commented in", async () => {
  const lines = /^# ((?:mode|allow_\w+|file) = |\[(?:policy|audit)\]$)/gm;
  const text = starter("vm");
  const count = text.match(lines)?.length;
  writeFileSync(join(folder, "commented_in.toml"), text.replace(lines, "$1"));

  const { code, stdout, stderr } = await run(["config", "check", "--config", "commented_in.toml"]);

  assert.equal(count, 7);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^mcptun: warning: .* policy\.file: there is no ".*user\.toml" .*\n$/);
  const shown = (key: string, value: string) =>
    new RegExp(`^${key.replace(/[.[\]]/g, "\\$&")} +file +${value}`, "m");
  assert.match(stdout, shown("tunnel[0].mode", '"aware"'));
  assert.match(stdout, shown("tunnel[0].allow_tools", '\\["read_\\*", "search"\\]'));
  assert.match(stdout, shown("policy.file", '".*user\\.toml"'));
  assert.match(stdout, shown("audit.file", '".*audit\\.jsonl"'));
});

test("init writes a valid file once and then refuses", async () => {
  const first = await run(["init", "--config", "fresh.toml"]);
  const text = readFileSync(join(folder, "fresh.toml"), "utf8");
  const second = await run(["init", "--config", "fresh.toml"]);

  assert.equal(first.code, 0);
  assert.equal((await run(["config", "check", "--config", "fresh.toml"])).code, 0);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^mcptun: "fresh.toml" exists and stays as it is: move it away/);
  assert.equal(readFileSync(join(folder, "fresh.toml"), "utf8"), text);
});

test("a file that cannot be written names the folder that is not there", async () => {
  const init = await run(["init", "--config", "none/mcptun.toml"]);
  const issue = await run(["token", "issue", "--user", "a", "--out", "none/a.token"]);

  for (const { code, stderr } of [init, issue]) {
    assert.equal(code, 1);
    assert.match(stderr, /^mcptun: Cannot write "none\/.*": there is no folder ".*none" \(make it/);
  }
});

test("an edge names the key of an address that this host does not have", async () => {
  const file = join(folder, "elsewhere.toml");
  writeFileSync(
    file,
    `[edge]
listen = "127.0.0.1:0"
tunnel_listen = "127.0.0.1:0"
hosts = ["localhost"]
behind_proxy = true
state_dir = "elsewhere-state"
[[tunnel]]
name = "a"
`,
  );
  // TEST-NET-1 (RFC 5737): no host has it.
  const cases = [
    [
      "--listen",
      "192.0.2.1:8080",
      /"192\.0\.2\.1:8080": .*no such address.*edge\.listen, --listen/,
    ],
    ["--tunnel-listen", "192.0.2.1:4443", /UDP .*no such address.*\(edge\.tunnel_listen, --tun/],
  ] as const;
  let ran = 0;
  for (const [flag, address, says] of cases) {
    const { code, stderr } = await run(["edge", "--config", file, flag, address]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, says);
    ran++;
  }
  assert.equal(ran, 2);
});

test("an edge names the key of a trail that cannot be written", async () => {
  const file = join(folder, "trail.toml");
  writeFileSync(
    file,
    `[edge]
listen = "127.0.0.1:0"
tunnel_listen = "127.0.0.1:0"
state_dir = "trail-state"
[[tunnel]]
name = "a"
[log]
level = "error"
[audit]
file = "."
`,
  );

  const { code, stderr } = await run(["edge", "--config", file]);

  assert.equal(code, 1);
  assert.match(
    stderr,
    /^mcptun: .*trail\.toml:10:1 audit\.file: Cannot write to ".*": it is a folder \(name a file /,
  );
});

test("config check prints values with origins, and never a credential", async () => {
  writeFileSync(join(folder, "check.toml"), '[edge]\nlisten = "127.0.0.1:1"\n');
  const env = { MCPTUN_TOKEN: "mcpt_secret", MCPTUN_LOG_LEVEL: "debug" };

  const text = await run(["config", "check", "--config", "check.toml"], { env });
  const json = await run(["config", "check", "--config", "check.toml", "--json"], { env });

  assert.equal(text.code, 0);
  assert.match(text.stdout, /check\.toml is valid\n/);
  assert.match(text.stdout, /^edge\.listen +file +"127\.0\.0\.1:1"$/m);
  assert.match(text.stdout, /^log\.level +environment +"debug"$/m);
  assert.match(text.stdout, /^edge\.drain +default +"10s"$/m);
  assert.match(text.stdout, /^MCPTUN_TOKEN +environment +\[redacted\]$/m);
  assert.equal(json.stdout.trimEnd().split("\n").length, 1);
  const { valid, values } = JSON.parse(json.stdout) as {
    valid: boolean;
    values: { key: string; value: unknown; origin: string }[];
  };
  assert.equal(valid, true);
  assert.deepEqual(values.find(({ key }) => key === "edge.listen"), {
    key: "edge.listen",
    value: "127.0.0.1:1",
    origin: "file",
  });
  for (const { stdout, stderr } of [text, json]) {
    assert.doesNotMatch(stdout + stderr, /mcpt_secret/);
  }
});

test("config check warns of what only one of the two hosts would refuse", async () => {
  const text = `[edge]
tunnel_listen = "0.0.0.0:4443"
[[tunnel]]
name = "a"
[[rift.expose]]
tunnel = "a"
upstream = "http://127.0.0.1:1"
authorization_file = "gone.txt"
`;
  writeFileSync(join(folder, "hints.toml"), text);

  const { code, stderr } = await run(["config", "check", "--config", "hints.toml"]);
  const json = await run(["config", "check", "--config", "hints.toml", "--json"]);

  assert.equal(code, 0);
  assert.match(
    stderr,
    /warning: edge\.tunnel_address: missing, .*"mcptun token issue --rift" would/,
  );
  assert.match(stderr, /warning: hints\.toml:8:1 rift\.expose\[0\]\.authorization_file: .*no such/);
  const { valid, warnings } = JSON.parse(json.stdout) as { valid: boolean; warnings: string[] };
  assert.deepEqual([valid, warnings.length], [true, 2]);
});

test("config check warns of files that the edge would not find, with their places", async () => {
  const text = `[audit]
file = "nowhere/audit.jsonl"
[policy]
file = "absent.toml"
[[tunnel]]
name = "a"
mode = "aware"
auth = "edge"
allow_tools = ["read_*"]
`;
  writeFileSync(join(folder, "paths.toml"), `[edge]\ntunnel_address = "e.example:1"\n${text}`);

  const { code, stderr } = await run(["config", "check", "--config", "paths.toml"]);
  const json = await run(["config", "check", "--config", "paths.toml", "--json"]);

  assert.equal(code, 0, stderr);
  assert.match(
    stderr,
    /paths\.toml:4:1 audit\.file: there is no folder ".*nowhere" \(on this host\)/,
  );
  assert.match(stderr, /paths\.toml:6:1 policy\.file: there is no ".*absent\.toml" \(on this /);
  const { valid, warnings } = JSON.parse(json.stdout) as { valid: boolean; warnings: string[] };
  assert.deepEqual([valid, warnings.length], [true, 2]);
});

test("config check lists every problem and exits 2", async () => {
  writeFileSync(join(folder, "bad.toml"), '[edge]\nlistn = ""\ndrain = 5\n');

  const text = await run(["config", "check", "--config", "bad.toml"]);
  const json = await run(["config", "check", "--config", "bad.toml", "--json"]);

  assert.equal(text.code, 2);
  assert.equal(text.stdout, "");
  assert.equal(
    text.stderr,
    'mcptun: 2 problems\n  bad.toml:2:1 edge.listn: unknown key (did you mean "listen"?)\n' +
      '  bad.toml:3:1 edge.drain: 5 is not a duration with a unit, such as "10s"\n',
  );
  assert.equal(json.code, 2);
  const { valid, problems } = JSON.parse(json.stdout) as { valid: boolean; problems: string[] };
  assert.equal(valid, false);
  assert.equal(problems.length, 2);
});

test("config check reads the certificate files as the edge does", async () => {
  writeFileSync(join(folder, "no.pem"), "nothing\n");
  writeFileSync(
    join(folder, "broken.pem"),
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  );
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(
    join(folder, "key.pem"),
    privateKey.export({ type: "pkcs8", format: "pem" }),
  );
  const cases: [string, string, RegExp][] = [
    ["gone.pem", "key.pem", /tls\.toml:2:1 edge\.tls_cert: cannot read ".*": no such file \(write/],
    ["no.pem", "key.pem", /tls\.toml:2:1 edge\.tls_cert: ".*" holds no PEM certificate \(it is/],
    ["broken.pem", "key.pem", /tls\.toml:2:1 edge\.tls_cert: ".*" holds no certificate .*\(copy/],
    ["broken.pem", "no.pem", /tls\.toml:3:1 edge\.tls_key: ".*" holds no PEM private key \(it is/],
  ];
  for (const [cert, key, expected] of cases) {
    writeFileSync(
      join(folder, "tls.toml"),
      `[edge]\ntls_cert = "${cert}"\ntls_key = "${key}"\n[[tunnel]]\nname = "a"\n`,
    );
    const check = await run(["config", "check", "--config", "tls.toml", "--json"]);
    const edge = await run(["edge", "--config", "tls.toml"]);

    assert.equal(check.code, 2);
    assert.match(check.stderr, expected);
    assert.equal((JSON.parse(check.stdout) as { valid: boolean }).valid, false);
    assert.match(edge.stderr, expected);
  }
});

test("an edge without a tunnel says how to declare one", async () => {
  writeFileSync(join(folder, "no_tunnel.toml"), "[edge]\n");

  const withFile = await run(["edge", "--config", "no_tunnel.toml"]);
  const withoutFile = await run(["edge"]);

  assert.equal(withFile.code, 2);
  assert.match(withFile.stderr, /declares none \(add a \[\[tunnel\]\] table with a name\)\n$/);
  assert.equal(withoutFile.code, 2);
  assert.match(withoutFile.stderr, /write one with "mcptun init"/);
});

test("token issue prints the credential alone on stdout, facts and warnings on stderr", async () => {
  writeFileSync(
    join(folder, "token.toml"),
    '[edge]\ntunnel_address = "localhost:4443"\n[[tunnel]]\nname = "team-a-code"\n',
  );
  const issue = ["token", "issue", "--config", "token.toml", "--ttl", "30d"];

  const plain = await run([...issue, "--rift", "one", "--tunnels", "team-a-*"]);
  const unmatched = await run([...issue, "--rift", "two", "--tunnels", "{x,y}-*,team-a-code"]);

  assert.equal(plain.code, 0);
  assert.match(plain.stdout, /^mcpt_[A-Za-z0-9_-]+\n$/);
  assert.match(plain.stderr, /^rift +one\ntunnels +team-a-\* +\(declared now: team-a-code\)\n/);
  assert.doesNotMatch(plain.stderr, /mcpt_|warning/);
  assert.equal(unmatched.code, 0);
  assert.match(unmatched.stderr, /warning: "\{x,y\}-\*" matches no declared tunnel/);
  assert.doesNotMatch(unmatched.stderr, /"team-a-code" matches no/);
});

test("token issue --out writes a private file, refuses to overwrite, leaves nothing on failure", async () => {
  writeFileSync(
    join(folder, "out.toml"),
    '[edge]\ntunnel_address = "localhost:4443"\nstate_dir = "out"\n',
  );
  const issue = (name: string, out: string) =>
    run([
      "token",
      "issue",
      "--config",
      "out.toml",
      "--ttl",
      "1h",
      "--tunnels",
      "a",
      "--rift",
      name,
      "--out",
      out,
    ]);

  const first = await issue("one", "one.token");
  const again = await issue("two", "one.token");
  const taken = await issue("one", "other.token");

  assert.equal(first.code, 0);
  assert.equal(first.stdout, "");
  assert.match(readFileSync(join(folder, "one.token"), "utf8"), /^mcpt_[A-Za-z0-9_-]+\n$/);
  if (process.platform !== "win32") {
    assert.equal(statSync(join(folder, "one.token")).mode & 0o777, 0o600);
  }
  assert.equal(again.code, 1);
  assert.match(again.stderr, /"one.token" exists and stays as it is/);
  assert.equal(taken.code, 2);
  assert.throws(() => statSync(join(folder, "other.token")));
});

test("token issue keeps no name for a credential that could not be printed", async () => {
  writeFileSync(
    join(folder, "full.toml"),
    '[edge]\ntunnel_address = "localhost:4443"\nstate_dir = "full"\n',
  );
  const issue = ["token", "issue", "--config", "full.toml", "--ttl", "1h", "--tunnels", "a"];
  const full = new Writable({
    write: (_chunk, _encoding, done) =>
      done(Object.assign(new Error("no space"), { code: "ENOSPC" })),
  });
  full.on("error", () => {}); // as the process does for its own
  const stderr = new TextSink();

  const failed = await runCli([...issue, "--rift", "one"], { ...ioTo(stderr), stdout: full });
  const again = await run([...issue, "--rift", "one"]);

  assert.equal(failed, 1);
  assert.match(stderr.text, /^mcptun: Cannot write standard output: ENOSPC/);
  assert.equal(again.code, 0, again.stderr);
});

test("token issue refuses lifetimes without a unit and addresses nobody can dial", async () => {
  const issue = ["token", "issue", "--rift", "a", "--tunnels", "a"];

  const noUnit = await run([...issue, "--ttl", "30"]);
  const wildcard = await run([...issue, "--ttl", "30d"]);

  assert.equal(noUnit.code, 2);
  assert.match(noUnit.stderr, /^mcptun: --ttl: "30" is not a duration/);
  assert.equal(wildcard.code, 2);
  assert.match(wildcard.stderr, /^mcptun: edge\.tunnel_address: missing/);
});

test("a rift takes its credential from a flag, the environment or the file, and says what is wrong", async () => {
  writeFileSync(join(folder, "junk.token"), "junk\n", { mode: 0o644 });
  const rift = ["rift", "--expose", "a=http://127.0.0.1:1/mcp"];

  const none = await run(rift);
  const missing = await run([...rift, "--token-file", "missing.token"]);
  const junk = await run([...rift, "--token-file", "junk.token"]);
  const stdin = await run([...rift, "--token-file", "-"], { stdin: "junk" });
  const variable = await run(rift, { env: { MCPTUN_TOKEN: "mcpt_junk" } });

  for (const { code, stdout } of [none, missing, junk, stdin, variable]) {
    assert.equal(code, 2);
    assert.equal(stdout, "");
  }
  assert.match(
    none.stderr,
    /^mcptun: No credential: make one on the edge with "mcptun token issue"/,
  );
  assert.match(missing.stderr, /missing\.token: no such file\n$/);
  assert.match(junk.stderr, /junk\.token: /);
  if (process.platform !== "win32") assert.match(junk.stderr, /warning: .*chmod 600/);
  assert.match(stdin.stderr, /^mcptun: standard input: /);
  assert.match(variable.stderr, /^mcptun: MCPTUN_TOKEN: /);
});

test("a rift with nothing to expose, or a malformed --expose, says what to write", async () => {
  const nothing = await run(["rift"]);
  const malformed = await run(["rift", "--expose", "http://127.0.0.1:1/?a=hunter2"]);
  const secret = await run(["rift", "--expose", "http://user:hunter2/x@host"]);

  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /^mcptun: Nothing to expose: add --expose TUNNEL=URL/);
  assert.equal(malformed.code, 2);
  assert.match(malformed.stderr, /^mcptun: --expose: not TUNNEL=URL/);
  assert.doesNotMatch(malformed.stderr + secret.stderr, /hunter2/);
});

test("a bug exits 70 with its stack and where to report it, an expected failure without", () => {
  const bug = new TextSink();
  const expected = new TextSink();

  const codes = [
    reportFailure(ioTo(bug), new RangeError("Something broke")),
    reportFailure(ioTo(expected), new TunnelError("ADDRESS_IN_USE", "The port is taken")),
  ];

  assert.deepEqual(codes, [70, 1]);
  assert.match(
    bug.text,
    /^mcptun: internal error\nRangeError: Something broke\n\s+at [^]*report it/,
  );
  assert.equal(expected.text, "mcptun: The port is taken\n");
});

test("a check whose output nobody reads any more ends without a word", () => {
  const stderr = new TextSink();
  const closed = new AbortController();
  closed.abort(OUTPUT_CLOSED);
  const interrupted = new TunnelError("ABORTED", "The check was interrupted");

  const code = reportFailure({ ...ioTo(stderr), signal: closed.signal }, interrupted);

  assert.equal(code, 0);
  assert.equal(stderr.text, "");
});

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

async function run(argv: readonly string[], { env = {}, stdin = "" }: RunOptions = {}) {
  const stdout = new TextSink();
  const stderr = new TextSink();
  const code = await runCli(argv, {
    ...ioTo(stderr),
    stdin: Readable.from(stdin === "" ? [] : [stdin]),
    stdout,
    env,
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

function ioTo(stderr: Writable): Io {
  return {
    stdin: Readable.from([]),
    stdout: new TextSink(),
    stderr,
    env: {},
    cwd: folder,
    signal: new AbortController().signal,
  };
}

class TextSink extends Writable {
  text = "";

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    this.text += new TextDecoder().decode(chunk);
    done();
  }
}
