/** What the sample server is made of. Loads the MCP library, so only sample_server.ts imports it. @module */

import { McpServer } from "@modelcontextprotocol/server";
import { systemClock } from "../clock.ts";
import { guide } from "./guide.ts";
import { startMcpHost } from "./mcp_host.ts";
import { notebook } from "./notebook.ts";
import type { SampleServer, SampleServerOptions } from "./sample_server.ts";
import { streamingTools } from "./streaming_tools.ts";
import { textTools } from "./text_tools.ts";
import { timeTools } from "./time_tools.ts";

/** Starts the sample server; see sample_server.ts. */
export async function openSampleServer(options: SampleServerOptions): Promise<SampleServer> {
  const clock = options.clock ?? systemClock;
  const registrars = [textTools(), timeTools(clock), streamingTools(clock), guide()];
  const addNotebook = notebook();

  const host = await startMcpHost({
    port: options.port,
    log: options.log,
    signal: options.signal,
    createServer(_era, bus) {
      const server = new McpServer(
        { name: "mcptun-sample", title: "mcptun sample server", version: "0.1.0" },
        {
          capabilities: {
            logging: {},
            resources: { subscribe: true, listChanged: true },
            tools: { listChanged: true },
            prompts: { listChanged: true },
          },
          instructions: "Sample server of mcptun. Read sample://welcome first.",
        },
      );
      for (const register of registrars) register(server);
      addNotebook(server, bus);
      return server;
    },
  });
  return { url: host.url, close: () => host.close() };
}
