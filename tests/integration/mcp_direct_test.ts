/** The MCP suites without a tunnel: what fails here is the fixture's or the clients' fault. @module */

import { mcpClientSuite } from "../support/mcp_client_suite.ts";
import { startConformanceServer } from "../fixtures/mcp/conformance_server.ts";

mcpClientSuite({
  name: "direct",
  async connectUrl() {
    const { signal } = new AbortController();
    const { url, close } = await startConformanceServer({ signal });
    return { url, headers: {}, close };
  },
});
