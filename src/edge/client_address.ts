/**
 * Where a request comes from: the peer of the socket, or what the operator's proxy says.
 *
 * @module
 */

import { BlockList, isIP } from "node:net";

import type { EdgeSettings } from "./edge_options.ts";

/** Who may speak for others. */
export class ProxyTrust {
  readonly #behindProxy: boolean;
  readonly #networks: BlockList | undefined;

  constructor(
    { behindProxy, trustedProxies }: Pick<EdgeSettings, "behindProxy" | "trustedProxies">,
  ) {
    this.#networks = trustedProxies.length === 0 ? undefined : blockListOf(trustedProxies);
    // Listed proxies are believed also when the edge ends TLS itself.
    this.#behindProxy = behindProxy || this.#networks !== undefined;
  }

  /** Is what a peer of this address says in `X-Forwarded-*` believed? */
  trusts(address: string): boolean {
    if (!this.#behindProxy) return false;
    return this.#networks === undefined || this.isListed(address);
  }

  /** Is it one of `trusted_proxies`? Only these may name a user. */
  isListed(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#networks?.check(address, family === 6 ? "ipv6" : "ipv4") === true;
  }

  /**
   * The client behind a trusted peer: the last address in `X-Forwarded-For` that is no proxy of
   * ours. What is left of it the client could have written itself.
   */
  clientOf(peer: string, forwardedFor: string | undefined): string {
    if (forwardedFor === undefined || !this.trusts(peer)) return peer;
    let client = peer;
    for (const hop of forwardedFor.split(",").reverse()) {
      const address = plainAddress(hop.trim());
      if (address === undefined) break;
      client = address;
      if (!this.isListed(address)) break;
    }
    return client;
  }
}

/** An address without the IPv4-mapped prefix; `"unknown"` when the socket has none any more. */
export function peerAddress(address: string | undefined): string {
  if (address === undefined) return "unknown";
  return address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address;
}

function blockListOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const type = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(address, type);
    else list.addSubnet(address, Number(bits), type);
  }
  return list;
}

/** `203.0.113.9`, `203.0.113.9:1234`, `2001:db8::1` or `[2001:db8::1]:1234` without its port. */
function plainAddress(text: string): string | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(text)?.[1];
  const bare = bracketed ?? (isIP(text) === 0 ? text.replace(/:\d{1,5}$/, "") : text);
  return isIP(bare) === 0 ? undefined : peerAddress(bare.toLowerCase());
}

const MAPPED = "::ffff:";
