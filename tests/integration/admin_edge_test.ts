import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";

import { adminSocket } from "../../src/cli/admin_client.ts";
import { openAdmin } from "../../src/cli/open_admin.ts";
import { systemClock } from "../../src/clock.ts";
import { silentLogger } from "../../src/log.ts";
import { openUdp } from "../../src/runtime/udp_socket.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import { askListener } from "../support/admin_fixture.ts";
import { testPki } from "../support/connection_pair.ts";
import { ask, startServer } from "../support/http_probe.ts";
import { parsePrometheus } from "../support/prometheus_text.ts";
import { startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";
import { waitFor } from "../support/tunnel_context.ts";

const UNIX = process.platform === "win32" ? { skip: "no Unix sockets" } : {};

test(
  "an edge is ready once a private server answers through its tunnel, and counts what it carries",
  UNIX,
  async () => {
    const stateDir = mkdtempSync(join(tmpdir(), "mcptun-test-"));
    const asked: string[] = [];
    const upstream = await startServer((request, response) => {
      asked.push(request.method ?? "");
      response.statusCode = request.method === "OPTIONS" ? 405 : 200;
      response.end("hello");
    });
    const tls = { certPem: "", keyPem: "", caPem: "" };
    const bench = await startBench({
      makeTransport: () =>
        Promise.resolve({ transport: memoryTransport(), serverTls: tls, clientTls: tls }),
      tunnels: [WEB_TUNNEL],
    });
    const life = new AbortController();
    const admin = await openAdmin({
      edge: { stateDir },
      admin: {},
      source: {
        status: () => bench.edge.status(),
        probe: (tunnel, signal) => bench.edge.probe(tunnel, signal),
        reload: () => ({ loadedAtMs: systemClock.wallNow(), problems: [] }),
        audit: () => undefined,
      },
      clock: systemClock,
      log: silentLogger,
      signal: life.signal,
    });
    const where = { socketPath: adminSocket(stateDir) };
    try {
      const alone = await askListener(where, "/readyz?tunnel=nothing");
      const rift = bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]);
      await bench.edge.waitForTunnel("web", AbortSignal.timeout(10_000));
      const before = asked.length;
      const ready = await askListener(where, "/readyz");
      const again = await askListener(where, "/readyz");
      const probes = asked.length - before;
      await ask(`${bench.edge.tunnelUrl("web")}/page`);
      const status = JSON.parse((await askListener(where, "/status")).body);
      const metrics = parsePrometheus((await askListener(where, "/metrics")).body);

      assert.equal(alone.status, 503);
      assert.deepEqual([ready.status, again.status, probes], [200, 200, 1]);
      assert.equal(status.tunnels[0].outcomes["2xx"], 1);
      assert.equal(status.tunnels[0].rifts.length, 1);
      const [total] = metrics.get("mcptun_exchanges_total")!.samples;
      assert.deepEqual(total, {
        name: "mcptun_exchanges_total",
        labels: { tunnel: "web", outcome: "2xx" },
        value: 1,
      });
      await rift.close();
    } finally {
      life.abort();
      await admin.close();
      await bench.close();
      await upstream.close();
      rmSync(stateDir, { recursive: true, force: true });
    }
  },
);

test("an edge tells what strangers sent to its listener for rifts and what it dropped", async () => {
  const pki = await testPki();
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({
        transport: quicTransport(),
        serverTls: pki.server,
        clientTls: pki.client,
      }),
  });
  const stranger = await openUdp({ host: "127.0.0.1", port: 0, onDatagram() {}, onError() {} });
  try {
    stranger.send(new Uint8Array(40).fill(0xc3), bench.edge.tunnelAddress);
    await waitFor(() => (bench.edge.status().newcomers?.dropped.garbage ?? 0) > 0);
    const { newcomers } = bench.edge.status();

    assert.equal(newcomers?.dropped.garbage, 1);
    assert.equal(newcomers?.dropped.retry_rate, 0);
    assert.equal(newcomers?.connections, 0);
  } finally {
    await stranger.close();
    await bench.close();
  }
});
