/**
 * The audit trail as OpenTelemetry logs: OTLP over HTTP, JSON, through the parts of the official SDK.
 * Imported only when it is configured.
 *
 * Beside the exchange, never in its way: nothing waits for a collector, and what it does not take is
 * counted and lost. Nothing is registered globally, and no variable of the environment is read:
 * `OTLPLogExporter` would add the headers of `OTEL_EXPORTER_OTLP_HEADERS` to every request, whoever
 * they were meant for, and tell nobody of records that were rejected.
 *
 * @module
 */

import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";

import { type Context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import { createOtlpHttpExportDelegate } from "@opentelemetry/otlp-exporter-base/node-http";
import { JsonLogsSerializer, LogsExporterMetricsHelper } from "@opentelemetry/otlp-transformer";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchLogRecordProcessor,
  LoggerProvider,
  type LogRecordExporter,
  type ReadableLogRecord,
} from "@opentelemetry/sdk-logs";

import { type Clock, delay } from "../clock.ts";
import {
  OTLP_BATCH_RECORDS,
  OTLP_CLOSE_MS,
  OTLP_DELAY_MS,
  OTLP_QUEUE_RECORDS,
  OTLP_REQUESTS,
  OTLP_TIMEOUT_MS,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Secret } from "../runtime/secret.ts";
import { ExportCounts, type ExportStats } from "./export_counts.ts";
import { logFacts, type Severity, type TraceFacts } from "./log_facts.ts";
import type { AuditRecord } from "./record.ts";

/** Where records are exported to. */
export interface OtelSinkOptions {
  /** URL of a collector's log receiver, with its path. */
  readonly endpoint: string;
  /** Sent with every request. */
  readonly headers: ReadonlyMap<string, Secret>;
  /** Name of the edge. */
  readonly edgeId: string;
  /** Version of the product. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Tests give less. */
  readonly bounds?: Partial<ExportBounds> | undefined;
}

/** Bounds of an export. Times in ms. */
export interface ExportBounds {
  readonly queueRecords: number;
  readonly queueChars: number;
  readonly batchRecords: number;
  readonly delayMs: number;
  readonly timeoutMs: number;
  readonly closeMs: number;
}

/** An export that runs. */
export interface OtelSink {
  readonly endpoint: string;
  readonly stats: ExportStats;
  /** Takes the record of an exchange that is over. Never throws, never waits. */
  write(record: AuditRecord): void;
  /** Sends what waits, for `OTLP_CLOSE_MS` at most, and ends. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** Starts an export. Asks the collector nothing: that there is none shows with the first record. */
export function openOtelSink(options: OtelSinkOptions): OtelSink {
  const { endpoint, edgeId, version, clock, log, bounds = {} } = options;
  const counts = new ExportCounts({ endpoint, clock, log, ...bounds });
  const exporter = new CountedExporter(options, counts);
  const timeoutMs = bounds.timeoutMs ?? OTLP_TIMEOUT_MS;
  const provider = new LoggerProvider({
    resource: defaultResource().merge(resourceFromAttributes({
      "service.name": "mcptun-edge",
      "service.version": version,
      "service.instance.id": edgeId,
    })),
    processors: [
      new BatchLogRecordProcessor({
        exporter,
        // Never full by itself: it would drop without a word. The counts have the same bound.
        maxQueueSize: OTLP_QUEUE_RECORDS,
        maxExportBatchSize: bounds.batchRecords ?? OTLP_BATCH_RECORDS,
        scheduledDelayMillis: bounds.delayMs ?? OTLP_DELAY_MS,
        // Never first: the exporter gives up by itself.
        exportTimeoutMillis: 2 * timeoutMs,
      }),
    ],
  });
  const logger = provider.getLogger("mcptun.audit", version);
  let closed: Promise<void> | undefined;

  return {
    endpoint,
    get stats() {
      return counts.stats;
    },
    write(record) {
      try {
        const facts = logFacts(record);
        if (!counts.take(facts.chars)) return;
        logger.emit({
          timestamp: timeOf(facts.time),
          observedTimestamp: timeOf(clock.wallNow()),
          eventName: facts.eventName,
          severityText: facts.severity,
          severityNumber: SEVERITY_NUMBERS[facts.severity],
          body: facts.body,
          attributes: facts.attributes,
          context: contextOf(facts.trace),
        });
      } catch (error) {
        // A defect here must not become one of the exchange; its message may hold what it choked on.
        counts.drop(error instanceof Error ? error.name : "unknown failure");
      }
    },
    close: () => closed ??= close(),
  };

  async function close(): Promise<void> {
    const over = new AbortController();
    await Promise.race([
      // It sends what waits first. What fails then was counted by the exporter.
      provider.shutdown().catch(() => {}),
      delay(clock, bounds.closeMs ?? OTLP_CLOSE_MS, over.signal),
    ]);
    over.abort();
    exporter.cut();
    counts.end();
  }
}

/** The SDK's exporter, with an end for every batch, and a count of what came of it. */
class CountedExporter implements LogRecordExporter {
  readonly #counts: ExportCounts;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #agent: HttpAgent;
  readonly #inner: OTLPExporterBase<ReadableLogRecord[]>;
  /** Records of the batch under way that the collector says it has not taken. */
  #rejected = 0;
  #isCut = false;

  constructor({ endpoint, headers, clock, bounds }: OtelSinkOptions, counts: ExportCounts) {
    this.#counts = counts;
    this.#clock = clock;
    this.#timeoutMs = bounds?.timeoutMs ?? OTLP_TIMEOUT_MS;
    const Agent = endpoint.startsWith("https:") ? HttpsAgent : HttpAgent;
    this.#agent = new Agent({ keepAlive: true });
    this.#inner = new OTLPExporterBase(createOtlpHttpExportDelegate(
      {
        url: endpoint,
        headers: () => this.#headers(headers),
        timeoutMillis: this.#timeoutMs,
        concurrencyLimit: OTLP_REQUESTS,
        compression: "none",
        agentFactory: () => this.#agent,
      },
      {
        serializeRequest: (records: ReadableLogRecord[]) =>
          JsonLogsSerializer.serializeRequest(records),
        deserializeResponse: (bytes) => {
          const response = JsonLogsSerializer.deserializeResponse(bytes);
          // 64 bits, so JSON has it as a text (OTLP, JSON Protobuf Encoding).
          const rejected = Number(response.partialSuccess?.rejectedLogRecords ?? 0);
          this.#rejected = Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0;
          return response;
        },
      },
      "mcptun",
      LogsExporterMetricsHelper,
      undefined,
    ));
  }

  export(
    records: ReadableLogRecord[],
    done: Parameters<LogRecordExporter["export"]>[1],
  ): void {
    const end = this.#counts.begin(records.length);
    let isOver = false;
    const over = (failed: number, reason?: string): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      end({ failed, reason });
      // Every end is a good one for the processor: it has counted nothing, and goes on.
      done({ code: SUCCESS });
    };
    // The SDK's own timeout is one of silence: a collector that sends a byte a second has no end.
    const timer = this.#clock.setTimer(this.#timeoutMs, () => {
      over(records.length, `no answer within ${this.#timeoutMs} ms`);
      this.#agent.destroy();
    }, "no");
    this.#rejected = 0;
    try {
      this.#inner.export(records, ({ code, error }) => {
        if (code !== SUCCESS) return over(records.length, reasonOf(error));
        const rejected = Math.min(this.#rejected, records.length);
        over(rejected, rejected === 0 ? undefined : "the collector rejected some of a batch");
      });
    } catch (error) {
      over(records.length, reasonOf(error));
    }
  }

  forceFlush(): Promise<void> {
    return this.#inner.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  /** Ends connections; nothing is sent after it. Idempotent. */
  cut(): void {
    this.#isCut = true;
    this.#agent.destroy();
  }

  /** Asked before each try, also those that the SDK repeats by a timer of its own. */
  async #headers(headers: ReadonlyMap<string, Secret>): Promise<Record<string, string>> {
    if (this.#isCut) throw new Error("The export has ended");
    const named = [...headers].map(([name, value]) => [name, value.reveal()] as const);
    return await Promise.resolve({
      ...Object.fromEntries(named),
      "Content-Type": "application/json",
    });
  }
}

/** `ExportResultCode.SUCCESS` of a package that would be imported for it alone. */
const SUCCESS = 0;

/** The first of each range (Logs Data Model, SeverityNumber). */
const SEVERITY_NUMBERS: Readonly<Record<Severity, number>> = { INFO: 9, WARN: 13, ERROR: 17 };

/** Seconds and nanoseconds: a number would be taken for one of `performance.now()` when it is small. */
function timeOf(wallMs: number): [number, number] {
  const seconds = Math.floor(wallMs / 1_000);
  return [seconds, Math.round((wallMs - seconds * 1_000) * 1_000_000)];
}

function contextOf(facts: TraceFacts | undefined): Context {
  if (facts === undefined) return ROOT_CONTEXT;
  const { traceId, spanId, flags } = facts;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: flags,
    isRemote: true,
  });
}

/** In words of ours: what a collector answers does not get into the log. */
function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (typeof code === "number") return `the collector answered with status ${code}`;
  if (typeof code === "string") return `the collector cannot be reached: ${code}`;
  const message = error instanceof Error ? error.message : "";
  if (message === "Export failed with retryable status") return "the collector is overloaded";
  if (message === "Request timed out") return "the collector does not answer";
  return "the collector cannot be reached";
}
