import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { type EdgeAudit, openEdgeAudit } from "../../../src/cli/edge_audit.ts";
import { systemClock } from "../../../src/clock.ts";
import type { AuditConfig } from "../../../src/config/config.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { auditFolder } from "../../support/audit_fixture.ts";
import { recordOf } from "../../support/audit_records.ts";
import { startCollector } from "../../support/otlp_collector.ts";

const NOBODY = "http://127.0.0.1:9/v1/logs";

async function begin(t: TestContext) {
  const { folder, stateDir, path, log } = await auditFolder(t);
  const open = async (audit: Partial<AuditConfig>): Promise<EdgeAudit | undefined> => {
    const opened = await openEdgeAudit({
      audit: { ...loadConfig({ text: "" }).config.audit, ...audit },
      headers: new Map(),
      edgeId: "edge-1",
      version: "0.1.0",
      stateDir,
      clock: systemClock,
      log,
    });
    t.after(() => opened?.close());
    return opened;
  };
  return { folder, stateDir, path, open };
}

test("without a file and without a collector there is nothing", async (t) => {
  const { open, stateDir } = await begin(t);

  assert.equal(await open({}), undefined);
  assert.ok(!existsSync(join(stateDir, "audit-digest.key")));
});

test("a record goes to the file and to the collector", async (t) => {
  const { open, path } = await begin(t);
  const collector = await startCollector();
  t.after(() => collector.close());
  const audit = (await open({ file: path, otlpEndpoint: collector.endpoint }))!;

  audit.write(recordOf(7));
  await audit.close();

  const exchange = recordOf(7).exchange;
  assert.match(await readFile(path, "utf8"), new RegExp(`"exchange":"${exchange}"`));
  assert.equal(collector.logs[0]!.attributes["mcptun.exchange"], exchange);
  const { file, records, export: sent } = audit.status();
  assert.deepEqual([file, records], [path, 1]);
  assert.deepEqual(sent, {
    endpoint: collector.endpoint,
    exported: 1,
    waiting: 0,
    dropped: 0,
    failed: 0,
  });
});

test("a digest is the same with a file and without", async (t) => {
  const { open, path } = await begin(t);
  const alone = (await open({ otlpEndpoint: NOBODY }))!;
  const both = (await open({ file: path, otlpEndpoint: NOBODY }))!;

  assert.equal(alone.digest("session", "s1"), both.digest("session", "s1"));
  assert.notEqual(alone.digest("session", "s1"), alone.digest("session", "s2"));
});

test("a collector decides nothing: without a file no exchange is held up", async (t) => {
  const { open } = await begin(t);
  const audit = (await open({ otlpEndpoint: NOBODY, onFailure: "block", intent: true }))!;

  audit.write(recordOf(1));

  assert.equal(audit.blockedBy(), undefined);
  assert.equal(audit.intent({ ...recordOf(1), type: "intent" }), undefined);
  assert.deepEqual({ ...audit.status(), export: undefined }, {
    records: 0,
    waiting: 0,
    lost: 0,
    blocks: false,
    export: undefined,
  });
  await audit.reopen();
});

test("the file decides as it does alone", async (t) => {
  const { open, path } = await begin(t);
  const audit =
    (await open({ file: path, otlpEndpoint: NOBODY, onFailure: "block", intent: true }))!;

  assert.equal(await audit.intent({ ...recordOf(1), type: "intent" }), true);
  assert.equal(audit.blockedBy(), undefined);
  await audit.close();
  assert.match(String(audit.blockedBy()), /is closed/);
  assert.equal(audit.status().blocks, true);
});
