import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { register } from "prom-client";

import {
  type AdminAudit,
  type AdminStatus,
  LATENCY_BOUNDS_MS,
} from "../../../src/admin/admin_source.ts";
import { Metrics } from "../../../src/admin/metrics.ts";
import {
  type EdgeStatus,
  LATENCY_BOUNDS_MS as EDGE_BOUNDS_MS,
} from "../../../src/edge/edge_status.ts";
import { ERROR_TABLE } from "../../../src/errors.ts";
import { edgeStatus, NO_DROPS, NOW_MS, tunnelStatus } from "../../support/admin_fixture.ts";
import { type Family, parsePrometheus } from "../../support/prometheus_text.ts";

function metrics(): Metrics {
  return new Metrics({
    version: "0.1.0",
    runtime: "node 20.18.1",
    processStartMs: NOW_MS - 90_061_000,
  });
}

async function render(status: AdminStatus, from = metrics()) {
  return parsePrometheus(
    await from.render({
      status,
      reload: { loadedAtMs: NOW_MS - 60_000, problems: ["one", "two"] },
      residentBytes: 64_000_000,
    }),
  );
}

async function renderAudit(audit: AdminAudit, from: Metrics) {
  return parsePrometheus(
    await from.render({
      status: edgeStatus(),
      reload: { loadedAtMs: NOW_MS, problems: [] },
      audit,
      residentBytes: 64_000_000,
    }),
  );
}

function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name.replace(/_(bucket|sum|count)$/, "")) ?? families.get(name);
  const found =
    family?.samples.filter((sample) =>
      sample.name === name && JSON.stringify(sample.labels) === JSON.stringify(labels)
    ) ?? [];
  assert.ok(found.length <= 1);
  return found[0]?.value;
}

test("every number of the status is there, under its labels", async () => {
  const families = await render(edgeStatus());
  const tunnel = "code-server";

  const expected: [string, Record<string, string>, number][] = [
    ["mcptun_exchanges_total", { tunnel, outcome: "2xx" }, 975],
    ["mcptun_exchanges_total", { tunnel, outcome: "upstream_failed" }, 15],
    ["mcptun_exchanges_total", { tunnel, outcome: "aborted" }, 4],
    ["mcptun_exchanges_in_flight", { tunnel }, 3],
    ["mcptun_event_streams", { tunnel }, 2],
    ["mcptun_tunnel_rifts", { tunnel }, 1],
    ["mcptun_tunnel_rifts", { tunnel: "wiki" }, 0],
    ["mcptun_tunnel_rifts_waiting", { tunnel: "wiki" }, 0],
    ["mcptun_rifts", {}, 1],
    ["mcptun_handshakes", {}, 4],
    ["mcptun_newcomers_dropped_total", { reason: "garbage" }, 8],
    ["mcptun_answer_seconds_count", { tunnel }, 1_000],
    ["mcptun_answer_seconds_sum", { tunnel }, 20.5],
    ["mcptun_answer_seconds_bucket", { tunnel, le: "0.01" }, 400],
    ["mcptun_requests_refused_total", { code: "host_refused" }, 7],
    ["mcptun_rifts_refused_total", { code: "credential" }, 1],
    ["mcptun_client_connections", {}, 14],
    ["mcptun_build_info", { version: "0.1.0", runtime: "node 20.18.1" }, 1],
    ["process_start_time_seconds", {}, (NOW_MS - 90_061_000) / 1_000],
    ["process_resident_memory_bytes", {}, 64_000_000],
    ["mcptun_config_loaded_timestamp_seconds", {}, (NOW_MS - 60_000) / 1_000],
    ["mcptun_config_problems", {}, 2],
  ];
  let ran = 0;
  for (const [name, labels, value] of expected) {
    assert.equal(valueOf(families, name, labels), value, `${name} ${JSON.stringify(labels)}`);
    ran++;
  }
  assert.equal(ran, 22);
});

test("buckets are cumulative, in order, and the last is the count", async () => {
  const families = await render(edgeStatus());
  const buckets = families.get("mcptun_answer_seconds")!.samples
    .filter(({ name, labels }) => name.endsWith("_bucket") && labels["tunnel"] === "code-server");

  assert.deepEqual(
    buckets.map(({ labels }) => labels["le"]),
    [...LATENCY_BOUNDS_MS.map((bound) => String(bound / 1_000)), "+Inf"],
  );
  for (const [at, { value }] of buckets.entries()) {
    assert.ok(at === 0 || value >= buckets[at - 1]!.value);
  }
  assert.equal(buckets.at(-1)?.value, 1_000);
});

test("the shapes and the bounds of the histogram are the edge's", () => {
  // Compiles only while each fits the other.
  const toAdmin = (status: EdgeStatus): AdminStatus => status;
  const toEdge = (status: AdminStatus): EdgeStatus => status;

  assert.deepEqual(toEdge(toAdmin(edgeStatus())), edgeStatus());
  assert.deepEqual(LATENCY_BOUNDS_MS, EDGE_BOUNDS_MS);
});

test("the counts of the audit trail and of its export are there, each time as they are then", async () => {
  const from = metrics();
  const file = { file: "/audit.jsonl", records: 40, waiting: 2, lost: 1, blocks: true };
  const sent = {
    endpoint: "https://collector.example.com/v1/logs",
    exported: 7,
    waiting: 4,
    dropped: 3,
    failed: 2,
  };
  await renderAudit({ ...file, problem: "the disk is full", export: sent }, from);
  const families = await renderAudit({ ...file, export: { ...sent, exported: 8 } }, from);
  const alone = await renderAudit(file, from);

  const expected: [string, number][] = [
    ["mcptun_audit_records_total", 40],
    ["mcptun_audit_lost_total", 1],
    ["mcptun_audit_waiting", 2],
    ["mcptun_audit_problem", 0],
    ["mcptun_audit_exported_total", 8],
    ["mcptun_audit_export_dropped_total", 3],
    ["mcptun_audit_export_failed_total", 2],
    ["mcptun_audit_export_waiting", 4],
  ];
  let ran = 0;
  for (const [name, value] of expected) {
    assert.equal(valueOf(families, name), value, name);
    ran++;
  }
  assert.equal(ran, 8);
  assert.equal(valueOf(alone, "mcptun_audit_exported_total"), 0);
});

test("a second scrape gives the numbers of its own time, without tunnels that are gone", async () => {
  const from = metrics();
  await render(edgeStatus(), from);
  const later = await render(
    edgeStatus({ tunnels: [tunnelStatus({ name: "new", outcomes: { "2xx": 1 } })], refused: {} }),
    from,
  );

  const totals = later.get("mcptun_exchanges_total")!.samples;
  assert.deepEqual(totals.map(({ labels, value }) => [labels, value]), [
    [{ tunnel: "new", outcome: "2xx" }, 1],
  ]);
  assert.deepEqual(later.get("mcptun_requests_refused_total")!.samples, []);
  for (const { samples } of later.values()) {
    for (const { labels } of samples) assert.ok((labels["tunnel"] ?? "new") === "new");
  }
});

test("text of a caller never becomes a label: what is not ours is counted as other", async () => {
  const invented = Object.fromEntries(
    Array.from({ length: 500 }, (_, at) => [`invented-${at}`, 1]),
  );
  const every = Object.fromEntries(
    Object.keys(ERROR_TABLE).flatMap((code) => [[code, 1], [code.toLowerCase(), 1]]),
  );
  const families = await render(edgeStatus({
    tunnels: [tunnelStatus({ outcomes: { ...invented, ...every, "9xx": 1, __proto__x: 1 } })],
    refused: { ...invented, ...every },
    refusedRifts: { ...invented, ...every },
    newcomers: { connections: 0, handshakes: 0, dropped: { ...NO_DROPS, ...invented } },
  }));

  const codes = Object.keys(ERROR_TABLE).length;
  const bounds: [string, number][] = [
    ["mcptun_exchanges_total", codes + 8 + 1],
    ["mcptun_requests_refused_total", codes + 1],
    ["mcptun_rifts_refused_total", codes + 6 + 1],
    ["mcptun_newcomers_dropped_total", Object.keys(NO_DROPS).length + 1],
  ];
  let ran = 0;
  for (const [name, most] of bounds) {
    const { samples } = families.get(name)!;
    assert.ok(samples.length <= most, `${name}: ${samples.length}`);
    assert.ok(samples.some(({ labels }) => Object.values(labels).includes("other")));
    assert.ok(!samples.some(({ labels }) => JSON.stringify(labels).includes("invented")));
    ran++;
  }
  assert.equal(ran, 4);
});

test("what an aware tunnel denied or refused is counted as that", async () => {
  const tunnels = [tunnelStatus({ name: "t", outcomes: { denied: 3, refused: 2 } })];

  const families = await render(edgeStatus({ tunnels }));

  const outcomes = (outcome: string) =>
    valueOf(families, "mcptun_exchanges_total", { tunnel: "t", outcome });
  assert.deepEqual([outcomes("denied"), outcomes("refused"), outcomes("other")], [3, 2, undefined]);
});

test("label values are escaped", async () => {
  const name = 'a"b\\c\nd';

  const families = await render(edgeStatus({ tunnels: [tunnelStatus({ name })] }));

  assert.equal(valueOf(families, "mcptun_exchanges_in_flight", { tunnel: name }), 3);
  assert.equal(valueOf(families, "mcptun_answer_seconds_count", { tunnel: name }), 1_000);
});

test("the library's global registry stays empty", async () => {
  await render(edgeStatus());

  assert.equal((await register.getMetricsAsJSON()).length, 0);
});

test("docs/monitoring.md has one row for every metric, with its type and labels", async () => {
  const families = await render(edgeStatus());
  const rows = readFileSync("docs/monitoring.md", "utf8").split("\n")
    .map((line) => /^\| `([a-z_]+)` \| (counter|gauge|histogram) \| ([^|]*) \|/.exec(line))
    .filter((row) => row !== null)
    .map(([, name, type, labels]) => [name, type, labels?.trim().replaceAll("`", "") ?? ""]);

  const served = [...families.values()].map(({ name, type, samples }) => {
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
    labels.delete("le");
    return [name, type, [...labels].join(", ")];
  });

  const byName = (a: (string | undefined)[], b: (string | undefined)[]) =>
    a[0]!.localeCompare(b[0]!);
  assert.deepEqual(rows.toSorted(byName), served.toSorted(byName));
  assert.equal(rows.length, 25);
});

test("the reader of these tests refuses what is not valid", () => {
  const cases = [
    "a 1\n",
    "# HELP a b\n# TYPE a gauge\na 1",
    "# HELP a b\n# TYPE a gauge\na x\n",
    "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
    '# HELP a b\n# TYPE a gauge\na{b="c"d"} 2\n',
    "# TYPE a gauge\na 1\n",
  ];
  let ran = 0;
  for (const text of cases) {
    assert.throws(() => parsePrometheus(text), text);
    ran++;
  }
  assert.equal(ran, 6);
});
