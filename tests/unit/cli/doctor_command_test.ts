import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { after, test } from "node:test";

import { runCli } from "../../../src/cli/program.ts";
import { GOOD_TOKEN, oauthServer, openServer, startScripted } from "../../support/doctor_probe.ts";

const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("the exit code is 0 when no step fails, and every line fits the screen", async () => {
  const server = await startScripted(openServer);
  try {
    const { code, stdout, stderr } = await run(["doctor", "--url", server.url]);

    assert.equal(code, 0);
    assert.equal(stderr, "");
    assert.match(stdout, /^mcptun .* doctor: http:\/\/127\.0\.0\.1:\d+\/mcp\n\nnote {2}url/);
    assert.match(stdout, /\nok {4}tools {6}2 tools: alpha, beta\n\n.*: no problem found\n$/);
    assert.ok(stdout.split("\n").every((line) => line.length <= 80));
  } finally {
    await server.close();
  }
});

test("the exit code is 1 when a step fails, and nothing is on stderr", async () => {
  const server = await startScripted(() => ({ status: 404 }));
  try {
    const { code, stdout, stderr } = await run(["doctor", "--url", server.url]);

    assert.equal(code, 1);
    assert.equal(stderr, "");
    assert.match(stdout, /\nFAIL {2}challenge {2}404/);
    assert.match(stdout, /\n1 of 11 steps failed/);
  } finally {
    await server.close();
  }
});

test("wrong usage ends with 2, prints no step and repeats no secret", async () => {
  const cases = [
    [["doctor"], /--url .* or --rift/],
    [["doctor", "--url", "https://a", "--rift"], /--url or --rift, not both/],
    [["doctor", "--rift", "--token-file", ""], /--token-file: its value is empty/],
    [["doctor", "--url", "ftp://user:hunter2@a"], /not an https URL/],
    [["doctor", "--url", "hunter2"], /not an https URL/],
    [["doctor", "--url", "https://a", "--config", "x"], /--config belongs to --rift/],
    [["doctor", "--rift", "--ca", "x"], /--ca belongs to --url/],
    [["doctor", "--url", "https://a", "--timeout", "soon"], /--timeout: "soon" is not a duration/],
    [["doctor", "--url", "https://a", "--token-file", "none"], /no such file/],
    [["doctor", "--url", "https://a", "--ca", "none"], /no such file/],
    [["doctor", "--url", "https://a", `mcpu_${"a".repeat(43)}`], /command line/],
    [["doctor", "--rift", "--expose", "x"], /not TUNNEL=URL/],
  ] as const;
  for (const [argv, message] of cases) {
    const { code, stdout, stderr } = await run(argv);

    assert.equal(code, 2, argv.join(" "));
    assert.equal(stdout, "");
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /hunter2|aaaa/);
  }
  assert.equal(cases.length, 12);
});

test("the token comes from a file, standard input or the environment", async () => {
  const server = await startScripted(oauthServer);
  const file = join(folder, "user.token");
  writeFileSync(file, `${GOOD_TOKEN}\n`, { mode: 0o600 });
  try {
    const argv = ["doctor", "--url", server.url, "--json"];
    const runs = await Promise.all([
      run([...argv, "--token-file", file]),
      run([...argv, "--token-file", "-"], { stdin: GOOD_TOKEN }),
      run(argv, { env: { MCPTUN_USER_TOKEN: GOOD_TOKEN } }),
    ]);

    assert.equal(runs.length, 3);
    for (const { code, stdout } of runs) {
      const value = JSON.parse(stdout) as {
        ok: boolean;
        steps: { name: string; status: string }[];
      };
      assert.equal(code, 0);
      assert.equal(value.ok, true);
      assert.equal(value.steps.length, 11);
      assert.equal(value.steps.find(({ name }) => name === "request")?.status, "ok");
      assert.equal(stdout.trimEnd().split("\n").length, 1);
      assert.doesNotMatch(stdout, new RegExp(GOOD_TOKEN));
    }
  } finally {
    await server.close();
  }
});

test("a rift without configuration or credential is told at its steps, with exit code 1", async () => {
  const { code, stdout, stderr } = await run(["doctor", "--rift"]);
  const broken = join(folder, "broken.toml");
  writeFileSync(broken, "[rift]\nunknown = 1\n");
  const second = await run(["doctor", "--rift", "--config", broken, "--json"]);

  assert.equal(code, 1);
  assert.equal(stderr, "");
  assert.match(stdout, /FAIL {2}config {6}No mcptun\.toml here: nothing is exposed/);
  assert.match(stdout, /FAIL {2}credential {2}No credential/);
  assert.equal(second.code, 1);
  const { ok, steps } = JSON.parse(second.stdout) as {
    ok: boolean;
    steps: { name: string; status: string; detail: string }[];
  };
  assert.equal(ok, false);
  assert.match(steps[0]?.detail ?? "", /broken\.toml:2/);
});

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

async function run(argv: readonly string[], { env = {}, stdin = "" }: RunOptions = {}) {
  const stdout = new TextSink();
  const stderr = new TextSink();
  const code = await runCli(argv, {
    stdin: Readable.from(stdin === "" ? [] : [stdin]),
    stdout,
    stderr,
    env,
    cwd: folder,
    signal: new AbortController().signal,
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
