/** What must hold between keys: each rule reports the key to change and the ways to mend it. @module */

import { MAX_TUNNELS_PER_RIFT } from "../limits.ts";
import type { KeyPath } from "./key_locator.ts";
import type { AuthConfig, EdgeConfig, TunnelConfig } from "./config.ts";
import type { FileValue } from "./schema.ts";
import { isLoopback, splitAddress } from "./value.ts";

/** One thing to change. */
export interface Problem {
  readonly path: KeyPath;
  /** What is wrong, with the hint in parentheses. */
  readonly text: string;
}

/** The rules of `[edge]` alone. */
export function checkEdge(edge: EdgeConfig): Problem[] {
  const problems: Problem[] = [];
  if (edge.tlsCert !== undefined && edge.tlsKey === undefined) {
    problems.push({
      path: ["edge", "tls_cert"],
      text:
        'certificate without a key (add tls_key = "…", the PEM private key of this certificate)',
    });
  }
  if (edge.tlsKey !== undefined && edge.tlsCert === undefined) {
    problems.push({
      path: ["edge", "tls_key"],
      text: 'key without a certificate (add tls_cert = "…", the PEM certificate chain of this key)',
    });
  }
  const tls = edge.tlsCert !== undefined || edge.tlsKey !== undefined;
  if (!isLoopback(splitAddress(edge.listen).host) && !tls && !edge.behindProxy) {
    problems.push({
      path: ["edge", "listen"],
      text: `plain HTTP on ${JSON.stringify(edge.listen)} would be open to the network ` +
        "(set tls_cert and tls_key, or set behind_proxy = true if a proxy in front ends TLS)",
    });
  }
  return problems;
}

/** The rules of `[auth]`, and between it and the edge. */
export function checkAuth(auth: AuthConfig, edge: EdgeConfig): Problem[] {
  const problems: Problem[] = [];
  if (auth.clientCa !== undefined && edge.tlsCert === undefined) {
    problems.push({
      path: ["auth", "client_ca"],
      text:
        "client certificates need TLS on the edge itself (set edge.tls_cert and edge.tls_key, " +
        "or let the proxy in front check them and name the user in auth.user_header)",
    });
  }
  if (auth.userHeader !== undefined && edge.trustedProxies.length === 0) {
    problems.push({
      path: ["auth", "user_header"],
      text: "a header that anybody could send (list your proxy in edge.trusted_proxies)",
    });
  }
  if (auth.groupsHeader !== undefined && auth.userHeader === undefined) {
    problems.push({
      path: ["auth", "groups_header"],
      text: "groups without a user (set user_header too)",
    });
  }
  if (auth.groupsHeader !== undefined && auth.groupsHeader === auth.userHeader) {
    problems.push({ path: ["auth", "groups_header"], text: "the same header as user_header" });
  }
  return problems;
}

/** The rules of `[admin]`. */
export function checkAdmin(admin: { readonly listen?: string | undefined }): Problem[] {
  if (admin.listen === undefined || isLoopback(splitAddress(admin.listen).host)) return [];
  return [{
    path: ["admin", "listen"],
    text:
      `${JSON.stringify(admin.listen)} is not loopback (listen on 127.0.0.1 or [::1]; to read ` +
      "metrics from elsewhere, put a proxy that authenticates in front)",
  }];
}

/** The rules of `[audit]`. */
export function checkAudit(audit: FileValue["audit"]): Problem[] {
  if (audit.otlp_headers_file === undefined || audit.otlp_endpoint !== undefined) return [];
  return [{
    path: ["audit", "otlp_headers_file"],
    text: "headers for nobody (set otlp_endpoint too, or remove it)",
  }];
}

/** The rules between tunnels, and between tunnels and the edge. Entries that did not parse are absent. */
export function checkTunnels(
  tunnels: readonly (TunnelConfig | undefined)[],
  edge: EdgeConfig | undefined,
): Problem[] {
  const problems: Problem[] = [];
  const names = new Map<string, number>();
  /** By path, the tunnels that have it so far. */
  const routes = new Map<string, TunnelConfig[]>();
  for (const [index, tunnel] of tunnels.entries()) {
    if (tunnel === undefined) continue;
    if (names.has(tunnel.name)) {
      problems.push({
        path: ["tunnel", index, "name"],
        text: `tunnel ${JSON.stringify(tunnel.name)} is declared twice (give one another name)`,
      });
    } else names.set(tunnel.name, index);
    const holders = routes.get(tunnel.path) ?? [];
    const holder = holders.find((other) =>
      other.name !== tunnel.name && hostsOverlap(hostsOf(other, edge), hostsOf(tunnel, edge))
    );
    if (holder !== undefined) {
      const where = `${tunnel.host ?? ""}${tunnel.path}`;
      problems.push({
        path: ["tunnel", index, "path"],
        text: `route ${JSON.stringify(where)} already belongs to tunnel ` +
          `${JSON.stringify(holder.name)} (give one another host or path)`,
      });
    } else routes.set(tunnel.path, [...holders, tunnel]);
  }
  const byPath = tunnels.find((tunnel) => tunnel !== undefined && tunnel.host === undefined);
  const listensPublicly = edge !== undefined && !isLoopback(splitAddress(edge.listen).host);
  if (listensPublicly && edge.hosts.length === 0 && byPath !== undefined) {
    problems.push({
      path: ["edge", "hosts"],
      text: `empty, so nobody could reach tunnel ${JSON.stringify(byPath.name)} ` +
        '(add the name clients use, such as hosts = ["mcp.example.com"], or give the tunnel a host)',
    });
  }
  return problems;
}

/** The rules within a tunnel about its mode. Entries that did not parse are absent. */
export function checkTunnelRules(tunnels: readonly (TunnelConfig | undefined)[]): Problem[] {
  return tunnels.flatMap((tunnel, index) => {
    if (tunnel === undefined) return [];
    const at = (key: string, text: string) => ({ path: ["tunnel", index, key], text });
    const { lists } = tunnel.rules;
    const names = Object.keys(lists);
    if (tunnel.mode === "transparent") {
      const written = [
        ...(tunnel.rules.default === undefined ? [] : ["default"]),
        ...(tunnel.rules.onDeny === undefined ? [] : ["on_deny"]),
        ...names,
        ...(tunnel.auditArguments.keep === "none" ? [] : ["audit_arguments"]),
      ];
      const hint = 'set mode = "aware", or remove it';
      return written.map((key) => at(key, `has no effect on a transparent tunnel (${hint})`));
    }
    const problems: Problem[] = [];
    if (tunnel.protocol !== "mcp") {
      problems.push(at("mode", 'aware reads MCP messages (set protocol = "mcp")'));
    }
    if (tunnel.auth !== "edge") {
      const hint = 'set auth = "edge" on this tunnel';
      problems.push(at("mode", `aware needs to know who asks (${hint})`));
    }
    if (names.length === 0 && tunnel.rules.default !== "allow") {
      problems.push(at(
        "mode",
        "aware without any rule would deny everything (add allow_tools or another list, or write " +
          'default = "allow" to leave it all to policy.file)',
      ));
    }
    return problems;
  });
}

/** The `Host` values that reach a tunnel; "" stands for the edge's own, also when there are none. */
function hostsOf(tunnel: TunnelConfig, edge: EdgeConfig | undefined): readonly string[] {
  if (tunnel.host !== undefined) return [tunnel.host];
  if (edge === undefined) return [""];
  const { host, port } = splitAddress(edge.listen);
  const loopback = isLoopback(host) ? LOOPBACK_NAMES.map((name) => `${name}:${port}`) : [];
  return ["", ...edge.hosts, ...loopback];
}

/** A host without a port answers on several, so it meets the same host with any port. */
function hostsOverlap(some: readonly string[], others: readonly string[]): boolean {
  return some.some((one) =>
    others.some((other) => {
      const [a, b] = [/^(.*?)(:\d+)?$/.exec(one)!, /^(.*?)(:\d+)?$/.exec(other)!];
      return a[1] === b[1] && (a[2] === undefined || b[2] === undefined || a[2] === b[2]);
    })
  );
}

/** What a loopback listener answers to besides `edge.hosts`. */
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/** The rules between exposed tunnels. Entries that did not parse are absent. */
export function checkExposes(
  exposes: readonly (FileValue["rift"]["expose"][number] | undefined)[],
): Problem[] {
  const seen = new Set<string>();
  const tooMany = exposes.length <= MAX_TUNNELS_PER_RIFT ? [] : [{
    path: ["rift", "expose", MAX_TUNNELS_PER_RIFT],
    text: `more than ${MAX_TUNNELS_PER_RIFT} tunnels on one rift (run a second rift for the rest)`,
  }];
  const repeated = exposes.flatMap((expose, index) => {
    if (expose === undefined) return [];
    const twice = seen.has(expose.tunnel);
    seen.add(expose.tunnel);
    return twice
      ? [{
        path: ["rift", "expose", index, "tunnel"],
        text: `tunnel ${JSON.stringify(expose.tunnel)} is exposed twice (keep one)`,
      }]
      : [];
  });
  return [...tooMany, ...repeated];
}
