/** Everything the official MCP clients do, driven at one endpoint. @module */

import { mcpIsolationSuite } from "./mcp_isolation_suite.ts";
import { mcpLegacySuite } from "./mcp_legacy_suite.ts";
import { mcpModernSuite } from "./mcp_modern_suite.ts";
import type { McpSuiteOptions } from "./mcp_target.ts";

export type { McpSuiteOptions, McpTarget } from "./mcp_target.ts";

/** Declares the tests: modern era, legacy era, and that no answer reaches the wrong caller. */
export function mcpClientSuite(options: McpSuiteOptions): void {
  mcpModernSuite(options);
  mcpLegacySuite(options);
  mcpIsolationSuite(options);
}
