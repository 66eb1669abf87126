/**
 * From `Host` and request target to a tunnel.
 *
 * Default deny: what no tunnel claims has no route.
 *
 * @module
 */

import { UNSAFE_PATH } from "../wire/text.ts";
import type { Authority, HostTable } from "./authority.ts";
import { authorityOf } from "./authority.ts";
import type { TunnelSettings } from "./edge_options.ts";

/** A match: the tunnel, and what of the target is left for its upstream. */
export interface Route<T> {
  readonly tunnel: T;
  /** `""`, or `/rest` and/or `?query`. */
  readonly target: string;
}

/** Why there is no route. */
export type NoRoute = "unknown_host" | "no_tunnel" | "unsafe_target";

/** Finds the tunnel of a request. `T` carries what the caller keeps per tunnel. */
export class Router<T extends { readonly settings: TunnelSettings }> {
  readonly #hosts: HostTable;
  /** Tunnels of the edge's own hosts. */
  readonly #byPath: PathTable<T>;
  readonly #byHost: readonly { readonly host: Authority; readonly paths: PathTable<T> }[];

  constructor(hosts: HostTable, tunnels: readonly T[]) {
    this.#hosts = hosts;
    this.#byPath = new PathTable(tunnels.filter((tunnel) => tunnel.settings.host === undefined));
    const names = new Set(tunnels.flatMap(({ settings }) => settings.host ?? []));
    this.#byHost = [...names].map((name) => ({
      host: authorityOf(name),
      paths: new PathTable(tunnels.filter((tunnel) => tunnel.settings.host === name)),
    }));
  }

  /** @param target Origin form: a path, and a query if there is one. */
  find(host: string, target: string): Route<T> | NoRoute {
    const isEdge = this.#hosts.isEdge(host);
    const own = this.#byHost.find((entry) => this.#hosts.matches(host, entry.host));
    if (!isEdge && own === undefined) return "unknown_host";

    const mark = target.indexOf("?");
    const path = mark < 0 ? target : target.slice(0, mark);
    const query = mark < 0 ? "" : target.slice(mark);
    if (UNSAFE_PATH.test(path) || UNSAFE_TARGET.test(target)) return "unsafe_target";
    return own?.paths.find(path, query) ?? (isEdge ? this.#byPath.find(path, query) : undefined) ??
      "no_tunnel";
  }
}

/** The tunnels of one host. */
class PathTable<T extends { readonly settings: TunnelSettings }> {
  readonly #exact: ReadonlyMap<string, T>;
  /** Longest first. */
  readonly #prefixes: readonly { readonly prefix: string; readonly tunnel: T }[];

  constructor(tunnels: readonly T[]) {
    this.#exact = new Map(
      tunnels.filter(({ settings }) => settings.protocol === "mcp")
        .map((tunnel) => [tunnel.settings.path, tunnel]),
    );
    this.#prefixes = tunnels.filter(({ settings }) => settings.protocol === "http")
      .map((tunnel) => ({ prefix: tunnel.settings.path.replace(/\/+$/, ""), tunnel }))
      .sort((a, b) => b.prefix.length - a.prefix.length);
  }

  find(path: string, query: string): Route<T> | undefined {
    const tunnel = this.#exact.get(path);
    if (tunnel !== undefined) return { tunnel, target: query };
    for (const { prefix, tunnel } of this.#prefixes) {
      if (!path.startsWith(prefix)) continue;
      const rest = path.slice(prefix.length);
      if (rest === "" || rest.startsWith("/")) return { tunnel, target: rest + query };
    }
    return undefined;
  }
}

/** A fragment has no place in a request target, and neither has anything but visible ASCII. */
const UNSAFE_TARGET = /[^\x21-\x7e]|#/;
