/**
 * From `Host` and request target to a tunnel.
 *
 * Default deny: what no tunnel claims has no route.
 *
 * @module
 */

import { UNSAFE_PATH, WELL_KNOWN } from "../wire/text.ts";
import type { Authority, HostTable } from "./authority.ts";
import { authorityOf } from "./authority.ts";
import type { TunnelSettings } from "./edge_options.ts";

/** A match: the tunnel, and what of the target is left for its upstream. */
export interface Route<T> {
  readonly tunnel: T;
  /**
   * What is asked for: the tunnel itself; a well-known document of its private server, which does
   * its own authentication; or the metadata that the edge has about a tunnel it guards.
   */
  readonly what: "endpoint" | "well_known" | "metadata";
  /** For the endpoint `""`, or `/rest` and/or `?query`; else the whole target. */
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
    const tables = [...(own === undefined ? [] : [own.paths]), ...(isEdge ? [this.#byPath] : [])];
    const wellKnown = WELL_KNOWN.exec(path);
    if (wellKnown !== null) {
      const [, document, about = wellKnown[3] ?? ""] = wellKnown;
      // What the edge says about a tunnel it guards comes before what is behind a route.
      if (document === "oauth-protected-resource") {
        const tunnel = first(tables, (table) => table.guarded(about));
        if (tunnel !== undefined) return { tunnel, what: "metadata", target };
      }
      const route = first(tables, (table) => table.find(path, query));
      if (route !== undefined) return route;
      const tunnel = first(tables, (table) => table.selfGuarded(about));
      return tunnel === undefined ? "no_tunnel" : { tunnel, what: "well_known", target };
    }
    return first(tables, (table) => table.find(path, query)) ?? "no_tunnel";
  }
}

/** The tunnels of one host. */
class PathTable<T extends { readonly settings: TunnelSettings }> {
  readonly #exact: ReadonlyMap<string, T>;
  /** Longest first. */
  readonly #prefixes: readonly { readonly prefix: string; readonly tunnel: T }[];
  readonly #tunnels: readonly T[];

  constructor(tunnels: readonly T[]) {
    this.#tunnels = tunnels;
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
    if (tunnel !== undefined) return { tunnel, what: "endpoint", target: query };
    for (const { prefix, tunnel } of this.#prefixes) {
      if (!path.startsWith(prefix)) continue;
      const rest = path.slice(prefix.length);
      if (rest === "" || rest.startsWith("/")) {
        return { tunnel, what: "endpoint", target: rest + query };
      }
    }
    return undefined;
  }

  /** The tunnel with this path that the edge guards; `""` is the only one of the host. */
  guarded(about: string): T | undefined {
    return this.#about(about, ({ settings }) => settings.auth === "edge");
  }

  /** The MCP tunnel with this path whose private server authenticates; `""` is the only one. */
  selfGuarded(about: string): T | undefined {
    return this.#about(
      about,
      ({ settings }) => settings.auth === "upstream" && settings.protocol === "mcp",
    );
  }

  #about(about: string, wanted: (tunnel: T) => boolean): T | undefined {
    const named = this.#tunnels.find(({ settings }) =>
      (settings.path === "/" ? "" : settings.path) === about
    );
    if (named !== undefined) return wanted(named) ? named : undefined;
    const [only, ...others] = this.#tunnels;
    return about === "" && others.length === 0 && only !== undefined && wanted(only)
      ? only
      : undefined;
  }
}

function first<A, B>(list: readonly A[], read: (item: A) => B | undefined): B | undefined {
  for (const item of list) {
    const found = read(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A fragment has no place in a request target, and neither has anything but visible ASCII. */
const UNSAFE_TARGET = /[^\x21-\x7e]|#/;
