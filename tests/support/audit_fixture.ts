/** An audit trail in a folder of its own. @module */

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Audit, AuditSettings, OpenAuditOptions } from "../../src/audit/open_audit.ts";
import { verifyTrail } from "../../src/audit/verify.ts";
import type { VerifyReport } from "../../src/audit/verify_report.ts";
import { openAudit, readAuditState } from "../../src/cli/audit_setup.ts";
import type { Clock } from "../../src/clock.ts";
import type { LogFields, Logger } from "../../src/log.ts";
import { type FakeClock, fakeClock } from "./fake_clock.ts";

/** A log that keeps what it is told. */
export interface KeptLog extends Logger {
  readonly events: { level: string; message: string; fields: LogFields | undefined }[];
}

/** Makes one. */
export function keptLog(): KeptLog {
  const events: KeptLog["events"] = [];
  const at = (level: string) => (message: string, fields?: LogFields) =>
    void events.push({ level, message, fields });
  const log: KeptLog = {
    events,
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => log,
  };
  return log;
}

/** A folder with a state directory and a place for a trail. */
export interface AuditFolder {
  readonly folder: string;
  readonly stateDir: string;
  readonly path: string;
  readonly clock: FakeClock;
  readonly log: KeptLog;
  /** Opens the trail; closed at the end of the test. */
  open(
    settings?: Partial<AuditSettings>,
    options?: Partial<OpenAuditOptions> & { readonly clock?: Clock },
  ): Promise<Audit>;
  verify(): Promise<VerifyReport>;
  lines(path?: string): Promise<string[]>;
}

/** What runs something at the end: a test, or `{ after }` of the runner. */
export interface Cleanup {
  readonly after: (run: () => Promise<void>) => void;
}

/** Makes one; it is removed at the end of the test. */
export async function auditFolder(t: Cleanup): Promise<AuditFolder> {
  const folder = await mkdtemp(join(tmpdir(), "mcptun-audit-"));
  const opened: Audit[] = [];
  t.after(async () => {
    for (const audit of opened) await audit.close();
    await rm(folder, { recursive: true, force: true });
  });
  const stateDir = join(folder, "state");
  await mkdir(stateDir, { mode: 0o700 });
  const path = join(folder, "audit.jsonl");
  const clock = fakeClock();
  const log = keptLog();
  return {
    folder,
    stateDir,
    path,
    clock,
    log,
    async open(settings = {}, options = {}) {
      const audit = await openAudit({
        settings: { ...SETTINGS, file: path, ...settings },
        edgeId: "edge-1",
        stateDir,
        clock,
        log,
        ...options,
      });
      opened.push(audit);
      return audit;
    },
    verify: () => verifyFolder(stateDir, path),
    async lines(file = path) {
      return (await readFile(file, "utf8")).split("\n").slice(0, -1);
    },
  };
}

/** What `mcptun audit verify` knows of a trail and its state directory. */
export async function verifyFolder(stateDir: string, path: string): Promise<VerifyReport> {
  const { key, head } = await readAuditState(stateDir, path);
  return verifyTrail({
    source: { trail: path },
    trust: { keys: key === undefined ? [] : [key], ids: [] },
    head,
    signal: new AbortController().signal,
  });
}

const SETTINGS: Omit<AuditSettings, "file"> = {
  onFailure: "block",
  sync: "batch",
  intent: false,
  rotateBytes: 64 * 1_024 * 1_024,
  rotateMs: 0,
  keepFiles: 0,
  keepMs: 0,
  checkpointRecords: 1_000,
};
