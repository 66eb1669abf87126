import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { runCliProcess, startCli } from "../support/cli_process.ts";

const folder = mkdtempSync(join(tmpdir(), "mcptun-roles-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("edge, token and rift as three processes carry an HTTP service, and end in order", async () => {
  const upstream = createServer((request, response) => response.end(`upstream got ${request.url}`));
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  writeFileSync(
    join(folder, "mcptun.toml"),
    `[edge]
listen = "127.0.0.1:0"
tunnel_listen = "127.0.0.1:0"
tunnel_address = "localhost:4443"
[[tunnel]]
name = "wiki"
protocol = "http"
`,
  );
  const edge = startCli(["edge"], { cwd: folder });
  const banner = (await edge.lines(4)).join("\n");
  const url = / wiki {2}http {2}(\S+)/.exec(banner)![1]!;
  const dialed = / rifts +(\S+) \(UDP\)/.exec(banner)![1]!;

  const token = await runCliProcess(
    ["token", "issue", "--rift", "one", "--tunnels", "w*", "--ttl", "1h"],
    { cwd: folder },
  );
  const rift = startCli(
    [
      "rift",
      ...["--protocol", "http", "--token-file", "-", "--edge-address", dialed],
      ...["--expose", `wiki=${upstreamUrl}`],
    ],
    { cwd: folder, stdin: token.stdout },
  );
  await rift.stderrMatch(/Connected to edge/);
  const response = await fetch(`${url}/start?x=1`);
  const body = await response.text();
  rift.signal("SIGTERM");
  const riftEnd = await rift.result;
  edge.signal("SIGINT");
  const edgeEnd = await edge.result;
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));

  assert.equal(token.code, 0);
  assert.equal(response.status, 200);
  assert.equal(body, "upstream got /start?x=1");
  assert.equal(riftEnd.code, 0);
  assert.equal(edgeEnd.code, 0);
  for (const { stdout, stderr } of [riftEnd, edgeEnd]) {
    assert.ok(!(stdout + stderr).includes(token.stdout.trim()));
  }
});

test("unknown flags and missing files are told without a stack", async () => {
  const flag = await runCliProcess(["edge", "--listn", "x"], { cwd: folder });
  const file = await runCliProcess(["edge", "--config", "nowhere.toml"], { cwd: folder });

  assert.equal(flag.code, 2);
  assert.match(
    flag.stderr,
    /^mcptun: unknown option '--listn'\n\(Did you mean --listen\?\)\n\(see "mcptun edge --help"\)\n$/,
  );
  assert.equal(file.code, 2);
  assert.match(file.stderr, /^mcptun: Cannot read config file "nowhere.toml": no such file/);
  assert.doesNotMatch(flag.stderr + file.stderr, /\n\s+at /);
});

test("an edge serves on when nobody reads its log any more", async () => {
  const cwd = mkdtempSync(join(folder, "log-"));
  writeFileSync(
    join(cwd, "mcptun.toml"),
    '[edge]\nlisten = "127.0.0.1:0"\ntunnel_listen = "127.0.0.1:0"\n[log]\nlevel = "debug"\n' +
      '[[tunnel]]\nname = "a"\n',
  );
  const edge = startCli(["edge"], { cwd });
  edge.child.stderr!.destroy();
  const url = / a {2}mcp {2}(\S+)/.exec((await edge.lines(4)).join("\n"))![1]!;
  const statuses = [];
  for (let count = 0; count < 3; count++) {
    const response = await fetch(url, { method: "POST" });
    await response.body?.cancel();
    statuses.push(response.status);
  }
  edge.signal("SIGTERM");
  const { code } = await edge.result;

  assert.deepEqual(statuses, [503, 503, 503]);
  assert.equal(code, 0);
});

test("a full disk behind standard output is told in one line", {
  skip: existsSync("/dev/full") ? false : "no /dev/full here",
}, async () => {
  const version = startCli(["--version"]);
  await version.result;
  const main = [...version.child.spawnargs.slice(0, -1), "config", "check"];
  const { status, stderr } = spawnSync("sh", ["-c", '"$@" > /dev/full', "sh", ...main], {
    cwd: folder,
    encoding: "utf8",
  });

  assert.equal(status, 1);
  assert.match(stderr, /^mcptun: Cannot write: ENOSPC \(.+\)\n$/);
});

test("a reader that closes the pipe early is no failure", async () => {
  const cli = startCli(["config", "check"], { cwd: folder });
  cli.child.stdout!.destroy();
  const { code, stderr } = await cli.result;

  assert.equal(code, 0);
  assert.equal(stderr, "");
});
