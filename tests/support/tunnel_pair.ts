/** An edge and a rift in this process, joined by a real or in-memory transport. @module */

import { systemClock } from "../../src/clock.ts";
import { startEdge } from "../../src/edge/edge.ts";
import type { PolicyDecider } from "../../src/edge/edge_options.ts";
import { FAMILIES } from "../../src/mcp/methods.ts";
import { type Logger, silentLogger } from "../../src/log.ts";
import { startRift } from "../../src/rift/rift.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { oneUser } from "./one_user.ts";
import { makeTestPki, type TestPki } from "./test_pki.ts";
import { ANY_RIFT, authorityOf, EDGE_SETTINGS } from "./tunnel_bench.ts";

/** What is tunneled, and how. */
export interface TunnelPairOptions {
  /** The private server: for `mcp` its endpoint. */
  readonly upstream: string;
  readonly protocol?: "mcp" | "http";
  /** Asked for one transport per side. */
  readonly transport: () => Transport;
  /** Certificates to use; made when not given, which takes about 300 ms. */
  readonly pki?: TestPki;
  /** Port of the public listener; 0, the default, takes a free one. */
  readonly port?: number;
  /** Values of `Origin` the tunnel allows; none by default. */
  readonly origins?: readonly string[];
  readonly log?: Logger;
  /** Makes the tunnel aware: judged by this, for one user without a token. */
  readonly policy?: PolicyDecider;
}

/** A tunnel that is up. */
export interface TunnelPair {
  /** The tunnel's public URL, at `localhost`. */
  readonly url: string;
  /** Ends both sides. */
  close(): Promise<void>;
}

/** Starts both sides; resolves when the tunnel is registered. */
export async function openTunnelPair(
  options: TunnelPairOptions,
): Promise<TunnelPair> {
  const {
    upstream,
    protocol = "mcp",
    transport,
    port = 0,
    origins = [],
    log = silentLogger,
    policy,
  } = options;
  const pki = options.pki ?? await makeTestPki();
  const controller = new AbortController();
  const { signal } = controller;
  const edge = await startEdge({
    config: { ...EDGE_SETTINGS, listen: `127.0.0.1:${port}`, drainMs: 1_000 },
    tunnels: [{
      name: "test",
      path: protocol === "mcp" ? "/test/mcp" : "/test",
      protocol,
      auth: policy === undefined ? "upstream" : "edge",
      forwardAuthorization: true,
      mode: policy === undefined ? "transparent" : "aware",
      rules: {},
      serverRequests: FAMILIES,
      origins,
      sseKeepaliveMs: 0,
    }],
    transport: transport(),
    tls: pki.server,
    rifts: authorityOf(ANY_RIFT),
    ...(policy === undefined ? {} : { policy, clientAuth: oneUser("test") }),
    clock: systemClock,
    log: log.child({ side: "edge" }),
    signal,
    edgeId: "test-edge",
  });
  const rift = startRift({
    transport: transport(),
    address: edge.tunnelAddress,
    serverName: "mcptun-edge",
    tls: pki.client,
    exposes: [{ tunnel: "test", upstream, protocol }],
    clock: systemClock,
    log: log.child({ side: "rift" }),
    signal,
    drainMs: 1_000,
  });
  const close = async () => {
    controller.abort();
    await Promise.all([rift.close(), edge.close()]);
  };
  try {
    await rift.ready;
  } catch (error) {
    await close();
    throw error;
  }

  const url = new URL(edge.tunnelUrl("test"));
  url.hostname = "localhost";
  return { url: url.href, close };
}
