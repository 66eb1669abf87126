import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { test } from "node:test";

import { startCli } from "../support/cli_process.ts";

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
  const before = stateFolders();
  const dev = startCli(["dev", "--json", "--port", "0"]);
  const facts = JSON.parse((await dev.lines(1))[0]!) as DevFacts;

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
  assert.deepEqual(stateFolders().filter((name) => !before.includes(name)), []);
});

test("dev prints a config entry and a curl line that carry its URL and token", async () => {
  const dev = startCli(["dev", "--port", "0"]);
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

  const { code, stdout, stderr } = await startCli(["dev", "--port", String(port)]).result;
  await new Promise((resolve) => taken.close(resolve));

  assert.equal(code, 1);
  assert.equal(stdout, "");
  const suggested = new RegExp(`^mcptun: Port ${port} is in use: try "mcptun dev --port (\\d+)"`)
    .exec(stderr)?.[1];
  assert.notEqual(suggested, undefined, stderr);
  assert.notEqual(Number(suggested), port);
});

test("dev with an upstream that does not answer says so and still serves", async () => {
  const dev = startCli(["dev", "--json", "--port", "0", "--upstream", "http://127.0.0.1:9/mcp"]);
  const facts = JSON.parse((await dev.lines(1))[0]!) as DevFacts;

  const { status } = await post(facts.url, facts.token);
  dev.signal("SIGINT");
  const { code, stderr } = await dev.result;

  assert.equal(status, 503);
  assert.equal(code, 0);
  assert.match(stderr, /warning: http:\/\/127\.0\.0\.1:9\/mcp does not answer yet; still trying/);
});

interface DevFacts {
  readonly url: string;
  readonly token: string;
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
  return readdirSync(tmpdir()).filter((name) => name.startsWith("mcptun-dev-"));
}
