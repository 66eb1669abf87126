/** Makes a server of both eras look like one that knows sessions only. @module */

import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";

import { readBody } from "./http_probe.ts";

/** A front that refuses what is newer than sessions, and passes on the rest. */
export interface LegacyFront {
  readonly url: string;
  /** `METHOD rpc-method` of every request. */
  readonly seen: readonly string[];
  close(): Promise<void>;
}

/** Starts a front before the MCP endpoint `target`. */
export async function forwardTo(target: string): Promise<LegacyFront> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    // What fails here fails the exchange, which the test sees.
    void readBody(request).then((body) => {
      const message = body.length === 0 ? {} : JSON.parse(body.toString()) as { method?: string };
      seen.push(`${request.method ?? ""} ${message.method ?? ""}`);
      if (request.headers["mcp-protocol-version"] === "2026-07-28") {
        response.writeHead(400, { "Content-Type": "application/json" });
        const error = { code: -32_000, message: "Bad Request: Unsupported protocol version" };
        response.end(JSON.stringify({ jsonrpc: "2.0", id: null, error }));
        return;
      }
      // Host and Connection belong to one hop.
      const { host: _host, connection: _connection, ...headers } = request.headers;
      const onward = httpRequest(
        target,
        { method: request.method ?? "", headers, agent: false },
        (answer) => {
          response.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.pipe(response);
        },
      );
      onward.on("error", () => response.destroy());
      onward.end(body);
    }, () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has a port
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
