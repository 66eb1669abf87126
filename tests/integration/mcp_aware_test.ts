/** The MCP suites through an aware tunnel that allows everything: nothing may be worse. @module */

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { startConformanceServer } from "../fixtures/mcp/conformance_server.ts";
import { mcpClientSuite } from "../support/mcp_client_suite.ts";
import { makeTestPki, type TestPki } from "../support/test_pki.ts";
import { openTunnelPair } from "../support/tunnel_pair.ts";

let pki: Promise<TestPki> | undefined;

mcpClientSuite({
  name: "aware tunnel",
  async connectUrl() {
    pki ??= makeTestPki();
    const upstream = await startConformanceServer({ signal: new AbortController().signal });
    try {
      const shared = memoryTransport();
      const tunnel = await openTunnelPair({
        upstream: upstream.url,
        transport: () => shared,
        pki: await pki,
        policy: { decide: () => ({ allowed: true, reason: "default_allow", layer: "test" }) },
      });
      return {
        url: tunnel.url,
        headers: {},
        close: async () => {
          await tunnel.close();
          await upstream.close();
        },
      };
    } catch (error) {
      await upstream.close();
      throw error;
    }
  },
});
