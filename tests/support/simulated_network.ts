/**
 * A network inside one process, for the QUIC endpoint: addresses, latency, loss, reordering,
 * duplication, damage and an MTU. What happens to the n-th datagram follows from the seed.
 *
 * @module
 */

import type { OpenUdp, UdpAddress } from "../../src/runtime/udp_socket.ts";

/** The faults of a simulated network. Chances are 0 to 1. */
export interface NetworkFaults {
  readonly seed: number;
  /** Chance that a datagram is lost. */
  readonly loss?: number;
  /** Chance that a datagram arrives twice. */
  readonly duplicate?: number;
  /** Chance that a datagram is overtaken by the next few. */
  readonly reorder?: number;
  /** Chance that one byte of a copy of a datagram is changed; the copy comes before the original. */
  readonly forge?: number;
  /** Time under way, ms; 0 for the next turn of the loop. */
  readonly latencyMs?: number;
  /** Larger datagrams are lost, bytes. */
  readonly mtu?: number;
}

/** A simulated network and what happened on it. */
export interface SimulatedNetwork {
  readonly openUdp: OpenUdp;
  readonly counts: {
    sent: number;
    lost: number;
    duplicated: number;
    reordered: number;
    forged: number;
  };
  /** Datagrams from `from` now leave from another port, as after a NAT lost its mapping. */
  rebind(from: UdpAddress): void;
  /** Datagrams from this local port now leave from another host, and answers to it come back. */
  move(port: number, host: string): void;
  /** Nothing arrives any more, until called again with false. */
  blackhole(on: boolean): void;
  /** Sends raw bytes to an address, from an address nobody listens on. */
  inject(bytes: Uint8Array, from: UdpAddress, to: UdpAddress): void;
  /** Sees every datagram as it is sent. */
  onSend: ((bytes: Uint8Array, from: UdpAddress, to: UdpAddress) => void) | undefined;
}

/** Makes a network. */
export function simulatedNetwork(faults: NetworkFaults): SimulatedNetwork {
  const random = mulberry32(faults.seed);
  const sockets = new Map<string, (bytes: Uint8Array, from: UdpAddress) => void>();
  const outside = new Map<string, UdpAddress>();
  const inside = new Map<string, UdpAddress>();
  const counts = { sent: 0, lost: 0, duplicated: 0, reordered: 0, forged: 0 };
  let nextPort = 50_000;
  let black = false;

  const happens = (chance: number | undefined) => chance !== undefined && random() < chance;
  const later = (delayMs: number, deliver: () => void) => {
    if (delayMs === 0) setImmediate(deliver);
    else setTimeout(deliver, delayMs);
  };
  const deliver = (bytes: Uint8Array, from: UdpAddress, to: UdpAddress) => {
    if (black) return;
    const target = inside.get(keyOf(to)) ?? to;
    sockets.get(keyOf(target))?.(new Uint8Array(bytes), from);
  };

  const network: SimulatedNetwork = {
    counts,
    onSend: undefined,
    blackhole: (on) => black = on,
    move(port, host) {
      const from = { host: "127.0.0.1", port };
      outside.set(keyOf(from), { host, port });
      inside.set(keyOf({ host, port }), from);
    },
    rebind(from) {
      const fresh = { host: from.host, port: nextPort++ };
      outside.set(keyOf(from), fresh);
      inside.set(keyOf(fresh), from);
    },
    inject: (bytes, from, to) => later(0, () => deliver(bytes, from, to)),
    openUdp(options) {
      const host = options.host === "0.0.0.0" ? "127.0.0.1" : options.host;
      const local = { host, port: options.port === 0 ? nextPort++ : options.port };
      sockets.set(keyOf(local), options.onDatagram);
      return Promise.resolve({
        local,
        send(bytes, to) {
          counts.sent += 1;
          const from = outside.get(keyOf(local)) ?? local;
          network.onSend?.(bytes, from, to);
          const copy = new Uint8Array(bytes);
          const latencyMs = faults.latencyMs ?? 0;
          if (copy.length > (faults.mtu ?? Infinity) || happens(faults.loss)) {
            counts.lost += 1;
            return;
          }
          if (happens(faults.forge)) {
            counts.forged += 1;
            const forged = new Uint8Array(copy);
            forged[Math.floor(random() * forged.length)]! ^= 1 + Math.floor(random() * 255);
            later(latencyMs, () => deliver(forged, from, to));
          }
          if (happens(faults.duplicate)) {
            counts.duplicated += 1;
            later(latencyMs, () => deliver(copy, from, to));
          }
          if (happens(faults.reorder)) {
            counts.reordered += 1;
            later(latencyMs + 2, () => deliver(copy, from, to));
          } else later(latencyMs, () => deliver(copy, from, to));
        },
        close() {
          sockets.delete(keyOf(local));
          return Promise.resolve();
        },
      });
    },
  };
  return network;
}

function keyOf(address: UdpAddress): string {
  return `${address.host}:${address.port}`;
}

/** A small seeded generator (public domain, by Tommy Ettinger): numbers from 0 up to 1. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
