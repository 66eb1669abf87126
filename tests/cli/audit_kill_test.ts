/** An edge that is killed under load: no call that was executed is without a line in its audit trail. @module */
// test-timeout: 300s

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";

import { runCliProcess } from "../support/cli_process.ts";
import { ask, readBody, startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

/** Each takes two seconds; by hand `AUDIT_KILLS=20`. */
const KILLS = Number(process.env.AUDIT_KILLS ?? "3");
const IN_FLIGHT = 16;

test("no call that was executed lacks an intent, however often the edge is killed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-audit-kill-"));
  const executed = new Set<string>();
  let onExecuted: () => void = () => {};
  const upstream = await startServer((request, response) => {
    readBody(request).then((body) => {
      if (request.method === "OPTIONS") return void response.end();
      const { id, params } = JSON.parse(String(body));
      executed.add(params.name);
      onExecuted();
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ jsonrpc: "2.0", id, result: {} }));
    }, () => response.destroy());
  });
  try {
    const roles = await startRoles({
      folder,
      protocol: "mcp",
      upstream: `${upstream.url}/mcp`,
      moreConfig:
        'mode = "aware"\ndefault = "allow"\n[audit]\nfile = "audit.jsonl"\nintent = true\ncheckpoint_records = 50\n',
    });
    let { edge, rift } = roles;
    const issued = await runCliProcess(["token", "issue", "--user", "alice", "--ttl", "1h"], {
      cwd: folder,
    });
    const call = (name: string) =>
      ask(roles.url, {
        method: "POST",
        headers: {
          authorization: `Bearer ${issued.stdout.trim()}`,
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": "2025-11-25",
        },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name } }),
      });
    // The edge looks for new tokens now and then.
    while ((await call("first")).status === 401);

    let kills = 0;
    for (; kills < KILLS; kills++) {
      let isDown = false;
      let next = 0;
      // Another moment each time: after 40 calls, 77, 114 …
      const goal = executed.size + 40 + 37 * kills;
      const killed = new Promise<void>((resolve) => {
        onExecuted = () => {
          if (isDown || executed.size < goal) return;
          isDown = true;
          edge.signal("SIGKILL");
          resolve();
        };
      });
      const load = Array.from({ length: IN_FLIGHT }, async () => {
        while (!isDown) await call(`round ${kills} call ${next++}`).catch(() => {});
      });
      await killed;
      await Promise.all(load);
      await edge.result;
      rift.signal("SIGKILL");
      await rift.result;
      edge = await roles.restartEdge();
      rift = await roles.startRift();
      assert.equal((await call(`after ${kills}`)).status, 200);
    }
    await endRoles(rift, edge);
    const verified = await runCliProcess(["audit", "verify", "--json"], { cwd: folder });
    const lines = readdirSync(folder).filter((name) => /^audit.*\.jsonl$/.test(name))
      .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"));
    const intended = new Set(lines.flatMap((line) => {
      try {
        const { type, name } = JSON.parse(line);
        return type === "intent" ? [name] : [];
      } catch {
        return []; // torn by the kill
      }
    }));

    assert.equal(kills, KILLS);
    assert.ok(executed.size > 40 * KILLS);
    assert.deepEqual([...executed].filter((name) => !intended.has(name)), []);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  } finally {
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
