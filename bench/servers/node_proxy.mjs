/**
 * The reference: a plain reverse proxy as one would write it with node:http today.
 *
 * Kept-alive connections both ways, bodies streamed with back-pressure, hop-by-hop fields dropped,
 * aborts passed on in both directions, no delay of small writes. Nothing else: no checks, no limits.
 *
 *     node node_proxy.mjs JSON_PORT WORK_PORT
 *
 * @module
 */

import { Agent, createServer, request as httpRequest } from "node:http";

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
const [jsonPort, workPort] = process.argv.slice(2).map(Number);
const agent = new Agent({ keepAlive: true, noDelay: true, maxFreeSockets: 1_024 });

const server = createServer({ keepAliveTimeout: 600_000, noDelay: true }, (incoming, outgoing) => {
  const toJson = incoming.url === "/json/mcp";
  const port = toJson ? jsonPort : workPort;
  const upstream = httpRequest({
    agent,
    host: "127.0.0.1",
    port,
    method: incoming.method,
    path: toJson ? "/mcp" : incoming.url.slice("/work".length),
    headers: endToEnd(incoming.rawHeaders, `127.0.0.1:${port}`),
  });
  upstream.on("response", (answer) => {
    outgoing.writeHead(answer.statusCode, answer.statusMessage, endToEnd(answer.rawHeaders));
    // Else the head travels with the first bytes of the body, in one write.
    if (answer.headers["content-type"]?.startsWith("text/event-stream")) outgoing.flushHeaders();
    answer.on("error", () => outgoing.destroy());
    answer.pipe(outgoing);
  });
  upstream.on(
    "error",
    () => outgoing.headersSent ? outgoing.destroy() : outgoing.writeHead(502).end(),
  );
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) upstream.destroy();
  });
  incoming.on("error", () => upstream.destroy());
  incoming.pipe(upstream);
});

/** The end-to-end fields of a raw header list, `host` replaced when one is given. */
function endToEnd(raw, host) {
  const kept = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    if (HOP_BY_HOP.has(name)) continue;
    kept.push(raw[i], name === "host" && host !== undefined ? host : raw[i + 1]);
  }
  return kept;
}

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.on("end", () => process.exit(0)).resume();
