import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";

import { startCli } from "../support/cli_process.ts";

/** Where the runs of this file put their state, and nobody else. */
const folder = mkdtempSync(join(tmpdir(), "mcptun-dev-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const env = { TMPDIR: folder, TEMP: folder, TMP: folder };

const INITIALIZE = {
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "test", version: "1" },
  },
};

test("dev --json serves the sample behind a token until SIGINT, and leaves nothing behind", async () => {
  const dev = startCli(["dev", "--json", "--port", "0"], { env });
  const facts = JSON.parse((await dev.lines(1))[0]!) as DevFacts;

  const during = stateFolders();
  const refused = await post(facts.url);
  const wrong = await post(facts.url, "mcpu_wrong");
  const answered = await post(facts.url, facts.token);
  const interruptedAtMs = performance.now();
  dev.signal("SIGINT");
  const { code, stdout, stderr } = await dev.result;

  assert.match(facts.url, /^http:\/\/127\.0\.0\.1:\d+\/dev\/mcp$/);
  assert.match(facts.token, /^mcpu_[A-Za-z0-9_-]{43}$/);
  assert.equal(refused.status, 401);
  assert.equal(wrong.status, 401);
  assert.equal(answered.status, 200);
  assert.match(answered.body, /"serverInfo"/);
  assert.equal(code, 0);
  assert.ok(performance.now() - interruptedAtMs < 2_000);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  assert.equal(stderr, "");
  assert.equal(during.length, 1);
  assert.deepEqual(stateFolders(), []);
});

test("dev leaves nothing behind when the terminal closes, or a second signal will not wait", {
  skip: process.platform === "win32" ? "Windows has no such signals" : false,
}, async () => {
  const hungUp = startCli(["dev", "--json", "--port", "0"], { env });
  await hungUp.lines(1);
  process.kill(hungUp.child.pid!, "SIGHUP");
  const orderly = await hungUp.result;
  const afterHangUp = stateFolders();

  const dev = startCli(["dev", "--json", "--port", "0"], { env });
  const { url, token } = JSON.parse((await dev.lines(1))[0]!) as DevFacts;
  await post(url, token);
  dev.signal("SIGTERM");
  dev.signal("SIGINT");
  const { code } = await dev.result;

  assert.equal(orderly.code, 0);
  assert.deepEqual(afterHangUp, []);
  // Two signals that are pending together arrive in either order; an end in between is orderly.
  assert.ok([0, 130, 143].includes(code!), String(code));
  assert.deepEqual(stateFolders(), []);
});

test("the curl lines of dev work as printed", async (t) => {
  const dev = startCli(["dev", "--json", "--port", "0"], { env });
  const { curl, curlCall } = JSON.parse((await dev.lines(1))[0]!) as DevFacts;

  const { output, missing } = await shell(`${curl} -i`);
  const called = await shell(`${curlCall} -i`);
  dev.signal("SIGINT");
  await dev.result;

  if (missing) return t.skip("no curl here");
  assert.match(output, /^HTTP\/1\.1 200 /);
  assert.match(output, /"serverInfo"/);
  assert.match(called.output, /^HTTP\/1\.1 200 [^]*"hello"/);
});

test("dev prints a config entry and a curl line that carry its URL and token", async () => {
  const dev = startCli(["dev", "--port", "0"], { env });
  await dev.lines(24);
  dev.signal("SIGTERM");
  const { code, stdout } = await dev.result;

  const url = /^ {2}URL +(\S+)$/m.exec(stdout)![1]!;
  const token = /^ {2}Token +(\S+)$/m.exec(stdout)![1]!;
  const entry = JSON.parse(stdout.slice(stdout.indexOf("{\n"), stdout.indexOf("\n}\n") + 2)) as {
    mcpServers: Record<string, unknown>;
  };
  assert.deepEqual(entry.mcpServers["mcptun-dev"], {
    type: "http",
    url,
    headers: { Authorization: `Bearer ${token}` },
  });
  const curl = /^curl .*$/m.exec(stdout)![0];
  for (const part of [url, token, "Accept: application/json, text/event-stream"]) {
    assert.ok(curl.includes(part), part);
  }
  assert.equal(code, 0);
});

test("dev on a taken port exits 1 and suggests one that is free", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;

  const argv = ["dev", "--port", String(port)];
  const { code, stdout, stderr } = await startCli(argv, { env }).result;
  const underNpm = await startCli(argv, { env: { ...env, npm_lifecycle_event: "start" } }).result;
  await new Promise((resolve) => taken.close(resolve));

  assert.equal(code, 1);
  assert.equal(stdout, "");
  const suggested = new RegExp(`^mcptun: Port ${port} is in use: try "mcptun dev --port (\\d+)"`)
    .exec(stderr)?.[1];
  assert.notEqual(suggested, undefined, stderr);
  assert.match(underNpm.stderr, /try "npm start -- --port \d+"/);
  const free = createServer();
  await new Promise<void>((resolve, reject) => {
    free.once("error", reject).listen(Number(suggested), "127.0.0.1", resolve);
  });
  await new Promise((resolve) => free.close(resolve));
});

test("dev with an upstream that does not answer says so and still serves", async () => {
  const upstream = "http://127.0.0.1:9/mcp";
  const dev = startCli(["dev", "--json", "--port", "0", "--upstream", upstream], { env });
  const facts = JSON.parse((await dev.lines(1))[0]!) as DevFacts;

  const { status } = await post(facts.url, facts.token);
  dev.signal("SIGINT");
  const { code, stderr } = await dev.result;

  assert.equal(status, 503);
  assert.equal(code, 0);
  assert.match(stderr, /warning: http:\/\/127\.0\.0\.1:9\/mcp does not answer yet; still trying/);
});

test("dev with a policy says whom it judges by which file, and that a mended file counts", async () => {
  const file = join(folder, "user.toml");
  const good = '[[policy]]\nusers = ["bob"]\nallow_tools = ["echo"]\n';
  writeFileSync(file, good);
  const argv = ["dev", "--port", "0", "--policy", "user.toml", "--user", "bob", "--groups", "dev"];
  const dev = startCli(argv, { env, cwd: folder });
  const facts = await dev.lines(DEV_LINES + 2);
  const [url, token] = ["URL", "Token"].map((name) =>
    new RegExp(`^ {2}${name} +(\\S+)$`, "m").exec(facts.join("\n"))![1]!
  );
  writeFileSync(file, `${good}deny_tools = [`);
  await dev.stderrMatch(/user\.toml:4:\d+ /);
  writeFileSync(file, `${good}\n`);
  const mended = (await dev.lines(DEV_LINES + 3)).at(-1)!;
  const { status } = await post(url!, token);
  const judged = (await dev.lines(DEV_LINES + 4)).at(-1)!;
  dev.signal("SIGTERM");
  await dev.result;

  assert.match(facts.join("\n"), /^ {2}User {4}"bob" of "dev"/m);
  assert.match(facts.join("\n"), /^ {2}Policy {2}user\.toml;/m);
  assert.match(mended, /^policy {3}user\.toml {2}read again, in force/);
  assert.equal(status, 200);
  assert.match(judged, /^allowed {2}"bob" {2}initialize {2}user layer: ordinary_method \(/);
});

test("dev warns at start and after an edit when no policy applies to its user on its tunnel", async () => {
  const file = join(folder, "other.toml");
  const text = '[[policy]]\nusers = ["alice"]\ntunnels = ["code-server"]\nallow_tools = ["echo"]\n';
  writeFileSync(file, text);
  const argv = ["dev", "--port", "0", "--policy", "other.toml", "--user", "alice"];
  const dev = startCli(argv, { env, cwd: folder });
  const atStart =
    /^mcptun: warning: no \[\[policy\]\] of other\.toml applies to user "alice" on tunnel "dev"/;
  await dev.stderrMatch(atStart);
  const facts = await dev.lines(DEV_LINES + 2);
  const [url, token] = ["URL", "Token"].map((name) =>
    new RegExp(`^ {2}${name} +(\\S+)$`, "m").exec(facts.join("\n"))![1]!
  );
  await post(url!, token);
  const judged = (await dev.lines(DEV_LINES + 3)).at(-1)!;
  writeFileSync(file, text.replace('"alice"', '"alicia"'));
  await dev.lines(DEV_LINES + 4);
  await dev.stderrMatch(/applies[^]*applies to user "alice" on tunnel "dev"/);
  dev.signal("SIGTERM");
  const { code } = await dev.result;

  assert.match(judged, /^DENIED .* user layer: no_policy \(.*for tunnel "dev"/);
  assert.equal(code, 0);
});

/** Lines that dev prints without a policy. */
const DEV_LINES = 29;

interface DevFacts {
  readonly url: string;
  readonly token: string;
  readonly curl: string;
  readonly curlCall: string;
}

async function post(url: string, token?: string): Promise<{ status: number; body: string }> {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(INITIALIZE),
  });
  return { status: response.status, body: await response.text() };
}

function stateFolders(): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("mcptun-dev-"));
}

/** Runs a line in a POSIX shell. */
function shell(line: string): Promise<{ output: string; missing: boolean }> {
  return new Promise((resolve) => {
    const child = spawn("sh", ["-c", line], { stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.once("error", () => resolve({ output, missing: true }));
    child.once("close", (code) => resolve({ output, missing: code === 127 }));
  });
}
