/** The MCP suites through edge and rift, joined by QUIC. @module */

import { startConformanceServer } from "../fixtures/mcp/conformance_server.ts";
import { mcpClientSuite } from "../support/mcp_client_suite.ts";
import { makeTestPki, type TestPki } from "../support/test_pki.ts";
import { openTunnelPair } from "../support/tunnel_pair.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";

let pki: Promise<TestPki> | undefined;

mcpClientSuite({
  name: "tunnel",
  async connectUrl() {
    pki ??= makeTestPki();
    const upstream = await startConformanceServer({ signal: new AbortController().signal });
    try {
      const transport = quicTransport;
      const tunnel = await openTunnelPair({ upstream: upstream.url, transport, pki: await pki });
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
