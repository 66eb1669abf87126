import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import {
  CredentialStore,
  decodeCredential,
  encodeCredential,
  issueRiftCredential,
  loadConfig,
  openTunnelCa,
  quicTransport,
  riftAuthority,
  SERVER_NAME,
  silentLogger,
  startEdge,
  startRift,
  systemClock,
} from "../../mod.ts";
import { ask, startServer } from "../support/http_probe.ts";

const TEXT = `[edge]
listen = "127.0.0.1:0"
tunnel_listen = "127.0.0.1:0"
tunnel_address = "localhost:4443"
[[tunnel]]
name = "wiki"
protocol = "http"
`;

test("a program that embeds the library runs an edge and a rift with it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-mod-"));
  const upstream = await startServer((request, response) => response.end(`got ${request.url}`));
  const life = new AbortController();
  try {
    const { config } = loadConfig({ text: TEXT });
    const [clock, log, signal] = [systemClock, silentLogger, life.signal];
    const transport = quicTransport();
    const ca = await openTunnelCa({ stateDir: folder, clock, log });
    const store = await CredentialStore.open({ stateDir: folder });
    const edge = await startEdge({
      config: config.edge,
      tunnels: config.tunnels,
      transport,
      tls: await ca.serverMaterial(),
      rifts: riftAuthority({ ca, store, clock }),
      clock,
      log,
      signal,
      edgeId: "embedded",
    });
    const issued = await issueRiftCredential({
      ca,
      store,
      name: "one",
      tunnels: ["wiki"],
      ttlMs: 60 * 60 * 1_000,
      address: config.edge.tunnelAddress,
      clock,
    });
    const credential = decodeCredential(encodeCredential(issued).reveal());
    const rift = startRift({
      transport,
      address: edge.tunnelAddress,
      serverName: SERVER_NAME,
      tls: credential.material,
      exposes: [{ tunnel: "wiki", upstream: upstream.url, protocol: "http" }],
      clock,
      log,
      signal,
    });
    await rift.ready;
    const answer = await ask(`${edge.tunnelUrl("wiki")}/start?x=1`);
    await rift.close();
    const end = await rift.closed;
    await edge.close();

    assert.equal(credential.name, "one");
    assert.equal(answer.status, 200);
    assert.equal(String(answer.body), "got /start?x=1");
    assert.equal(end.reason, "closed");
  } finally {
    life.abort();
    await upstream.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
