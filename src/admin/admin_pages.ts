/** What an admin listener answers: health, readiness, status and metrics of one edge. @module */

import process from "node:process";

import type { Clock } from "../clock.ts";
import { ERROR_TABLE } from "../errors.ts";
import type { ErrorCode, ErrorFacts } from "../errors.ts";
import type { AdminAdmitted } from "./admin_door.ts";
import { type AdminSource, LATENCY_BOUNDS_MS } from "./admin_source.ts";
import { Metrics, METRICS_TYPE } from "./metrics.ts";
import { Readiness } from "./readiness.ts";

/** A whole answer. */
export interface AdminPage {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The pages of one edge, the same on all of its listeners. */
export class AdminPages {
  readonly #source: AdminSource;
  readonly #version: string;
  readonly #runtime = runtimeName();
  readonly #readiness: Readiness;
  readonly #metrics: Metrics;

  constructor(
    { source, clock, version }: {
      readonly source: AdminSource;
      readonly clock: Clock;
      readonly version: string;
    },
  ) {
    this.#source = source;
    this.#version = version;
    this.#readiness = new Readiness(source, clock);
    this.#metrics = new Metrics({
      version,
      runtime: this.#runtime,
      processStartMs: clock.wallNow() - process.uptime() * 1_000,
    });
  }

  /** The page for an admitted request. */
  async page({ path, query, caller }: AdminAdmitted): Promise<AdminPage> {
    switch (path) {
      case "/healthz":
        return { status: 200, type: "text/plain; charset=utf-8", body: "ok" };
      case "/readyz":
        return await this.#ready(query.get("tunnel") ?? undefined, caller);
      case "/status":
        return caller === "operator" ? this.#status() : refusalPage("UNAUTHENTICATED");
      case "/metrics":
        return caller === "operator" ? await this.#prometheus() : refusalPage("UNAUTHENTICATED");
      default:
        return refusalPage("NO_ROUTE");
    }
  }

  /** Gives up running probes. Idempotent. */
  close(): void {
    this.#readiness.close();
  }

  async #ready(asked: string | undefined, caller: AdminAdmitted["caller"]): Promise<AdminPage> {
    const declared = this.#source.status().tunnels.map(({ name }) => name);
    const names = asked === undefined ? declared : declared.filter((name) => name === asked);
    const tunnels = await this.#readiness.check(names, declared);
    const audit = this.#source.audit();
    const isBlocked = audit?.problem !== undefined && audit.blocks;
    const isReady = !isBlocked && tunnels.some(({ ready }) => ready);
    // A stranger gets the same answer for a tunnel that is down and for one that there is not.
    const reason = isBlocked
      ? "the audit trail cannot be written"
      : caller === "stranger" || tunnels.length > 0
      ? "no tunnel answers"
      : asked === undefined
      ? "no tunnel is declared"
      : "no such tunnel is declared";
    return json(isReady ? 200 : 503, {
      ready: isReady,
      ...(isReady ? {} : { reason }),
      ...(caller === "operator" ? { tunnels, audit } : {}),
    });
  }

  #status(): AdminPage {
    const { loadedAtMs, problems } = this.#source.reload();
    return json(200, {
      ...this.#source.status(),
      latencyBoundsMs: LATENCY_BOUNDS_MS,
      version: this.#version,
      runtime: this.#runtime,
      pid: process.pid,
      config: { loadedAtMs, problems },
      audit: this.#source.audit(),
    });
  }

  async #prometheus(): Promise<AdminPage> {
    const body = await this.#metrics.render({
      status: this.#source.status(),
      reload: this.#source.reload(),
      audit: this.#source.audit(),
      residentBytes: process.memoryUsage().rss,
    });
    return { status: 200, type: METRICS_TYPE, body };
  }
}

/** The page for a refused request: its code and its fixed sentence. */
export function refusalPage(code: ErrorCode, detail?: string): AdminPage {
  const facts: ErrorFacts = ERROR_TABLE[code];
  const message = detail === undefined ? facts.sentence : `${facts.sentence}: ${detail}`;
  const page = json(facts.http ?? ERROR_TABLE.INTERNAL.http, { error: { code, message } });
  if (code === "UNAUTHENTICATED") return { ...page, headers: { "WWW-Authenticate": "Bearer" } };
  if (code === "METHOD_REFUSED") return { ...page, headers: { Allow: "GET, HEAD" } };
  return page;
}

function json(status: number, value: unknown): AdminPage {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}

/** `node 20.18.1` or `deno 2.9.6`. */
function runtimeName(): string {
  const { deno } = process.versions;
  return deno === undefined ? `node ${process.versions.node}` : `deno ${deno}`;
}
