/** What the tunnel suites share: an upstream, an edge and a rift per test. @module */

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import type { TlsMaterial, Transport } from "../../src/transport/transport.ts";
import { answerJson, readBody, sha256, startServer, type TestServer } from "./http_probe.ts";
import { type Bench, startBench } from "./tunnel_bench.ts";

/** One transport for both sides, with certificates that fit. */
export interface TestTransport {
  readonly transport: Transport;
  readonly serverTls: TlsMaterial;
  readonly clientTls: TlsMaterial;
}

/** The transport a suite runs over. */
export interface SuiteOptions {
  readonly name: string;
  readonly makeTransport: () => Promise<TestTransport>;
}

/** A tunnel of each protocol that is up. */
export interface RunningTunnel {
  readonly url: string;
  readonly mcpUrl: string;
  readonly bench: Bench;
  readonly upstream: TestServer;
}

/** Declares tests and runs them with a tunnel. */
export function tunnelContext({ name, makeTransport }: SuiteOptions): {
  behavior(text: string, run: () => Promise<void>): void;
  withTunnel(
    listener: RequestListener,
    run: (tunnel: RunningTunnel) => Promise<void>,
    options?: Partial<Parameters<typeof startBench>[0]>,
  ): Promise<void>;
} {
  const behavior = (text: string, run: () => Promise<void>): void => {
    test(`A tunnel over ${name} ${text}`, { timeout: 60_000 }, run);
  };

  /** An upstream, an edge and a rift with both tunnels, ended in any case. */
  async function withTunnel(
    listener: RequestListener,
    run: (tunnel: RunningTunnel) => Promise<void>,
    options: Partial<Parameters<typeof startBench>[0]> = {},
  ): Promise<void> {
    const upstream = await startServer(listener);
    const bench = await startBench({ makeTransport, ...options });
    try {
      const rift = bench.rift([
        { tunnel: "web", upstream: `${upstream.url}/base`, protocol: "http" },
        { tunnel: "code", upstream: `${upstream.url}/mcp`, protocol: "mcp" },
      ]);
      await rift.ready;
      await run({
        url: bench.edge.tunnelUrl("web"),
        mcpUrl: bench.edge.tunnelUrl("code"),
        bench,
        upstream,
      });
    } finally {
      await bench.close();
      await upstream.close();
    }
  }

  return { behavior, withTunnel };
}

/** Answers with the body of the request, and its hash in a header. */
export function echoHash(request: IncomingMessage, response: ServerResponse): void {
  void readBody(request).then((body) => {
    response.writeHead(200, { "x-request-hash": sha256(body) });
    for (let at = 0; at < body.length; at += 50_021) response.write(body.subarray(at, at + 50_021));
    response.end();
  });
}

/** Answers with the body of the request, with its length. */
export function echoBody(request: IncomingMessage, response: ServerResponse): void {
  readBody(request).then((body) => {
    response.writeHead(200, { "content-length": String(body.length) });
    response.end(body);
  }, () => response.destroy());
}

/** Answers with what `value` makes of the request's body, as JSON. */
export function answerAfterBody(
  request: IncomingMessage,
  response: ServerResponse,
  value: (body: string) => unknown,
): void {
  readBody(request).then(
    (body) => answerJson(response, value(String(body))),
    () => response.destroy(),
  );
}

export function errorCode(body: Buffer): string {
  return JSON.parse(String(body)).error.data.code;
}

export async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A TCP server has a port.
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Polls a condition that has no event of its own; the test's own timeout bounds it. */
export async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
