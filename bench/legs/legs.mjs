/** The HTTP legs, in the order they are run within a round. @module */

import { startNginxProxy } from "./nginx.mjs";
import { startTunnel } from "./mcptun.mjs";
import { Child } from "../lib/process.mjs";

/** Every leg: `start(context, upstream)` gives URLs, the processes to watch, and `stop()`. */
export const LEGS = {
  "direct": {
    start: (_context, { json, work }) =>
      Promise.resolve({ json, work, watched: [], stop: () => Promise.resolve() }),
  },
  "node proxy": { start: startNodeProxy },
  "nginx proxy": {
    skip: (context) => context.hasNginx ? undefined : "nginx is not installed",
    start: startNginxProxy,
  },
  "mcptun node": { start: (context, upstream) => startTunnel(context, upstream, "node") },
  "mcptun deno": {
    skip: (context) => context.deno === undefined ? "deno is not installed" : undefined,
    start: (context, upstream) => startTunnel(context, upstream, "deno"),
  },
};

async function startNodeProxy(context, upstream) {
  const proxy = new Child({
    name: "node proxy",
    command: process.execPath,
    args: [`${context.benchDir}/servers/node_proxy.mjs`, upstream.jsonPort, upstream.workPort].map(
      String,
    ),
    logFile: `${context.tempDir}/node_proxy.log`,
  });
  const { port } = await proxy.json();
  return {
    json: `http://127.0.0.1:${port}/json/mcp`,
    work: `http://127.0.0.1:${port}/work`,
    watched: [{ role: "proxy", pid: proxy.pid }],
    stop: () => proxy.stop(),
  };
}
