/**
 * The Prometheus text of one edge, made from its status when it is asked for. Labels are declared
 * tunnel names and our own codes only; whatever else would come in is counted as `other`.
 *
 * @module
 */

import { Counter, Gauge, Registry } from "prom-client";

import { ERROR_TABLE } from "../errors.ts";
import type { DropReason } from "../transport/transport.ts";
import type { RefusalCode } from "../wire/control.ts";
import type { AdminAudit, AdminStatus, ReloadStatus } from "./admin_source.ts";
import { LATENCY_BOUNDS_MS } from "./admin_source.ts";

/** What the process says about itself. */
export interface ProcessFacts {
  readonly version: string;
  readonly runtime: string;
  /** Wall clock, ms. */
  readonly processStartMs: number;
}

/** A registry of its own per listener: prom-client's global one stays empty. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #facts: ProcessFacts;
  readonly #exchanges = this.#counter(
    "mcptun_exchanges_total",
    "Finished exchanges and refused requests of a tunnel, by how they ended.",
    ["tunnel", "outcome"],
  );
  readonly #inFlight = this.#gauge(
    "mcptun_exchanges_in_flight",
    "Exchanges in flight.",
    ["tunnel"],
  );
  readonly #streams = this.#gauge("mcptun_event_streams", "Open event streams.", ["tunnel"]);
  readonly #rifts = this.#gauge(
    "mcptun_tunnel_rifts",
    "Connections of rifts that a tunnel can use now.",
    ["tunnel"],
  );
  readonly #waiting = this.#gauge(
    "mcptun_tunnel_rifts_waiting",
    "Rifts that are connected, but wait for the private server of a tunnel.",
    ["tunnel"],
  );
  readonly #connected = this.#gauge("mcptun_rifts", "Connections of rifts.");
  readonly #refused = this.#counter(
    "mcptun_requests_refused_total",
    "Requests that reached no tunnel, by error code.",
    ["code"],
  );
  readonly #refusedRifts = this.#counter(
    "mcptun_rifts_refused_total",
    "Connections of rifts that were refused, by reason code.",
    ["code"],
  );
  readonly #handshakes = this.#gauge(
    "mcptun_handshakes",
    "Handshakes at the listener for rifts that are not done.",
  );
  readonly #dropped = this.#counter(
    "mcptun_newcomers_dropped_total",
    "Datagrams and handshakes at the listener for rifts that were dropped, by reason.",
    ["reason"],
  );
  readonly #connections = this.#gauge(
    "mcptun_client_connections",
    "Open connections of clients.",
  );
  readonly #build = this.#gauge("mcptun_build_info", "1, with the version and the runtime.", [
    "version",
    "runtime",
  ]);
  readonly #loaded = this.#gauge(
    "mcptun_config_loaded_timestamp_seconds",
    "When the configuration in force was loaded, seconds since 1970.",
  );
  readonly #problems = this.#gauge(
    "mcptun_config_problems",
    "Problems of a configuration file that was refused since; 0 when there is none.",
  );
  readonly #auditRecords = this.#counter(
    "mcptun_audit_records_total",
    "Records of the audit trail.",
    [],
  );
  readonly #auditLost = this.#counter(
    "mcptun_audit_lost_total",
    "Records that could not be written and found no room to wait.",
    [],
  );
  readonly #auditWaiting = this.#gauge("mcptun_audit_waiting", "Records that wait for the disk.");
  readonly #auditProblem = this.#gauge(
    "mcptun_audit_problem",
    "1 while records cannot be written, else 0.",
  );
  readonly #auditExported = this.#counter(
    "mcptun_audit_exported_total",
    "Records that the collector of OpenTelemetry has taken.",
    [],
  );
  readonly #auditExportDropped = this.#counter(
    "mcptun_audit_export_dropped_total",
    "Records not exported because too many were on their way.",
    [],
  );
  readonly #auditExportFailed = this.#counter(
    "mcptun_audit_export_failed_total",
    "Records that the collector did not take or did not answer for.",
    [],
  );
  readonly #auditExportWaiting = this.#gauge(
    "mcptun_audit_export_waiting",
    "Records on their way to the collector.",
  );
  readonly #started = this.#gauge(
    "process_start_time_seconds",
    "When the process started, seconds since 1970.",
  );
  readonly #memory = this.#gauge("process_resident_memory_bytes", "Resident memory, bytes.");

  constructor(facts: ProcessFacts) {
    this.#facts = facts;
  }

  /** The text of now. */
  async render(
    { status, reload, audit, residentBytes }: {
      readonly status: AdminStatus;
      readonly reload: ReloadStatus;
      readonly audit?: AdminAudit | undefined;
      readonly residentBytes: number;
    },
  ): Promise<string> {
    this.#fill(status);
    this.#build.set({ version: this.#facts.version, runtime: this.#facts.runtime }, 1);
    this.#started.set(this.#facts.processStartMs / 1_000);
    this.#memory.set(residentBytes);
    this.#loaded.set(reload.loadedAtMs / 1_000);
    this.#problems.set(reload.problems.length);
    if (audit !== undefined) this.#fillAudit(audit);
    return await this.#registry.metrics() + renderLatency(status);
  }

  /** Counters start from 0 each time: what the edge gives is the sum since its start. */
  #fill(status: AdminStatus): void {
    for (
      const metric of [
        this.#exchanges,
        this.#inFlight,
        this.#streams,
        this.#rifts,
        this.#waiting,
        this.#refused,
        this.#refusedRifts,
        this.#dropped,
      ]
    ) metric.reset();
    for (const tunnel of status.tunnels) {
      const label = { tunnel: tunnel.name };
      this.#inFlight.set(label, tunnel.exchanges);
      this.#streams.set(label, tunnel.eventStreams);
      this.#waiting.set(label, tunnel.waiting.length);
      this.#rifts.set(label, tunnel.rifts.filter(({ healthy }) => healthy).length);
      for (const [outcome, count] of Object.entries(tunnel.outcomes)) {
        this.#exchanges.inc({ ...label, outcome: known(outcome, OUTCOMES) }, count);
      }
    }
    for (const [code, count] of Object.entries(status.refused)) {
      this.#refused.inc({ code: known(code.toLowerCase(), ERROR_CODES) }, count);
    }
    for (const [code, count] of Object.entries(status.refusedRifts)) {
      this.#refusedRifts.inc({ code: known(code.toLowerCase(), RIFT_CODES) }, count);
    }
    for (const [reason, count] of Object.entries(status.newcomers?.dropped ?? {})) {
      this.#dropped.inc({ reason: known(reason, DROP_REASONS) }, count);
    }
    this.#handshakes.set(status.newcomers?.handshakes ?? 0);
    this.#connected.set(status.rifts.length);
    this.#connections.set(status.clientConnections);
  }

  #fillAudit(audit: AdminAudit): void {
    const { records, lost, waiting, problem, export: sent } = audit;
    const totals = [
      [this.#auditRecords, records],
      [this.#auditLost, lost],
      [this.#auditExported, sent?.exported ?? 0],
      [this.#auditExportDropped, sent?.dropped ?? 0],
      [this.#auditExportFailed, sent?.failed ?? 0],
    ] as const;
    for (const [counter, total] of totals) {
      counter.reset();
      counter.inc(total);
    }
    this.#auditWaiting.set(waiting);
    this.#auditProblem.set(problem === undefined ? 0 : 1);
    this.#auditExportWaiting.set(sent?.waiting ?? 0);
  }

  #counter<const L extends string>(name: string, help: string, labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #gauge<const L extends string>(name: string, help: string, labelNames: L[] = []): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }
}

/** The type of what {@link Metrics.render} gives. */
export const METRICS_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** A histogram of prom-client counts observations one by one; the edge has counted them already. */
function renderLatency({ tunnels }: AdminStatus): string {
  const lines = [
    `# HELP ${LATENCY} Time from the request to the head of its answer, seconds.`,
    `# TYPE ${LATENCY} histogram`,
  ];
  for (const { name, latency } of tunnels) {
    const tunnel = `tunnel="${escapeLabel(name)}"`;
    let below = 0;
    for (const [at, boundMs] of LATENCY_BOUNDS_MS.entries()) {
      below += latency.buckets[at] ?? 0;
      lines.push(`${LATENCY}_bucket{${tunnel},le="${boundMs / 1_000}"} ${below}`);
    }
    lines.push(
      `${LATENCY}_bucket{${tunnel},le="+Inf"} ${latency.count}`,
      `${LATENCY}_sum{${tunnel}} ${latency.sumMs / 1_000}`,
      `${LATENCY}_count{${tunnel}} ${latency.count}`,
    );
  }
  return `\n${lines.join("\n")}\n`;
}

/** The three that the text format escapes in label values. */
function escapeLabel(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/"/g, '\\"');
}

function known(code: string, codes: ReadonlySet<string>): string {
  return codes.has(code) ? code : "other";
}

const LATENCY = "mcptun_answer_seconds";
const ERROR_CODES: ReadonlySet<string> = new Set(
  Object.keys(ERROR_TABLE).map((code) => code.toLowerCase()),
);
const OUTCOMES: ReadonlySet<string> = new Set([
  ...["aborted", "denied", "refused", "1xx", "2xx", "3xx", "4xx", "5xx"],
  ...ERROR_CODES,
]);
const REFUSALS: Readonly<Record<RefusalCode, true>> = {
  version: true,
  credential: true,
  tunnel_unknown: true,
  tunnel_forbidden: true,
  limit: true,
  protocol: true,
};
const DROPS: Readonly<Record<DropReason, true>> = {
  garbage: true,
  bad_token: true,
  retry_rate: true,
  handshake_rate: true,
  address_full: true,
  table_full: true,
  connections_full: true,
};
const DROP_REASONS: ReadonlySet<string> = new Set(Object.keys(DROPS));
const RIFT_CODES: ReadonlySet<string> = new Set([...Object.keys(REFUSALS), ...ERROR_CODES]);
