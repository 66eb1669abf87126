/** Large events on an aware tunnel. @module */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { PolicyDecider, TunnelSettings } from "../../src/edge/edge_options.ts";
import { MAX_HELD_BYTES_EACH } from "../../src/limits.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { ask, startServer } from "../support/http_probe.ts";
import { oneUser } from "../support/one_user.ts";
import { MCP_TUNNEL, startBench } from "../support/tunnel_bench.ts";

const AWARE: TunnelSettings = { ...MCP_TUNNEL, auth: "edge", mode: "aware" };
const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const POLICY: PolicyDecider = {
  version: "test",
  decide: () => ({ allowed: true, reason: "allow_rule", layer: "user" }),
};

test("Events that a client has taken need no room any more", async () => {
  const text = "x".repeat(30 * 1_024 * 1_024);
  const event = `data: {"jsonrpc":"2.0","method":"notifications/message","params":"${text}"}\n\n`;
  // Together, the client's share of all that may be held is too small for them.
  const count = Math.ceil(MAX_HELD_BYTES_EACH / event.length) + 1;
  const upstream = await startServer((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    let left = count;
    const next = (): void => {
      if (left-- > 0) response.write(event, next);
      else response.end();
    };
    next();
  });
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [AWARE],
    edge: { policy: POLICY, clientAuth: oneUser("alice") },
  });
  try {
    const rift = bench.rift([
      { tunnel: AWARE.name, upstream: `${upstream.url}/mcp`, protocol: "mcp" },
    ]);
    await rift.ready;

    const answer = await ask(bench.edge.tunnelUrl(AWARE.name), {
      method: "POST",
      headers: { "content-type": "application/json", "mcp-protocol-version": "2025-11-25" },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}',
    });

    assert.equal(answer.body.length, count * event.length);
  } finally {
    await bench.close();
    await upstream.close();
  }
});
