import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";

import { commandOf, OWN_RUNTIME } from "../../support/cli_process.ts";
import { runIn } from "../../support/run_cli.ts";

const onPosix = { skip: process.platform === "win32" };
const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const POLICY = '[[policy]]\nusers = ["alice"]\nallow_tools = ["read_file"]\n';
writeFileSync(join(folder, "user.toml"), POLICY);
const EXPOSE = ["--expose", "code=http://127.0.0.1:9/mcp"];

test("no command waits for the writer of a FIFO that is named for a file", onPosix, async () => {
  spawnSync("mkfifo", [join(folder, "fifo")]);
  writeFileSync(
    join(folder, "secret.toml"),
    `[[rift.expose]]\ntunnel = "code"\nupstream = "http://127.0.0.1:9/mcp"\nauthorization_file = "fifo"\n`,
  );
  writeFileSync(
    join(folder, "tls.toml"),
    `[edge]\ntls_cert = "fifo"\ntls_key = "fifo"\nhosts = ["localhost"]\n`,
  );
  const commands = [
    ["policy", "check", "fifo"],
    ["policy", "explain", "fifo", "--user", "a", "--tunnel", "t", "--tool", "x"],
    ["policy", "check", "user.toml", "--config", "fifo"],
    ["config", "check", "--config", "fifo"],
    ["config", "check", "--config", "tls.toml"],
    ["edge", "--config", "fifo"],
    ["rift", "--config", "fifo"],
    ["rift", "--token-file", "fifo", ...EXPOSE],
    ["rift", "--token-file", "fifo", "--config", "secret.toml"],
    ["dev", "--policy", "fifo"],
    ["status", "--config", "fifo"],
    ["token", "list", "--config", "fifo"],
    ["doctor", "--rift", "--config", "fifo"],
    ["doctor", "--url", "http://127.0.0.1:9/mcp", "--token-file", "fifo"],
    ["doctor", "--url", "http://127.0.0.1:9/mcp", "--ca", "fifo"],
  ];
  let ran = 0;
  for (const command of commands) {
    const { code, stdout, stderr } = await runIn(folder, command);

    assert.notEqual(code, 0, command.join(" "));
    assert.match(stdout + stderr, /not a regular file/, command.join(" "));
    ran++;
  }
  assert.equal(ran, 15);
});

test("policy check reads what a shell pipes into /dev/stdin", onPosix, () => {
  const { command, programArguments } = commandOf(OWN_RUNTIME);
  const line = 'file=$1; shift; cat "$file" | exec "$@"';

  const { status, stdout, stderr } = spawnSync(
    "sh",
    ["-c", line, "sh", "user.toml", command, ...programArguments, "policy", "check", "/dev/stdin"],
    { cwd: folder, encoding: "utf8", timeout: 30_000, killSignal: "SIGKILL" },
  );

  assert.deepEqual([status, stderr], [0, ""]);
  assert.match(stdout, /^\/dev\/stdin is valid: 1 policy, /);
});
