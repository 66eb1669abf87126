/** A collector of OpenTelemetry logs, as far as a test needs one. @module */

import type { IncomingHttpHeaders, ServerResponse } from "node:http";

import { readBody, startServer, type TestServer } from "./http_probe.ts";

/** One log record, with its attributes as plain values. */
export interface CollectedLog {
  readonly timeUnixNano: string;
  readonly severityText: string;
  readonly severityNumber: number;
  readonly body: string;
  readonly eventName: string;
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  readonly flags: number | undefined;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** One request to the collector. */
export interface CollectedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly logs: readonly CollectedLog[];
}

/** A collector on loopback. */
export interface TestCollector extends TestServer {
  readonly endpoint: string;
  readonly requests: CollectedRequest[];
  /** Every log record of every request. */
  readonly logs: CollectedLog[];
  /** How it answers; a test replaces it. */
  answer: (response: ServerResponse) => void;
  /** Resolves when that many requests have come in all. */
  received(requests: number): Promise<void>;
}

/** Starts one that takes everything. `port` 0 takes a free one. */
export async function startCollector(port = 0): Promise<TestCollector> {
  const requests: CollectedRequest[] = [];
  const waiters: { readonly count: number; readonly resolve: () => void }[] = [];
  let answer = takeAll;
  const server = await startServer((request, response) => {
    readBody(request).then((bytes) => {
      const body = String(bytes);
      const { url: path = "", headers } = request;
      requests.push({ path, headers, body, logs: logsOf(JSON.parse(body)) });
      answer(response);
      for (const { count, resolve } of waiters) if (requests.length >= count) resolve();
    }, () => response.destroy());
  }, port);
  return {
    ...server,
    endpoint: `${server.url}/v1/logs`,
    requests,
    get logs() {
      return requests.flatMap(({ logs }) => logs);
    },
    get answer() {
      return answer;
    },
    set answer(given) {
      answer = given;
    },
    received: (count) =>
      new Promise((resolve) => {
        if (requests.length >= count) resolve();
        else waiters.push({ count, resolve });
      }),
  };
}

/** The whole batch is taken. */
export function takeAll(response: ServerResponse): void {
  response.setHeader("content-type", "application/json");
  response.end("{}");
}

// The shape of an export request (opentelemetry-proto, logs_service.proto), in JSON.
interface Value {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values: readonly Value[] };
}
interface KeyValue {
  readonly key: string;
  readonly value: Value;
}
interface Log extends Omit<CollectedLog, "attributes" | "body" | "resource"> {
  readonly body: Value;
  readonly attributes: readonly KeyValue[];
}
interface ExportRequest {
  readonly resourceLogs: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeLogs: readonly { readonly logRecords: readonly Log[] }[];
  }[];
}

function logsOf({ resourceLogs }: ExportRequest): CollectedLog[] {
  return resourceLogs.flatMap(({ resource, scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) =>
      logRecords.map((log) => ({
        ...log,
        body: String(plain(log.body)),
        attributes: plainOf(log.attributes),
        resource: plainOf(resource.attributes),
      }))
    )
  );
}

function plainOf(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}

function plain(value: Value): unknown {
  return value.stringValue ?? value.doubleValue ?? value.arrayValue?.values.map(plain) ??
    (value.intValue === undefined ? undefined : Number(value.intValue));
}
