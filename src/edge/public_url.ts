/**
 * The URL under which clients reach a tunnel.
 *
 * One per tunnel, from the configuration alone: a token must be for it (RFC 8707), so it must not
 * follow what a client writes into `Host`.
 *
 * @module
 */

import { parseAuthority } from "./authority.ts";
import type { EdgeSettings, TunnelSettings } from "./edge_options.ts";

/** Where the public listener is really bound. */
export interface BoundListener {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  readonly loopback: boolean;
}

/** Makes the URLs of one configuration. */
export function publicUrls(
  config: Pick<EdgeSettings, "publicUrl" | "hosts" | "behindProxy">,
  bound: BoundListener,
): (tunnel: Pick<TunnelSettings, "host" | "path">) => string {
  const scheme = config.publicUrl === undefined
    ? config.behindProxy && config.hosts.length > 0 ? "https" : bound.scheme
    : new URL(config.publicUrl).protocol.slice(0, -1);
  // Behind a proxy, and under a URL that was written out, the port listened on is nobody's business.
  const isOwnPort = config.publicUrl === undefined &&
    !(config.behindProxy && config.hosts.length > 0);
  const named = (host: string): string => {
    const isWhole = parseAuthority(host)?.port !== undefined || !isOwnPort ||
      bound.port === (scheme === "https" ? 443 : 80);
    return `${scheme}://${isWhole ? host : `${host}:${bound.port}`}`;
  };
  const [firstHost] = config.hosts;
  const own = config.publicUrl ??
    (firstHost === undefined || bound.loopback && !config.behindProxy
      ? named(bound.host.includes(":") ? `[${bound.host}]` : bound.host)
      : named(firstHost));
  return ({ host, path }) => `${host === undefined ? own : named(host)}${path === "/" ? "" : path}`;
}
