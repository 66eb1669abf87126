import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { after, test } from "node:test";

import { runCli } from "../../../src/cli/program.ts";

const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const USER = `[[policy]]
users = ["alice"]
allow_tools = ["read_*"]
deny_tools = ["read_secret"]
`;
const CONFIG = `[policy]
file = "user.toml"
[[tunnel]]
name = "code-server"
mode = "aware"
auth = "edge"
allow_tools = ["read_file", "read_secret"]
[[tunnel]]
name = "plain"
`;
file("user.toml", USER);
file("mcptun.toml", CONFIG);

test("a clean policy file exits 0 and says what was judged", async () => {
  const alone = await run("check", "user.toml");
  const withConfig = await run("check", "user.toml", "--config", "mcptun.toml", "--strict");

  assert.deepEqual(alone, {
    code: 0,
    stdout: "user.toml is valid: 1 policy, 0 tests pass " +
      "(the user layer alone; add --config for the tunnels' own rules)\n",
    stderr: "",
  });
  assert.deepEqual(withConfig, {
    code: 0,
    stdout: "user.toml is valid: 1 policy, 0 tests pass (with the tunnels of mcptun.toml)\n",
    stderr: "",
  });
});

test("problems exit 1, each with its place", async () => {
  file("bad.toml", '[[policy]]\nusers = ["a"]\nalow_tools = []\ndeny_tools = ["exec[ute"]\n');

  const text = await run("check", "bad.toml");
  const json = await run("check", "bad.toml", "--json");

  assert.equal(text.code, 1);
  assert.equal(text.stdout, "");
  assert.equal(
    text.stderr,
    'mcptun: 2 problems\n  bad.toml:3:1 policy[0].alow_tools: unknown key (did you mean "allow_tools"?)\n' +
      '  bad.toml:4:15 policy[0].deny_tools[0]: "exec[ute" is not a pattern: its [ ] do not pair ' +
      "(write [a-z] or [abc])\n",
  );
  assert.equal(json.code, 1);
  const report = JSON.parse(json.stdout) as { valid: boolean; problems: string[] };
  assert.equal(report.valid, false);
  assert.equal(report.problems.length, 2);
});

test("a test that comes out otherwise exits 1 and names the rule that decided", async () => {
  const tests = '[[test]]\nuser = "alice"\ntunnel = "code-server"\ntool = "read_secret"\n' +
    'expect = "allow"\n[[test]]\nuser = "bob"\ntunnel = "code-server"\ntool = "x"\nexpect = "deny"\n';
  file("tested.toml", USER + tests);

  const { code, stderr } = await run("check", "tested.toml");
  const json = await run("check", "tested.toml", "--json", "--config", "mcptun.toml");

  assert.equal(code, 1);
  assert.equal(
    stderr,
    'mcptun: tested.toml:5:3 test[0]: expected allow, got deny for user "alice", tool ' +
      '"read_secret" (user: deny, deny_tools "read_secret" (tested.toml:4:15))\n',
  );
  const report = JSON.parse(json.stdout) as { tests: number; failed: number; warnings: string[] };
  assert.deepEqual([report.tests, report.failed], [2, 1]);
  assert.match(
    report.warnings[0]!,
    /^mcptun\.toml:2:1 policy\.file: names another file than tested/,
  );
});

test("a test on a tunnel that judges nothing, or is not declared, is a problem", async () => {
  const about = (tunnel: string) =>
    `${USER}[[test]]\nuser = "alice"\ntunnel = "${tunnel}"\ntool = "a"\nexpect = "deny"\n`;
  file("plain.toml", about("plain"));
  file("absent.toml", about("absent"));

  const plain = await run("check", "plain.toml", "--config", "mcptun.toml");
  const absent = await run("check", "absent.toml", "--config", "mcptun.toml");

  assert.equal(plain.code, 1);
  assert.match(plain.stderr, /plain\.toml:7:1 test\[0\]\.tunnel: Tunnel "plain" is transparent/);
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /Tunnel "absent" is not declared .*\(declared: code-server, plain\)/);
});

test("warnings exit 0, and 1 with --strict", async () => {
  file("odd.toml", '[[policy]]\nusers = ["a"]\ntunnels = ["wiki"]\nallow_resources = ["*"]\n');
  file("empty.toml", '[[tunnel]]\nname = "a"\n');

  const lenient = await run("check", "odd.toml", "--config", "empty.toml");
  const strict = await run("check", "odd.toml", "--strict");

  assert.equal(lenient.code, 0);
  assert.match(
    lenient.stderr,
    /warning: odd\.toml:3:12 policy\[0\]\.tunnels\[0\]: "wiki" matches no/,
  );
  assert.match(
    lenient.stderr,
    /warning: odd\.toml:4:20 policy\[0\]\.allow_resources\[0\]: "\*" stops/,
  );
  assert.match(lenient.stderr, /warning: empty\.toml: no tunnel asks odd\.toml/);
  assert.match(lenient.stderr, /warning: empty\.toml: no tunnel is aware/);
  assert.equal(strict.code, 1);
  assert.match(strict.stderr, /^mcptun: odd\.toml:4:20 .* stops at the next "\/"/);
});

test("a file that cannot be read exits 2", async () => {
  const missing = await run("check", "nowhere.toml");
  const config = await run("check", "user.toml", "--config", "nowhere.toml");
  const explain = await run(
    "explain",
    "nowhere.toml",
    "--user",
    "a",
    "--tunnel",
    "t",
    "--tool",
    "x",
  );

  for (const { code, stdout } of [missing, config, explain]) {
    assert.equal(code, 2);
    assert.equal(stdout, "");
  }
  const json = await run("check", "nowhere.toml", "--json");
  assert.equal(json.code, 2);
  assert.match(
    json.stdout,
    /^\{"valid":false,"file":"nowhere\.toml",.*"problems":\["Cannot read policy file/,
  );
  assert.match(missing.stderr, /^mcptun: Cannot read policy file "nowhere\.toml": no such file/);
});

test("files that stand in each other's place are told so", async () => {
  const policy = await run("check", "mcptun.toml");
  const config = await run("check", "user.toml", "--config", "user.toml");

  assert.equal(policy.code, 1);
  assert.match(policy.stderr, /tunnel: unknown table \(it belongs to mcptun\.toml/);
  assert.equal(config.code, 2);
  assert.match(config.stderr, /policy: a list is not a table \(tables with rules of users belong/);
});

test("an explanation has every layer with the rule that decided and its place", async () => {
  const ask = ["explain", "user.toml", "--user", "alice", "--tunnel", "code-server"];

  const alone = await run(...ask, "--tool", "read_file");
  const denied = await run(...ask, "--tool", "read_secret", "--config", "mcptun.toml");
  const json = await run(...ask, "--tool", "read_secret", "--config", "mcptun.toml", "--json");

  assert.equal(alone.code, 0);
  assert.equal(
    alone.stdout,
    'allow: user "alice", tool "read_file", tunnel "code-server"\n\n' +
      'user  allow  allow_tools "read_*" (user.toml:3:16)\n\n' +
      'Only the user layer is judged, and whether there is a tunnel "code-server" is not checked: the tunnels and their own rules are in the configuration ' +
      "(add --config mcptun.toml)\n",
  );
  assert.equal(denied.code, 0);
  assert.equal(
    denied.stdout,
    'deny: user "alice", tool "read_secret", tunnel "code-server"\n\n' +
      'tunnel  allow  allow_tools "read_secret" (mcptun.toml:7:29)\n' +
      'user    deny   deny_tools "read_secret" (user.toml:4:15)\n',
  );
  const { decision, layer, layers } = JSON.parse(json.stdout) as {
    decision: string;
    layer: string;
    layers: { layer: string; decision: string; rule: { line: number } }[];
  };
  assert.deepEqual([decision, layer], ["deny", "user"]);
  assert.deepEqual(layers.map(({ layer, decision, rule }) => [layer, decision, rule.line]), [
    ["tunnel", "allow", 7],
    ["user", "deny", 4],
  ]);
});

test("an explanation covers groups, resources, prompts and methods", async () => {
  file(
    "kinds.toml",
    '[[policy]]\ngroups = ["ops"]\nallow_resources = ["file:///a/**"]\nallow_prompts = ["p"]\n' +
      'allow_methods = ["logging/*"]\n',
  );
  const ask = (...rest: string[]) =>
    run("explain", "kinds.toml", "--user", "bob", "--tunnel", "t", "--json", ...rest);
  const cases: [args: string[], decision: string][] = [
    [["--groups", "dev,ops", "--resource", "file:///a/b"], "allow"],
    [["--groups", "ops", "--resource", "file:///a/../b"], "deny"],
    [["--groups", "ops", "--prompt", "p"], "allow"],
    [["--groups", "ops", "--method", "logging/setLevel"], "allow"],
    [["--groups", "ops", "--method", "tools/list"], "allow"],
    [["--prompt", "p"], "deny"],
  ];

  for (const [args, decision] of cases) {
    const { stdout } = await ask(...args);
    assert.equal((JSON.parse(stdout) as { decision: string }).decision, decision, args.join(" "));
  }
});

test("an explanation wants exactly one target and a tunnel that is judged", async () => {
  const ask = ["explain", "user.toml", "--user", "a", "--tunnel"];

  const none = await run(...ask, "t");
  const two = await run(...ask, "t", "--tool", "a", "--prompt", "b");
  const plain = await run(...ask, "plain", "--tool", "a", "--config", "mcptun.toml");

  for (const { code } of [none, two, plain]) assert.equal(code, 2);
  assert.match(none.stderr, /give exactly one of --tool, --resource, --prompt and --method/);
  assert.match(two.stderr, /give exactly one of/);
  assert.match(plain.stderr, /Tunnel "plain" is transparent in mcptun\.toml, so nothing is judged/);
});

test("an explanation asks what was meant when a name is nearly another", async () => {
  file("near.toml", '[[policy]]\nusers = ["alice"]\nallow_tools = ["read_file"]\n');
  const ask = ["explain", "near.toml", "--tunnel", "codeserver", "--user"];

  const user = await run(...ask, "Alice", "--tool", "read_file");
  const tool = await run(...ask, "alice", "--tool", "read_fil");
  const allowed = await run(...ask, "alice", "--tool", "read_file");

  assert.match(user.stdout, /^Did you mean --user "alice"\?$/m);
  assert.match(tool.stdout, /^Did you mean --tool "read_file"\?$/m);
  assert.match(tool.stdout, /whether there is a tunnel "codeserver" is not checked/);
  assert.doesNotMatch(allowed.stdout, /Did you mean/);
});

test("names that are nearly others, or stand where nothing is judged, are warned of", async () => {
  file(
    "nearly.toml",
    '[[policy]]\nusers = ["alice", "alice"]\ntunnels = ["plain", "code-server"]\n' +
      'allow_methods = ["tool/call"]\ndeny_methods = ["tools/cal", "acme/do"]\n' +
      '[[test]]\nuser = "Alice"\ntunnel = "code-server"\ntool = "x"\nexpect = "deny"\n' +
      '[[test]]\nuser = "mallory"\ntunnel = "code-server"\ntool = "x"\nexpect = "deny"\n',
  );

  const { code, stdout } = await run("check", "nearly.toml", "--config", "mcptun.toml", "--json");

  const { warnings } = JSON.parse(stdout) as { warnings: string[] };
  const own = warnings.filter((warning) => warning.startsWith("nearly.toml"))
    .map((warning) => warning.replace(/^nearly\.toml:(\d+):\d+ \S+: /, "$1 "));
  assert.equal(code, 0);
  assert.deepEqual(own, [
    '2 "alice" stands in this list already (remove one)',
    '3 "plain" is transparent, so nothing is judged there (set mode = "aware" on the tunnel)',
    '4 "tool/call" is no method of MCP (did you mean "tools/call"?)',
    '5 "tools/cal" is no method of MCP (did you mean "tools/call"?)',
    '7 no policy names "Alice", so it passes whatever the rules are (did you mean "alice"?)',
  ]);
});

test("control characters of a name are inert in the output", async () => {
  const { stdout } = await run(
    "explain",
    "user.toml",
    "--user",
    "al\u001b[31mice",
    "--tunnel",
    "t",
    "--tool",
    "a\nb",
  );

  assert.match(stdout, /^deny: user "al\\u001b\[31mice", tool "a\\nb", tunnel "t"\n/);
});

function file(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}

async function run(...argv: string[]) {
  const stdout = new TextSink();
  const stderr = new TextSink();
  const signal = new AbortController().signal;
  const stdin = Readable.from([]);
  const code = await runCli(["policy", ...argv], {
    stdin,
    stdout,
    stderr,
    env: {},
    cwd: folder,
    signal,
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class TextSink extends Writable {
  text = "";

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    this.text += new TextDecoder().decode(chunk);
    done();
  }
}
