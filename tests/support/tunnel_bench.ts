/** One edge with any number of rifts, for tunnel tests. @module */

import { systemClock } from "../../src/clock.ts";
import type { Clock } from "../../src/clock.ts";
import { startEdge } from "../../src/edge/edge.ts";
import type { Edge } from "../../src/edge/edge.ts";
import type {
  EdgeOptions,
  EdgeSettings,
  RiftAuthority,
  TunnelSettings,
  VerifiedRift,
} from "../../src/edge/edge_options.ts";
import { silentLogger } from "../../src/log.ts";
import { TunnelError } from "../../src/errors.ts";
import type { Logger } from "../../src/log.ts";
import { startRift } from "../../src/rift/rift.ts";
import type { Expose, Rift, RiftOptions } from "../../src/rift/rift_options.ts";
import type { TlsMaterial, Transport } from "../../src/transport/transport.ts";
import type { TestTransport } from "./tunnel_context.ts";

const MIB = 1_024 * 1_024;

/** Settings of an edge in tests: the defaults of the product on loopback. */
export const EDGE_SETTINGS: EdgeSettings = {
  listen: "127.0.0.1:0",
  tunnelListen: "127.0.0.1:0",
  hosts: [],
  behindProxy: false,
  trustedProxies: [],
  maxBodyBytes: 16 * MIB,
  maxHeaderBytes: 16 * 1_024,
  maxHeaders: 100,
  headerTimeoutMs: 15_000,
  bodyTimeoutMs: 60_000,
  maxConnections: 4_096,
  maxConnectionsPerAddress: 4_096,
  maxExchanges: 1_000,
  maxEventStreams: 10_000,
  drainMs: 2_000,
};

/** The tunnels that tests use unless they say otherwise. */
export const WEB_TUNNEL: TunnelSettings = {
  name: "web",
  path: "/web",
  protocol: "http",
  auth: "upstream",
  forwardAuthorization: true,
  mode: "transparent",
  rules: {},
  serverRequests: [],
  origins: [],
  sseKeepaliveMs: 0,
};
export const MCP_TUNNEL: TunnelSettings = {
  name: "code",
  path: "/code/mcp",
  protocol: "mcp",
  auth: "upstream",
  forwardAuthorization: true,
  mode: "transparent",
  rules: {},
  serverRequests: [],
  origins: ["https://good.example"],
  sseKeepaliveMs: 0,
};

/** What a test may change. */
export interface BenchOptions {
  readonly makeTransport: () => Promise<TestTransport>;
  readonly config?: Partial<EdgeSettings>;
  readonly tunnels?: readonly TunnelSettings[];
  readonly edge?: Partial<EdgeOptions>;
  readonly clock?: Clock;
  readonly log?: Logger;
}

/** A running edge and what started it. */
export interface Bench {
  readonly edge: Edge;
  readonly transport: Transport;
  /** Starts a rift; closed with the bench. */
  rift(exposes: readonly Expose[], options?: Partial<RiftOptions>): Rift;
  /** Where a rift dials, for rifts made by hand. */
  readonly clientTls: TlsMaterial;
  close(): Promise<void>;
}

/** Starts an edge. */
export async function startBench(options: BenchOptions): Promise<Bench> {
  const { transport, serverTls, clientTls } = await options.makeTransport();
  const clock = options.clock ?? systemClock;
  const log = options.log ?? silentLogger;
  const controller = new AbortController();
  const edge = await startEdge({
    config: { ...EDGE_SETTINGS, ...options.config },
    tunnels: options.tunnels ?? [WEB_TUNNEL, MCP_TUNNEL],
    transport,
    tls: serverTls,
    rifts: authorityOf(ANY_RIFT),
    clock,
    log,
    signal: controller.signal,
    edgeId: "edge-test",
    ...options.edge,
  });
  const rifts: Rift[] = [];
  return {
    edge,
    transport,
    clientTls,
    rift(exposes, riftOptions = {}) {
      const rift = startRift({
        transport,
        address: edge.tunnelAddress,
        serverName: "mcptun-edge",
        tls: clientTls,
        exposes,
        clock,
        log,
        signal: controller.signal,
        drainMs: 0,
        ...riftOptions,
      });
      rifts.push(rift);
      return rift;
    },
    async close() {
      await Promise.all(rifts.map((rift) => rift.close()));
      controller.abort();
      await edge.close();
    },
  };
}

/** An authority that takes every certificate for this rift's, and renews none. */
export function authorityOf(rift: VerifiedRift): RiftAuthority {
  return {
    verify: () => Promise.resolve(rift),
    recheck: () => Promise.resolve(rift),
    renew: () => Promise.reject(new TunnelError("REFUSED", "No renewal in this test")),
  };
}

/** A rift that may claim everything and never ends. */
export const ANY_RIFT: VerifiedRift = {
  name: "test-rift",
  serial: "01",
  expiresAtMs: Infinity,
  mayClaim: () => true,
};
