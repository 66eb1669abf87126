/** Opens the audit trail of an edge. @module */

import type { Stats } from "node:fs";
import { lstat, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { type AuditLock, lockTrail } from "./audit_lock.ts";
import { AuditTrail } from "./audit_trail.ts";
import { type AuditStats, AuditWriter } from "./audit_writer.ts";
import { openFileSink, type OpenSink } from "./file_sink.ts";
import { openDigestKey } from "./keyed_digest.ts";
import type { AuditSink } from "./record.ts";
import { openSigningKey, type StateFiles } from "./signing_key.ts";
import { readHead, writeHead } from "./trail_head.ts";
import { writeReason } from "./write_reason.ts";

/** How a trail is kept; the configuration's `[audit]`. Times in ms, sizes in bytes. */
export interface AuditSettings {
  /** Absolute path. */
  readonly file: string;
  readonly onFailure: "block" | "continue";
  readonly sync: "batch" | "always";
  readonly intent: boolean;
  readonly rotateBytes: number;
  /** 0: not by age. */
  readonly rotateMs: number;
  /** 0: all. */
  readonly keepFiles: number;
  /** 0: for ever. */
  readonly keepMs: number;
  readonly checkpointRecords: number;
}

/** What {@link openAudit} needs. */
export interface OpenAuditOptions {
  readonly settings: AuditSettings;
  /** Name of the edge, as it stands in the lines. */
  readonly edgeId: string;
  readonly stateDir: string;
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly log: Logger;
  /** Closes it; await `close()` to know when it is closed. */
  readonly signal?: AbortSignal | undefined;
  /** How files are opened; tests give one that fails. */
  readonly openSink?: OpenSink | undefined;
  /** Most that may wait for the disk, bytes; tests give less. */
  readonly queueBytes?: number | undefined;
}

/** The trail of a running edge. */
export interface Audit extends AuditSink {
  readonly settings: AuditSettings;
  /** Id of the key that signs. */
  readonly keyId: string;
  readonly stats: AuditStats;
  /** What keeps records from being written, for `/readyz` and whatever is done about it. */
  problem(): string | undefined;
  /** A keyed digest: equal texts of one purpose give equal digests, and nobody else can tell. */
  digest(purpose: string, text: string): string;
  /** Tries to write what waits. */
  flush(): Promise<void>;
  /** The file may have been moved away: for SIGHUP. */
  reopen(): Promise<void>;
  /** Writes what waits, signs, and frees the trail for another process. Idempotent; never rejects. */
  close(): Promise<void>;
}

/**
 * Opens the trail, or begins it.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when another process writes it, when the file is not one
 *   that can be trusted, or cannot be opened. A disk that is full is no reason: that is
 *   {@link Audit.problem}, and passes.
 */
export async function openAudit(options: OpenAuditOptions): Promise<Audit> {
  const { settings, files, stateDir, log, signal } = options;
  await refuseBadPlace(settings.file);
  const lock = await lockTrail(settings.file);
  try {
    return await open(options, lock);
  } catch (cause) {
    await lock.release();
    if (cause instanceof TunnelError) throw cause;
    const text = `Cannot write to "${settings.file}": ${writeReason(cause)}`;
    throw new TunnelError("STATE_UNUSABLE", text, { cause });
  }

  async function open(
    { edgeId, clock, openSink, queueBytes }: OpenAuditOptions,
    lock: AuditLock,
  ): Promise<Audit> {
    const key = await openSigningKey(stateDir, files);
    const digest = await openDigestKey(stateDir, files);
    const head = await readHead(stateDir, files);
    if (head === "damaged") {
      log.error("Cannot read what was signed last of the audit trail, going on without", {
        folder: stateDir,
      });
    }
    const path = settings.file;
    const trail = new AuditTrail({
      ...settings,
      path,
      edge: edgeId,
      key,
      // Of another path, it is another trail.
      head: head === "damaged" || head?.path !== path ? undefined : head,
      clock,
      log,
      openSink: openSink ?? openFileSink,
    });
    await trail.open();
    const writer = new AuditWriter({
      ...settings,
      path,
      trail,
      edge: edgeId,
      clock,
      log,
      saveHead: (head) => writeHead(stateDir, files, head),
      ...(queueBytes === undefined ? {} : { queueBytes }),
    });
    await writer.flush();
    let closed: Promise<void> | undefined;
    const close = (): Promise<void> => closed ??= writer.close().then(() => lock.release());
    signal?.addEventListener("abort", () => void close(), { once: true }); // never rejects
    if (signal?.aborted === true) await close();
    return {
      settings,
      keyId: key.public.id,
      get stats() {
        return writer.stats;
      },
      blockedBy: () => writer.blockedBy(),
      problem: () => writer.problem(),
      write: (record) => writer.write(record),
      intent: (record) => writer.intent(record),
      digest,
      flush: () => writer.flush(),
      reopen: () => writer.reopen(),
      close,
    };
  }
}

/** Before a lock is made beside it. A link, and what others may read, are the sink's to refuse. */
async function refuseBadPlace(path: string): Promise<void> {
  const folder = dirname(path);
  const around = await stat(folder).catch(() => undefined);
  if (around?.isDirectory() !== true) {
    throw unusable(
      path,
      `there is no folder "${folder}" (make it, writable for this user alone, or name another ` +
        "audit.file)",
    );
  }
  let stats: Stats;
  try {
    stats = await lstat(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return;
    throw unusable(path, writeReason(cause), cause);
  }
  if (stats.isFile() || stats.isSymbolicLink()) return;
  throw unusable(
    path,
    stats.isDirectory()
      ? `it is a folder (name a file in it, such as "${join(path, "audit.jsonl")}")`
      : "it is not a regular file (name another audit.file)",
  );
}

function unusable(path: string, problem: string, cause?: unknown): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot write to "${path}": ${problem}`, { cause });
}
