/** The typed configuration: what edge, rift and the commands are given. @module */

import type { FileValue } from "./schema.ts";

/** What a tunnel carries: MCP on one exact path, or any HTTP below a prefix. */
export type Protocol = "mcp" | "http";

/** The public role. Times in milliseconds, sizes in bytes, paths absolute. */
export interface EdgeConfig {
  /** `host:port` of the public listener. */
  readonly listen: string;
  /** UDP `host:port` that rifts dial. */
  readonly tunnelListen: string;
  /** `host:port` written into credentials. */
  readonly tunnelAddress: string;
  /** Accepted `Host` values of tunnels matched by path, lower case. */
  readonly hosts: readonly string[];
  readonly behindProxy: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly stateDir: string;
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxExchanges: number;
  readonly drainMs: number;
}

/** One declared tunnel. */
export interface TunnelConfig {
  readonly name: string;
  /** Matched by this `Host`, lower case; absent: by path on the edge's hosts. */
  readonly host?: string;
  readonly path: string;
  readonly protocol: Protocol;
  /** Accepted `Origin` values. */
  readonly origins: readonly string[];
  /** 0 = off. */
  readonly sseKeepaliveMs: number;
}

/** One tunnel that a rift serves. */
export interface ExposeConfig {
  readonly tunnel: string;
  readonly upstream: string;
  readonly protocol: Protocol;
}

/** The private role. Times in milliseconds, paths absolute. */
export interface RiftConfig {
  readonly tokenFile?: string;
  readonly protocol: Protocol;
  /** `host:port` to dial instead of the credential's. */
  readonly edgeAddress?: string;
  readonly exposes: readonly ExposeConfig[];
  readonly upstreamConnectTimeoutMs: number;
  /** 0 = none. */
  readonly upstreamHeaderTimeoutMs: number;
  readonly drainMs: number;
}

/** Where log events go and how they look. */
export interface LogConfig {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly format: "text" | "json";
}

/** Everything, frozen, every default filled. */
export interface Config {
  readonly edge: EdgeConfig;
  readonly tunnels: readonly TunnelConfig[];
  readonly rift: RiftConfig;
  readonly log: LogConfig;
}

/** Gives the checked file value its typed form; relations between keys are checked elsewhere. */
export function configOf(file: FileValue): Config {
  return deepFreeze({
    edge: edgeOf(file.edge),
    tunnels: file.tunnel.map(tunnelOf),
    rift: riftOf(file.rift),
    log: { level: file.log.level, format: file.log.format },
  });
}

/** The edge's part of {@link configOf}. */
export function edgeOf(edge: FileValue["edge"]): EdgeConfig {
  return {
    listen: edge.listen,
    tunnelListen: edge.tunnel_listen,
    tunnelAddress: edge.tunnel_address ?? edge.tunnel_listen,
    hosts: edge.hosts,
    behindProxy: edge.behind_proxy,
    ...(edge.tls_cert === undefined ? {} : { tlsCert: edge.tls_cert }),
    ...(edge.tls_key === undefined ? {} : { tlsKey: edge.tls_key }),
    stateDir: edge.state_dir,
    maxBodyBytes: edge.max_body_bytes,
    maxHeaderBytes: edge.max_header_bytes,
    maxHeaders: edge.max_headers,
    headerTimeoutMs: edge.header_timeout,
    bodyTimeoutMs: edge.body_timeout,
    maxConnections: edge.max_connections,
    maxExchanges: edge.max_exchanges,
    drainMs: edge.drain,
  };
}

/** One tunnel of {@link configOf}; the default path depends on name, host and protocol. */
export function tunnelOf(tunnel: FileValue["tunnel"][number]): TunnelConfig {
  const prefix = tunnel.host === undefined ? `/${tunnel.name}` : "";
  const path = tunnel.protocol === "mcp" ? `${prefix}/mcp` : prefix || "/";
  return {
    name: tunnel.name,
    ...(tunnel.host === undefined ? {} : { host: tunnel.host }),
    path: tunnel.path ?? path,
    protocol: tunnel.protocol,
    origins: tunnel.origins,
    sseKeepaliveMs: tunnel.sse_keepalive,
  };
}

function riftOf(rift: FileValue["rift"]): RiftConfig {
  return {
    ...(rift.token_file === undefined ? {} : { tokenFile: rift.token_file }),
    protocol: rift.protocol,
    ...(rift.edge_address === undefined ? {} : { edgeAddress: rift.edge_address }),
    exposes: rift.expose.map(({ tunnel, upstream, protocol }) => ({
      tunnel,
      upstream,
      protocol: protocol ?? rift.protocol,
    })),
    upstreamConnectTimeoutMs: rift.upstream_connect_timeout,
    upstreamHeaderTimeoutMs: rift.upstream_header_timeout,
    drainMs: rift.drain,
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
