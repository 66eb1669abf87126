/** What must hold between keys: each rule reports the key to change and the ways to mend it. @module */

import { MAX_TUNNELS_PER_RIFT } from "../limits.ts";
import type { KeyPath } from "./key_locator.ts";
import type { EdgeConfig, TunnelConfig } from "./config.ts";
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

/** The rules between tunnels, and between tunnels and the edge. Entries that did not parse are absent. */
export function checkTunnels(
  tunnels: readonly (TunnelConfig | undefined)[],
  edge: EdgeConfig | undefined,
): Problem[] {
  const problems: Problem[] = [];
  const names = new Map<string, number>();
  const routes = new Map<string, string>();
  for (const [index, tunnel] of tunnels.entries()) {
    if (tunnel === undefined) continue;
    if (names.has(tunnel.name)) {
      problems.push({
        path: ["tunnel", index, "name"],
        text: `tunnel ${JSON.stringify(tunnel.name)} is declared twice (give one another name)`,
      });
    } else names.set(tunnel.name, index);
    const route = `${tunnel.host ?? ""} ${tunnel.path}`;
    const holder = routes.get(route);
    if (holder !== undefined && holder !== tunnel.name) {
      const where = tunnel.host === undefined ? tunnel.path : `${tunnel.host}${tunnel.path}`;
      problems.push({
        path: ["tunnel", index, "path"],
        text: `route ${JSON.stringify(where)} already belongs to tunnel ` +
          `${JSON.stringify(holder)} (give one another host or path)`,
      });
    } else routes.set(route, tunnel.name);
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
