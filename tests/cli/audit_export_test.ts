/** A running edge whose records go to a collector of OpenTelemetry. @module */
// test-timeout: 120s

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { runCliProcess } from "../support/cli_process.ts";
import { ask, startServer } from "../support/http_probe.ts";
import { startCollector } from "../support/otlp_collector.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

const CANARY = "canary-collector-52b0";
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/** Three seconds are promised for the last records; a machine with more to do gets more. */
const ENDS_WITHIN_MS = 15_000;

async function begin(t: TestContext, audit: string) {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-export-"));
  const collector = await startCollector();
  const upstream = await startServer((request, response) => {
    request.resume();
    response.end("hello");
  });
  t.after(async () => {
    await collector.close();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  });
  writeFileSync(join(folder, "otlp.headers"), `X-Api-Key: ${CANARY}\n`, { mode: 0o600 });
  const roles = await startRoles({
    folder,
    protocol: "http",
    upstream: upstream.url,
    moreConfig: `[audit]
otlp_endpoint = "${collector.endpoint}"
otlp_headers_file = "otlp.headers"
${audit}
[log]
level = "debug"
`,
  });
  return { folder, collector, ...roles };
}

test("an edge without an audit file exports its records, and says how many", async (t) => {
  const { folder, collector, edge, rift, url } = await begin(t, "");

  const answers = [
    await ask(`${url}/a?token=${CANARY}`, { headers: { traceparent: TRACE } }),
    await ask(`${url}/b`, { method: "PUT", body: "12345" }),
  ];
  while (collector.logs.length < 2) await collector.received(collector.requests.length + 1);
  const status = process.platform === "win32"
    ? undefined
    : await runCliProcess(["status", "--json"], { cwd: folder });
  const results = await endRoles(rift, edge);

  assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
  const [first, second] = collector.logs;
  assert.equal(first!.attributes["mcptun.exchange"], answers[0]!.headers["mcptun-exchange"]);
  assert.equal(first!.attributes["mcptun.tunnel"], "main");
  assert.equal(first!.attributes["url.path"], "/main/a");
  assert.equal(first!.attributes["client.address"], "127.0.0.1");
  assert.equal(first!.attributes["mcptun.result"], "ok");
  assert.equal(first!.traceId, TRACE.slice(3, 35));
  assert.equal(first!.severityText, "INFO");
  assert.equal(second!.attributes["http.request.method"], "PUT");
  assert.equal(second!.attributes["http.request.body.size"], 5);
  assert.equal(collector.requests[0]!.headers["x-api-key"], CANARY);
  assert.ok(!collector.requests.some(({ body }) => body.includes(CANARY)));
  assert.ok(!existsSync(join(folder, "audit.jsonl")));
  if (status !== undefined) {
    const { endpoint, exported, dropped, failed } = JSON.parse(status.stdout).audit.export;
    assert.equal(endpoint, collector.endpoint);
    assert.ok(exported <= 2);
    assert.deepEqual([dropped, failed], [0, 0]);
  }
  for (const { code, stdout, stderr } of results) {
    assert.equal(code, 0);
    assert.ok(!(stdout + stderr).includes(CANARY));
  }
});

test("a collector that hangs holds up neither exchanges nor the end of the edge", async (t) => {
  const { folder, collector, edge, rift, url } = await begin(t, 'file = "audit.jsonl"');
  collector.answer = () => {};

  const statuses: number[] = [];
  for (let at = 0; at < 20; at++) statuses.push((await ask(`${url}/${at}`)).status);
  await collector.received(1);
  const startedMs = performance.now();
  const [, { code, stderr }] = await endRoles(rift, edge) as [unknown, {
    readonly code: number | null;
    readonly stderr: string;
  }];
  const tookMs = performance.now() - startedMs;
  const verified = await runCliProcess(["audit", "verify", "--json"], { cwd: folder });

  assert.deepEqual(statuses, Array.from({ length: 20 }, () => 200));
  assert.ok(tookMs < ENDS_WITHIN_MS, `${tookMs} ms`);
  assert.equal(code, 0);
  assert.match(stderr, /Records of the audit trail were not exported/);
  assert.equal(verified.code, 0);
  const lines = readFileSync(join(folder, "audit.jsonl"), "utf8").split("\n");
  assert.equal(lines.filter((line) => line.includes('"type":"exchange"')).length, 20);
});
