/** A running edge with an aware tunnel: its policy file changes, and its audit trail can be checked. @module */
// test-timeout: 120s

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { test } from "node:test";

import { runCliProcess } from "../support/cli_process.ts";
import { ask, openRequest, readBody, startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

const MODERN = "2026-07-28";
/** A second is promised; a machine with more to do gets more. */
const IN_FORCE_WITHIN_MS = 4_000;

const policyOf = (uris: string, tools = '["read"]') =>
  `[[policy]]\nusers = ["alice"]\nallow_tools = ${tools}\nallow_resources = ${uris}\n`;

test("a changed policy file holds for new requests and for open subscriptions; a broken one changes nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-aware-"));
  const policy = join(folder, "user.toml");
  const streams: ServerResponse[] = [];
  const executed: string[] = [];
  const upstream = await startServer((request, response) => {
    readBody(request).then((body) => {
      if (request.method === "OPTIONS") return void response.end();
      const { id, method, params } = JSON.parse(String(body));
      executed.push(`${method} ${params.name ?? ""}`);
      if (method !== "subscriptions/listen") {
        response.setHeader("content-type", "application/json");
        return void response.end(JSON.stringify({ jsonrpc: "2.0", id, result: {} }));
      }
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      streams.push(response);
    }, () => response.destroy());
  });
  try {
    writeFileSync(policy, policyOf('["note://*"]'));
    const { edge, rift, url } = await startRoles({
      folder,
      protocol: "mcp",
      upstream: `${upstream.url}/mcp`,
      moreConfig:
        'mode = "aware"\ndefault = "allow"\ndeny_tools = ["no_*"]\n[policy]\nfile = "user.toml"\n[audit]\nfile = "audit.jsonl"\nintent = true\n',
    });
    const issued = await runCliProcess(["token", "issue", "--user", "alice", "--ttl", "1h"], {
      cwd: folder,
    });
    const token = issued.stdout.trim();
    const call = (method: string, params: object) => question(token, method, params);
    const never = () => ask(url, call("tools/call", { name: "no_way" }));
    const read = () => ask(url, call("tools/call", { name: "read" }));
    // The edge looks for new tokens now and then.
    while ((await read()).status === 401);
    const listen = call("subscriptions/listen", {
      notifications: { resourceSubscriptions: ["note://a", "note://b"] },
    });
    const opened = openRequest(url, listen);
    opened.request.end(listen.body);
    const stream = await opened.response;
    let received = "";
    stream.setEncoding("utf8").on("data", (text: string) => received += text);
    const update = (uri: string) =>
      streams[0]!.write(
        `data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"${uri}"}}\n\n`,
      );
    const arrives = async (text: string): Promise<void> => {
      while (!received.includes(text)) {
        await new Promise<void>((resolve) => void stream.once("data", () => resolve()));
      }
    };
    update("note://a");
    await arrives("note://a");

    const changedAtMs = performance.now();
    writeFileSync(policy, policyOf('["note://b"]', "[]"));
    let denied = await read();
    while (!String(denied.body).includes("-32602")) denied = await read();
    const tookMs = performance.now() - changedAtMs;
    const reads = executed.filter((line) => line === "tools/call read").length;
    received = "";
    update("note://a");
    update("note://b");
    await arrives("note://b");

    writeFileSync(policy, policyOf('["note://*"]', '["*'));
    const [, problem] = await edge.stderrMatch(/the one before stays in force problem=(".*?")\n/);
    const still = await read();
    await never();
    stream.destroy();
    const [, edgeEnd] = await endRoles(rift, edge);
    const verified = await runCliProcess(["audit", "verify", "--json"], { cwd: folder });
    const records = readFileSync(join(folder, "audit.jsonl"), "utf8").trim().split("\n")
      .map((line) => JSON.parse(line));
    const denials = records.filter(({ type, decision }) =>
      type === "exchange" && decision === "deny"
    );

    assert.ok(tookMs < IN_FORCE_WITHIN_MS, `${tookMs} ms`);
    assert.doesNotMatch(received, /note:\/\/a/);
    assert.match(problem ?? "", /user\.toml:3:\d+ /);
    assert.match(String(still.body), /-32602/);
    assert.equal(executed.filter((line) => line === "tools/call read").length, reads);
    assert.equal(edgeEnd?.code, 0);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    assert.ok(denials.length >= 2);
    // Not in the allow list of the file: the layer that decided, and the rules that were in force.
    assert.deepEqual([...new Set(denials.map(({ layer, name }) => `${layer} ${name}`))], [
      "user read",
      "tunnel no_way",
    ]);
    assert.ok(isAbsolute(denials.at(-1).rule_at), denials.at(-1).rule_at);
    assert.match(denials.at(-1).rule_at, /mcptun\.toml:\d+:\d+$/);
    assert.match(edgeEnd.stdout, /^ {2}policy +.*user\.toml$/m);
    assert.match(edgeEnd.stdout, /^ {2}audit +.*audit\.jsonl$/m);
    const versions = new Set(records.map(({ policy }) => policy).filter((text) => text));
    assert.equal(versions.size, 2);
    const exchanges = records.filter(({ type }) => type === "exchange").map((line) =>
      line.exchange
    );
    assert.equal(new Set(exchanges).size, exchanges.length);
    for (const { exchange } of records.filter(({ type }) => type === "intent")) {
      assert.ok(exchanges.includes(exchange), exchange);
    }
  } finally {
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

function question(token: string, method: string, params: object) {
  const name = (params as { name?: string }).name;
  const meta = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  return {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": MODERN,
      "mcp-method": method,
      ...(name === undefined ? {} : { "mcp-name": name }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } }),
  };
}
