/** Against a collector that listens, one that is down, and those that misbehave. @module */

import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { test, type TestContext } from "node:test";

import { openOtelSink, type OtelSinkOptions } from "../../../src/audit/otel_sink.ts";
import { systemClock } from "../../../src/clock.ts";
import { Secret } from "../../../src/runtime/secret.ts";
import { keptLog } from "../../support/audit_fixture.ts";
import { FULL_RECORD, RECORD, recordOf } from "../../support/audit_records.ts";
import { startCollector, type TestCollector } from "../../support/otlp_collector.ts";
import { makeTestPki } from "../../support/test_pki.ts";
import { waitFor } from "../../support/tunnel_context.ts";

const CANARY = "canary-otlp-7c1e";
const BOUNDS = { delayMs: 5, closeMs: 300 };
/** Long enough for a collector on loopback, short enough to be waited for, and for the SDK to try once. */
const IMPATIENT = { ...BOUNDS, timeoutMs: 700 };

async function collector(t: TestContext): Promise<TestCollector> {
  const started = await startCollector();
  t.after(() => started.close());
  return started;
}

function open(t: TestContext, endpoint: string, more: Partial<OtelSinkOptions> = {}) {
  const log = keptLog();
  const sink = openOtelSink({
    endpoint,
    headers: new Map([["authorization", new Secret(`Bearer ${CANARY}`)]]),
    edgeId: "edge-1",
    version: "0.1.0",
    clock: systemClock,
    log,
    bounds: BOUNDS,
    ...more,
  });
  t.after(() => sink.close());
  return { sink, log };
}

test("a record arrives with its attributes, its time, its severity and its trace", async (t) => {
  const server = await collector(t);
  const { sink } = open(t, server.endpoint);

  sink.write({ ...FULL_RECORD, result: "denied" });
  await server.received(1);

  const { path, headers, logs } = server.requests[0]!;
  assert.equal(path, "/v1/logs");
  assert.equal(headers.authorization, `Bearer ${CANARY}`);
  assert.equal(headers["content-type"], "application/json");
  assert.equal(logs.length, 1);
  const { attributes, resource, ...log } = logs[0]!;
  assert.equal(log.timeUnixNano, "1800000000123000000");
  assert.equal(log.severityText, "WARN");
  assert.equal(log.severityNumber, 13);
  assert.equal(log.body, "tools/call read_file on code-server: denied");
  assert.equal(log.eventName, "mcptun.exchange");
  assert.equal(log.traceId, "4bf92f3577b34da6a3ce929d0e0e4736");
  assert.equal(log.spanId, "00f067aa0ba902b7");
  assert.equal(log.flags, 1);
  assert.equal(attributes["mcptun.tunnel"], "code-server");
  assert.equal(attributes["user.name"], "alice@example.com");
  assert.equal(attributes["http.response.status_code"], 200);
  assert.equal(attributes["mcptun.duration_ms"], 12.346);
  assert.deepEqual(attributes["mcptun.groups"], ["frontend", "staff"]);
  assert.equal(resource["service.name"], "mcptun-edge");
  assert.equal(resource["service.version"], "0.1.0");
  assert.equal(resource["service.instance.id"], "edge-1");
  await waitFor(() => sink.stats.exported === 1);
  assert.deepEqual(sink.stats, { exported: 1, waiting: 0, dropped: 0, failed: 0 });
});

test("what authenticates to the collector is in the headers alone", async (t) => {
  const server = await collector(t);
  const { sink, log } = open(t, server.endpoint);
  server.answer = (response) => {
    response.statusCode = 500;
    response.statusMessage = CANARY;
    response.end(CANARY);
  };

  sink.write(FULL_RECORD);
  await waitFor(() => sink.stats.failed === 1);

  assert.match(String(server.requests[0]!.headers.authorization), new RegExp(CANARY));
  const elsewhere = [server.requests[0]!.body, log.events, sink.stats, sink];
  for (const [index, place] of elsewhere.entries()) {
    assert.ok(!JSON.stringify(place).includes(CANARY), `place ${index}`);
  }
  assert.equal(elsewhere.length, 4);
  assert.equal(log.events[0]!.fields?.["reason"], "the collector answered with status 500");
});

test("nothing is registered globally, and no variable of the environment changes what is sent", async (t) => {
  const server = await collector(t);
  const variables = {
    OTEL_EXPORTER_OTLP_HEADERS: `x-other=${CANARY}`,
    OTEL_EXPORTER_OTLP_LOGS_HEADERS: `x-logs=${CANARY}`,
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
    OTEL_RESOURCE_ATTRIBUTES: `other=${CANARY}`,
    OTEL_SERVICE_NAME: CANARY,
    OTEL_SDK_DISABLED: "true",
    OTEL_ATTRIBUTE_COUNT_LIMIT: "1",
    OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT: "1",
    OTEL_BLRP_SCHEDULE_DELAY: "600000",
  };
  Object.assign(process.env, variables);
  t.after(() => {
    for (const name of Object.keys(variables)) delete process.env[name];
  });
  const before = globalsOfTelemetry();
  const { sink } = open(t, server.endpoint, { headers: new Map() });

  sink.write(FULL_RECORD);
  await server.received(1);

  const { headers, body, logs } = server.requests[0]!;
  assert.deepEqual(Object.keys(headers).filter((name) => /^x-|encoding|auth/.test(name)), [
    "transfer-encoding",
  ]);
  assert.ok(!body.includes(CANARY));
  assert.equal(Object.keys(logs[0]!.attributes).length, 38);
  assert.deepEqual(globalsOfTelemetry(), before);
});

test("records go out in batches, and all that wait go out at the end", async (t) => {
  const server = await collector(t);
  const { sink } = open(t, server.endpoint, {
    bounds: { ...BOUNDS, closeMs: 5_000, delayMs: 60_000, batchRecords: 20 },
  });

  for (let at = 0; at < 50; at++) sink.write(recordOf(at));
  await sink.close();

  assert.deepEqual(server.requests.map(({ logs }) => logs.length), [20, 20, 10]);
  const sizes = server.logs.map(({ attributes }) => attributes["http.request.body.size"]);
  assert.deepEqual(sizes, Array.from({ length: 50 }, (_, at) => at));
  assert.deepEqual(sink.stats, { exported: 50, waiting: 0, dropped: 0, failed: 0 });
});

test("records that the collector rejects are counted as failed", async (t) => {
  const server = await collector(t);
  server.answer = (response) =>
    response.end(JSON.stringify({ partialSuccess: { rejectedLogRecords: "2" } }));
  const { sink, log } = open(t, server.endpoint);

  for (let at = 0; at < 3; at++) sink.write(recordOf(at));
  await waitFor(() => sink.stats.waiting === 0);

  assert.deepEqual(sink.stats, { exported: 1, waiting: 0, dropped: 0, failed: 2 });
  assert.deepEqual(log.events.map(({ level }) => level), ["warn"]);
});

test("a collector that is down costs records, not exchanges, and is used again when it is back", async (t) => {
  const first = await startCollector();
  await first.close();
  const { sink, log } = open(t, first.endpoint, { bounds: IMPATIENT });
  sink.write(recordOf(1));
  await waitFor(() => sink.stats.failed === 1);

  const second = await startCollector(first.port);
  t.after(() => second.close());
  sink.write(recordOf(2));
  await waitFor(() => sink.stats.exported === 1);

  assert.deepEqual(sink.stats, { exported: 1, waiting: 0, dropped: 0, failed: 1 });
  assert.deepEqual(log.events.map(({ level, fields }) => [level, fields?.["reason"]]), [
    ["warn", "the collector cannot be reached: ECONNREFUSED"],
    ["info", undefined],
  ]);
});

test("whatever a collector does, a batch ends in time and the next one is sent", async (t) => {
  const trickles = new Set<NodeJS.Timeout>();
  t.after(() => trickles.forEach(clearInterval));
  const cases: readonly (readonly [string, TestCollector["answer"], string])[] = [
    ["hangs", () => {}, "no answer|does not answer"],
    ["sends a byte now and then", (response) => {
      response.writeHead(200);
      trickles.add(setInterval(() => response.write(" "), 20));
    }, "no answer within 700 ms"],
    ["says 400", (response) => response.writeHead(400).end(), "status 400"],
    ["redirects", (response) => response.writeHead(307, { location: "/" }).end(), "status 307"],
    ["is overloaded", (response) => response.writeHead(503).end(), "overloaded"],
    [
      "asks to wait for an hour",
      (response) => response.writeHead(429, { "retry-after": "3600" }).end(),
      "overloaded",
    ],
    ["hangs up", (response) => response.destroy(), "cannot be reached|overloaded"],
    ["sends without end", (response) => {
      response.writeHead(200);
      response.write("x".repeat(5_000_000));
    }, "cannot be reached|no answer"],
  ];
  let ran = 0;
  for (const [name, answer, reason] of cases) {
    const server = await collector(t);
    server.answer = answer;
    const { sink, log } = open(t, server.endpoint, { bounds: IMPATIENT });
    sink.write(recordOf(1));
    await waitFor(() => sink.stats.failed === 1);
    server.answer = (response) => response.end("{}");
    sink.write(recordOf(2));
    await waitFor(() => sink.stats.exported === 1);

    assert.deepEqual(sink.stats, { exported: 1, waiting: 0, dropped: 0, failed: 1 }, name);
    assert.match(String(log.events[0]!.fields?.["reason"]), new RegExp(reason), name);
    ran++;
  }
  assert.equal(ran, 8);
});

test("while a collector hangs, what waits is bounded, and the end does not wait for it", async (t) => {
  const server = await collector(t);
  server.answer = () => {};
  const { sink, log } = open(t, server.endpoint, {
    bounds: { delayMs: 5, timeoutMs: 60_000, closeMs: 100, queueRecords: 10, batchRecords: 4 },
  });
  sink.write(recordOf(0));
  await server.received(1);
  for (let at = 1; at < 25; at++) sink.write(recordOf(at));
  assert.deepEqual(sink.stats, { exported: 0, waiting: 10, dropped: 15, failed: 0 });

  const startedMs = performance.now();
  await Promise.all([sink.close(), sink.close()]);
  const tookMs = performance.now() - startedMs;
  sink.write(recordOf(25));

  assert.ok(tookMs < 5_000, `${tookMs} ms`);
  assert.deepEqual(sink.stats, { exported: 0, waiting: 0, dropped: 16, failed: 10 });
  assert.deepEqual(log.events.map(({ fields }) => [fields?.["dropped"], fields?.["failed"]]), [
    [1, 0],
    [14, 10],
  ]);
  assert.equal(server.requests.length, 1);
});

test("a collector whose certificate nobody trusts gets nothing", async (t) => {
  const { server } = await makeTestPki();
  let asked = 0;
  const listening = createServer(
    { key: server.keyPem, cert: server.certPem },
    (_request, response) => {
      asked++;
      response.end("{}");
    },
  );
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    listening.close();
    listening.closeAllConnections();
  });
  const { port } = listening.address() as AddressInfo; // it listens on TCP
  const { sink, log } = open(t, `https://localhost:${port}/v1/logs`, { bounds: IMPATIENT });

  sink.write(FULL_RECORD);
  await waitFor(() => sink.stats.failed === 1);

  assert.equal(asked, 0);
  assert.match(String(log.events[0]!.fields?.["reason"]), /cannot be reached/);
});

test("a record that cannot be written is counted, and nothing is thrown", (t) => {
  const { sink } = open(t, "http://127.0.0.1:9/v1/logs");

  // A lie about its type, as a defect elsewhere would tell.
  sink.write({ ...RECORD, groups: 7 as unknown as string[] });

  assert.deepEqual(sink.stats, { exported: 0, waiting: 0, dropped: 1, failed: 0 });
});

/** What the API keeps for all of its users, by kind. */
function globalsOfTelemetry(): string[] {
  return Object.getOwnPropertySymbols(globalThis).map(String)
    .filter((name) => name.includes("opentelemetry"));
}
