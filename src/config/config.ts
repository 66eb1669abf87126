/** The typed configuration: what edge, rift and the commands are given. @module */

import { FAMILIES, type Family } from "../mcp/methods.ts";
import { RULE_LISTS, type RuleTexts } from "../policy/rule.ts";
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
  /** `scheme://host[:port]` that clients use, when it is not the listener's own. */
  readonly publicUrl?: string;
  readonly behindProxy: boolean;
  /** IP addresses and CIDR networks. */
  readonly trustedProxies: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly stateDir: string;
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly headerTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly maxExchanges: number;
  readonly maxEventStreams: number;
  readonly drainMs: number;
}

/** One declared tunnel. */
export interface TunnelConfig {
  readonly name: string;
  /** Matched by this `Host`, lower case; absent: by path on the edge's hosts. */
  readonly host?: string;
  readonly path: string;
  readonly protocol: Protocol;
  /** Who authenticates clients. */
  readonly auth: "edge" | "upstream";
  readonly forwardAuthorization: boolean;
  /** Accepted `Origin` values. */
  readonly origins: readonly string[];
  /** 0 = off. */
  readonly sseKeepaliveMs: number;
  /** Aware: every message is read and judged. */
  readonly mode: "transparent" | "aware";
  /** Families of requests that its private server may make of clients. */
  readonly serverRequests: readonly Family[];
  readonly rules: TunnelRules;
  readonly auditArguments: AuditArguments;
}

/** The rules of an aware tunnel, as written; a transparent one has none. */
export interface TunnelRules {
  /** Absent: deny. */
  readonly default?: "allow" | "deny";
  /** Absent: hide. */
  readonly onDeny?: "hide" | "explain";
  readonly lists: RuleTexts;
}

/** The audit trail. Times in milliseconds, sizes in bytes. */
export interface AuditConfig {
  /** Absolute path; absent: no trail in files. */
  readonly file?: string;
  readonly onFailure: "block" | "continue";
  readonly sync: "batch" | "always";
  readonly intent: boolean;
  readonly rotateBytes: number;
  /** 0 = not by age. */
  readonly rotateMs: number;
  /** 0 = all. */
  readonly keepFiles: number;
  /** 0 = for ever. */
  readonly keepMs: number;
  readonly checkpointRecords: number;
  /** URL that records go to as OpenTelemetry logs. */
  readonly otlpEndpoint?: string;
  /** Absolute path. */
  readonly otlpHeadersFile?: string;
}

/** What the audit trail keeps of arguments. */
export interface AuditArguments {
  /** A list: the members with these names. */
  readonly keep: "none" | "all" | "digest" | readonly string[];
  readonly maxBytes: number;
}

/** The rules per user. */
export interface PolicyConfig {
  /** Absolute path. */
  readonly file?: string;
}

/** One issuer of tokens. */
export interface IssuerConfig {
  readonly issuer: string;
  readonly jwksUri?: string;
  /** Globs of the tunnels it vouches for. */
  readonly tunnels: readonly string[];
  /** Accepted `aud`; empty: the tunnel's public URL. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly userClaim: string;
  readonly groupsClaim: string;
  readonly scopes: readonly string[];
}

/** How tunnels with `auth = "edge"` recognize clients, besides user tokens. */
export interface AuthConfig {
  /** Absolute path of PEM certificates. */
  readonly clientCa?: string;
  /** Lower case, as `groupsHeader`. */
  readonly userHeader?: string;
  readonly groupsHeader?: string;
  readonly issuers: readonly IssuerConfig[];
}

/** The operator's own listener. */
export interface AdminConfig {
  /** Loopback `host:port`, besides the socket in the state directory. */
  readonly listen?: string;
}

/** One tunnel that a rift serves. */
export interface ExposeConfig {
  readonly tunnel: string;
  readonly upstream: string;
  readonly protocol: Protocol;
  /** Absolute path of a file with the `Authorization` value for the upstream. */
  readonly authorizationFile?: string;
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
  readonly auth: AuthConfig;
  readonly policy: PolicyConfig;
  readonly audit: AuditConfig;
  readonly admin: AdminConfig;
  readonly rift: RiftConfig;
  readonly log: LogConfig;
}

/** Gives the checked file value its typed form; relations between keys are checked elsewhere. */
export function configOf(file: FileValue): Config {
  const tunnels = file.tunnel.map(tunnelOf);
  return deepFreeze({
    edge: edgeOf(file.edge),
    tunnels,
    audit: auditOf(file.audit, tunnels),
    auth: authOf(file.auth),
    policy: file.policy.file === undefined ? {} : { file: file.policy.file },
    admin: file.admin.listen === undefined ? {} : { listen: file.admin.listen },
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
    ...(edge.public_url === undefined ? {} : { publicUrl: edge.public_url }),
    behindProxy: edge.behind_proxy,
    trustedProxies: edge.trusted_proxies,
    ...(edge.tls_cert === undefined ? {} : { tlsCert: edge.tls_cert }),
    ...(edge.tls_key === undefined ? {} : { tlsKey: edge.tls_key }),
    stateDir: edge.state_dir,
    maxBodyBytes: edge.max_body_bytes,
    maxHeaderBytes: edge.max_header_bytes,
    maxHeaders: edge.max_headers,
    headerTimeoutMs: edge.header_timeout,
    bodyTimeoutMs: edge.body_timeout,
    maxConnections: edge.max_connections,
    maxConnectionsPerAddress: edge.max_connections_per_address,
    maxExchanges: edge.max_exchanges,
    maxEventStreams: edge.max_event_streams,
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
    auth: tunnel.auth ?? (tunnel.mode === "aware" ? "edge" : "upstream"),
    forwardAuthorization: tunnel.forward_authorization,
    origins: tunnel.origins,
    sseKeepaliveMs: tunnel.sse_keepalive,
    mode: tunnel.mode ?? "transparent",
    serverRequests: tunnel.server_requests ?? FAMILIES,
    rules: {
      ...(tunnel.default === undefined ? {} : { default: tunnel.default }),
      ...(tunnel.on_deny === undefined ? {} : { onDeny: tunnel.on_deny }),
      lists: Object.fromEntries(
        RULE_LISTS.flatMap((list) => tunnel[list] === undefined ? [] : [[list, tunnel[list]]]),
      ),
    },
    auditArguments: {
      keep: tunnel.audit_arguments ?? "none",
      maxBytes: tunnel.audit_arguments_bytes ?? 4_096,
    },
  };
}

function auditOf(audit: FileValue["audit"], tunnels: readonly TunnelConfig[]): AuditConfig {
  const isAware = tunnels.some(({ mode }) => mode === "aware");
  return {
    ...(audit.file === undefined ? {} : { file: audit.file }),
    onFailure: audit.on_failure ?? (isAware ? "block" : "continue"),
    sync: audit.sync,
    intent: audit.intent,
    rotateBytes: audit.rotate_bytes,
    rotateMs: audit.rotate_every,
    keepFiles: audit.keep_files,
    keepMs: audit.keep_for,
    checkpointRecords: audit.checkpoint_records,
    ...(audit.otlp_endpoint === undefined ? {} : { otlpEndpoint: audit.otlp_endpoint }),
    ...(audit.otlp_headers_file === undefined ? {} : { otlpHeadersFile: audit.otlp_headers_file }),
  };
}

/** The `[auth]` part of {@link configOf}. */
export function authOf(auth: FileValue["auth"]): AuthConfig {
  return {
    ...(auth.client_ca === undefined ? {} : { clientCa: auth.client_ca }),
    ...(auth.user_header === undefined ? {} : { userHeader: auth.user_header }),
    ...(auth.groups_header === undefined ? {} : { groupsHeader: auth.groups_header }),
    issuers: auth.issuer.map((issuer) => ({
      issuer: issuer.issuer,
      ...(issuer.jwks_uri === undefined ? {} : { jwksUri: issuer.jwks_uri }),
      tunnels: issuer.tunnels,
      audiences: issuer.audiences,
      algorithms: issuer.algorithms,
      userClaim: issuer.user_claim,
      groupsClaim: issuer.groups_claim,
      scopes: issuer.scopes,
    })),
  };
}

function riftOf(rift: FileValue["rift"]): RiftConfig {
  return {
    ...(rift.token_file === undefined ? {} : { tokenFile: rift.token_file }),
    protocol: rift.protocol,
    ...(rift.edge_address === undefined ? {} : { edgeAddress: rift.edge_address }),
    exposes: rift.expose.map(({ tunnel, upstream, protocol, authorization_file }) => ({
      tunnel,
      upstream,
      protocol: protocol ?? rift.protocol,
      ...(authorization_file === undefined ? {} : { authorizationFile: authorization_file }),
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
