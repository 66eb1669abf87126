/** Where an edge's records go: to files, to a collector of OpenTelemetry, or both. @module */

import type { AdminAudit } from "../admin/admin_source.ts";
import { openDigestKey } from "../audit/keyed_digest.ts";
import type { Audit } from "../audit/open_audit.ts";
import type { OtelSink, OtelSinkOptions } from "../audit/otel_sink.ts";
import type { Clock } from "../clock.ts";
import type { AuditConfig } from "../config/config.ts";
import type { ExchangeAudit } from "../edge/exchange_record.ts";
import type { Logger } from "../log.ts";
import { openAudit, STATE_FILES } from "./audit_setup.ts";

/** What {@link openEdgeAudit} needs. */
export interface EdgeAuditOptions {
  readonly audit: AuditConfig;
  /** For the collector. */
  readonly headers: OtelSinkOptions["headers"];
  readonly edgeId: string;
  readonly version: string;
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The records of a running edge. */
export interface EdgeAudit extends ExchangeAudit {
  status(): AdminAudit;
  /** The file may have been moved away: for SIGHUP. Never rejects. */
  reopen(): Promise<void>;
  /** Writes and sends what waits, for a bounded time. Idempotent; never rejects. */
  close(): Promise<void>;
}

/**
 * Opens what the configuration asks for; `undefined` when that is nothing.
 *
 * @throws {TunnelError} `STATE_UNUSABLE`
 */
export async function openEdgeAudit(options: EdgeAuditOptions): Promise<EdgeAudit | undefined> {
  const { audit, stateDir, edgeId, clock, log } = options;
  const { file, otlpEndpoint } = audit;
  if (file === undefined && otlpEndpoint === undefined) return undefined;
  const trail = file === undefined
    ? undefined
    : await openAudit({ settings: { ...audit, file }, edgeId, stateDir, clock, log });
  try {
    const digest = trail?.digest ?? await openDigestKey(stateDir, STATE_FILES);
    const sink = otlpEndpoint === undefined ? undefined : await openSink(options, otlpEndpoint);
    return compose({ trail, sink, digest });
  } catch (error) {
    await trail?.close();
    throw error;
  }
}

/** The libraries behind it take memory and time to load: only who exports pays for them. */
async function openSink(options: EdgeAuditOptions, endpoint: string): Promise<OtelSink> {
  const { headers, edgeId, version, clock, log } = options;
  const { openOtelSink } = await import("../audit/otel_sink.ts");
  return openOtelSink({ endpoint, headers, edgeId, version, clock, log });
}

/** The file alone decides whether exchanges may begin; the collector gets what it can take. */
function compose({ trail, sink, digest }: {
  readonly trail: Audit | undefined;
  readonly sink: OtelSink | undefined;
  readonly digest: ExchangeAudit["digest"];
}): EdgeAudit {
  return {
    digest,
    blockedBy: () => trail?.blockedBy(),
    intent: (record) => trail?.intent(record),
    write(record) {
      trail?.write(record);
      sink?.write(record);
    },
    status: () => ({ ...fileStatus(trail), ...exportStatus(sink) }),
    reopen: async () => await trail?.reopen(),
    async close() {
      await Promise.all([trail?.close(), sink?.close()]);
    },
  };
}

function fileStatus(trail: Audit | undefined): AdminAudit {
  if (trail === undefined) return { records: 0, waiting: 0, lost: 0, blocks: false };
  const { records, waiting, lost } = trail.stats;
  const { file, onFailure } = trail.settings;
  const blocks = onFailure === "block";
  return { file, records, waiting, lost, problem: trail.problem(), blocks };
}

function exportStatus(sink: OtelSink | undefined): Pick<AdminAudit, "export"> {
  return sink === undefined ? {} : { export: { endpoint: sink.endpoint, ...sink.stats } };
}
