/**
 * Starts what every leg forwards to, once per round.
 *
 * Small answers come from nginx where there is one, so that the upstream is not the limit;
 * bodies and event streams always come from `servers/upstream.mjs`.
 *
 * @module
 */

import { nginx } from "./nginx.mjs";
import { answerBody } from "../lib/payload.mjs";
import { Child } from "../lib/process.mjs";

/** @returns URLs that skip the proxies, the two ports, and `stop()` */
export async function startUpstream(context) {
  const work = new Child({
    name: "upstream",
    command: process.execPath,
    args: [`${context.benchDir}/servers/upstream.mjs`],
    logFile: `${context.tempDir}/upstream.log`,
  });
  const { port: workPort } = await work.json();
  const small = context.hasNginx ? await startSmall(context) : undefined;
  const jsonPort = small?.port ?? workPort;
  return {
    jsonPort,
    workPort,
    json: `http://127.0.0.1:${jsonPort}/mcp`,
    work: `http://127.0.0.1:${workPort}`,
    workPid: work.pid,
    stop: async () => void await Promise.all([work.stop(), small?.stop()]),
  };
}

function startSmall(context) {
  return nginx(context, "upstream-nginx", (port) => `
    server {
      listen 127.0.0.1:${port} backlog=4096;
      location = /mcp { default_type application/json; return 200 '${answerBody}'; }
    }`);
}
