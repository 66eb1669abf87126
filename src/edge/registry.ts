/**
 * Which rift serves which tunnel now.
 *
 * An interface, because a cluster of edges will keep it elsewhere; this one is one process's.
 *
 * @module
 */

import type { Connection } from "../transport/transport.ts";
import type { RiftStatus } from "./edge_status.ts";

/** One registered rift connection, as the exchange path sees it. */
export interface RiftLink {
  readonly connection: Connection;
  /** In rotation: heartbeats come, and it has not said goodbye. */
  readonly healthy: boolean;
  /** Name of its credential, for logs and status. */
  readonly rift: string;
  readonly status: RiftStatus;
  /** What both sides of its connection can do beyond version 1. */
  readonly features: readonly string[];
  /** An exchange was given to this connection; `exchangeEnded` follows exactly once. */
  exchangeStarted(): void;
  exchangeEnded(): void;
}

/** Tunnels and the connections that serve them. */
export interface TunnelRegistry {
  /** The newest healthy connection. */
  pick(tunnel: string): RiftLink | undefined;
  add(tunnel: string, link: RiftLink): void;
  remove(tunnel: string, link: RiftLink): void;
  /** Settles when a healthy connection serves `tunnel`, or rejects when `signal` aborts. */
  wait(tunnel: string, signal: AbortSignal): Promise<void>;
  /** Connections of a tunnel, newest first. */
  links(tunnel: string): readonly RiftLink[];
}

/** The registry of a single edge. */
export function memoryRegistry(): TunnelRegistry {
  const byTunnel = new Map<string, RiftLink[]>();
  const waiting = new Map<string, Set<() => void>>();

  function pick(tunnel: string): RiftLink | undefined {
    return byTunnel.get(tunnel)?.find((link) => link.healthy);
  }

  return {
    pick,
    add(tunnel, link) {
      const links = byTunnel.get(tunnel);
      if (links === undefined) byTunnel.set(tunnel, [link]);
      else if (!links.includes(link)) links.unshift(link);
      const waiters = waiting.get(tunnel);
      waiting.delete(tunnel);
      for (const wake of waiters ?? []) wake();
    },
    remove(tunnel, link) {
      const links = byTunnel.get(tunnel)?.filter((other) => other !== link) ?? [];
      if (links.length === 0) byTunnel.delete(tunnel);
      else byTunnel.set(tunnel, links);
    },
    wait(tunnel, signal) {
      if (pick(tunnel) !== undefined) return Promise.resolve();
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const waiters = waiting.get(tunnel) ?? new Set();
        waiting.set(tunnel, waiters);
        const onAbort = () => {
          waiters.delete(wake);
          reject(signal.reason);
        };
        const wake = () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        };
        signal.addEventListener("abort", onAbort, { once: true });
        waiters.add(wake);
      });
    },
    links: (tunnel) => byTunnel.get(tunnel) ?? [],
  };
}
