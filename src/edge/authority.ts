/**
 * Which `Host` values are served, and by what: exact names, port aware, case-insensitive.
 *
 * @module
 */

import { TunnelError } from "../errors.ts";

/** A host name or address literal, lower case, and the port if one was written. */
export interface Authority {
  readonly host: string;
  readonly port: number | undefined;
}

/** Reads `host`, `host:port`, `[v6]` or `[v6]:port`; `undefined` for anything else. */
export function parseAuthority(text: string): Authority | undefined {
  const match = AUTHORITY.exec(text.toLowerCase());
  if (match === null) return undefined;
  const port = match[2] === undefined ? undefined : Number(match[2]);
  if (port !== undefined && port > 65_535) return undefined;
  return { host: match[1]!, port };
}

/** Reads the `host:port` of a listener. @throws {TunnelError} `CONFIG_INVALID`. */
export function parseListen(text: string): { readonly host: string; readonly port: number } {
  const authority = parseAuthority(text);
  if (authority?.port === undefined) {
    throw new TunnelError("CONFIG_INVALID", `Cannot listen on "${text}": write it as host:port`);
  }
  return { host: bare(authority.host), port: authority.port };
}

/** What a `Host` value must be compared with. */
export interface ListenerFacts {
  readonly scheme: "http" | "https";
  /** The bound port, not the one that was asked for. */
  readonly port: number;
  readonly loopback: boolean;
}

/** The `Host` values of path-matched tunnels and of each tunnel with a host of its own. */
export class HostTable {
  readonly #listener: ListenerFacts;
  readonly #edgeHosts: readonly Authority[];
  /** Answers by the exact text: clients send the same few values. */
  readonly #edgeAnswers = new Map<string, boolean>();

  constructor(listener: ListenerFacts, hosts: readonly string[]) {
    this.#listener = listener;
    this.#edgeHosts = hosts.map(authorityOf);
  }

  /** Is `text` a name of the edge itself? */
  isEdge(text: string): boolean {
    const known = this.#edgeAnswers.get(text);
    if (known !== undefined) return known;
    const seen = parseAuthority(text);
    const answer = seen !== undefined && this.#matchesEdge(seen);
    // Only good names are kept: an attacker must not choose what fills the map.
    if (answer && this.#edgeAnswers.size < MAX_KEPT_NAMES) this.#edgeAnswers.set(text, true);
    return answer;
  }

  /** Is `text` the name `expected`, which may leave out the port? */
  matches(text: string, expected: Authority): boolean {
    const seen = parseAuthority(text);
    return seen !== undefined && this.#same(seen, expected);
  }

  #matchesEdge(seen: Authority): boolean {
    const isLoopback = this.#listener.loopback && LOOPBACK_NAMES.has(seen.host);
    if (isLoopback && (seen.port ?? this.#defaultPort) === this.#listener.port) return true;
    return this.#edgeHosts.some((expected) => this.#same(seen, expected));
  }

  /** A name without a port stands for the scheme's own port and for the one listened on. */
  #same(seen: Authority, expected: Authority): boolean {
    if (seen.host !== expected.host) return false;
    const port = seen.port ?? this.#defaultPort;
    if (expected.port !== undefined) return port === expected.port;
    return seen.port === undefined || port === this.#defaultPort || port === this.#listener.port;
  }

  get #defaultPort(): number {
    return this.#listener.scheme === "https" ? 443 : 80;
  }
}

/** A configured host name. @throws {TunnelError} `CONFIG_INVALID`. */
export function authorityOf(text: string): Authority {
  const authority = parseAuthority(text);
  if (authority === undefined) {
    throw new TunnelError("CONFIG_INVALID", `Cannot serve host "${text}": not a host name`);
  }
  return authority;
}

/** An IPv6 literal without its brackets, as sockets want it. */
function bare(host: string): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}

const AUTHORITY =
  /^([a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?$/;
const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);
const MAX_KEPT_NAMES = 64;
