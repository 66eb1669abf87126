import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { runCliProcess } from "../support/cli_process.ts";

const folder = mkdtempSync(join(tmpdir(), "mcptun-token-"));
after(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(
  join(folder, "mcptun.toml"),
  `[edge]
tunnel_address = "localhost:4443"
state_dir = "state"
hosts = ["localhost"]
[[tunnel]]
name = "code"
auth = "edge"
`,
);

test("processes that issue at the same time, from no state at all, lose nothing", async () => {
  const cli = (...argv: string[]) => runCliProcess(argv, { cwd: folder });
  const rift = ["--tunnels", "code", "--ttl", "1h"];

  const issued = await Promise.all([
    cli("token", "issue", "--user", "alice"),
    cli("token", "issue", "--user", "bob"),
    cli("token", "issue", "--rift", "one", ...rift),
    cli("token", "issue", "--rift", "two", ...rift),
  ]);
  const list = await cli("token", "list", "--json");

  assert.deepEqual(issued.map(({ code }) => code), [0, 0, 0, 0]);
  assert.equal(new Set(issued.map(({ stdout }) => stdout)).size, 4);
  assert.deepEqual([list.code, list.stderr], [0, ""]);
  const { rifts, users } = JSON.parse(list.stdout) as Record<"rifts" | "users", { name: string }[]>;
  assert.deepEqual(rifts.map(({ name }) => name), ["one", "two"]);
  assert.deepEqual(users.map(({ name }) => name), ["alice", "bob"]);
  assert.deepEqual(readdirSync(join(folder, "state")).sort(), [
    "credentials.json",
    "tunnel-ca.pem",
    "tunnel-server.pem",
    "user-tokens.json",
  ]);
});

test("a command that fails tells why in one line, without a stack and without a secret", async () => {
  const unknown = await runCliProcess(["token", "revoke", "thre"], { cwd: folder });
  const both = await runCliProcess(["token", "revoke", "one", "--user", "bob"], { cwd: folder });

  for (const { code, stdout, stderr } of [unknown, both]) {
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /^mcptun: [^\n]+\n$/);
  }
});
