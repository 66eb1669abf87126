/** UDP on Deno: `Deno.listenDatagram`, which needs `--unstable-net` (deno.json has it). @module */

import type { UdpOptions, UdpSocket } from "./udp_socket.ts";

interface DenoAddress {
  readonly transport: "udp";
  readonly hostname: string;
  readonly port: number;
}

interface DenoSocket {
  readonly addr: DenoAddress;
  receive(buffer: Uint8Array): Promise<[Uint8Array, DenoAddress]>;
  send(bytes: Uint8Array, to: DenoAddress): Promise<number>;
  close(): void;
}

interface DenoNet {
  listenDatagram?(options: DenoAddress): DenoSocket;
}

/** Opens a socket with `Deno.listenDatagram`. */
export function openDenoUdp(options: UdpOptions): Promise<UdpSocket> {
  const deno = (globalThis as unknown as { Deno: DenoNet }).Deno;
  if (deno.listenDatagram === undefined) {
    return Promise.reject(new Error("Deno has no UDP sockets here: start it with --unstable-net"));
  }
  let socket: DenoSocket;
  try {
    socket = deno.listenDatagram({
      transport: "udp",
      hostname: options.host,
      port: options.port,
    });
  } catch (error) {
    return Promise.reject(withNodeCode(error));
  }
  let open = true;
  let failures = 0;
  let unsent = 0;
  let onAllSent: (() => void) | undefined;
  // Also after a failed send: a lost datagram is the network's business.
  const sent = () => {
    unsent -= 1;
    if (unsent === 0) onAllSent?.();
  };

  const receive = async () => {
    const buffer = new Uint8Array(65_536);
    const peer = options.peer;
    while (open) {
      try {
        const [bytes, from] = await socket.receive(buffer);
        failures = 0;
        if (peer !== undefined && (from.port !== peer.port || from.hostname !== peer.host)) {
          continue;
        }
        options.onDatagram(bytes, { host: from.hostname, port: from.port });
      } catch (error) {
        if (!open) return;
        // A refused earlier send surfaces here once; a socket that only fails is broken.
        if (++failures < MAX_RECEIVE_FAILURES) continue;
        options.onError(error as Error);
        return;
      }
    }
  };
  void receive(); // Ends with the socket; every failure is handled inside.

  return Promise.resolve({
    local: { host: socket.addr.hostname, port: socket.addr.port },
    send(bytes, to) {
      if (!open) return;
      unsent += 1;
      socket.send(bytes, { transport: "udp", hostname: to.host, port: to.port })
        .then(sent, sent);
    },
    async close() {
      if (!open) return;
      open = false;
      // A datagram that still waits would go down with the socket, and with it the news of the end.
      if (unsent > 0) await new Promise<void>((resolve) => onAllSent = resolve);
      socket.close();
    },
  });
}

const MAX_RECEIVE_FAILURES = 16;

function withNodeCode(error: unknown): unknown {
  const name = (error as Error).name;
  if (name === "AddrInUse") return Object.assign(error as Error, { code: "EADDRINUSE" });
  if (name === "AddrNotAvailable") return Object.assign(error as Error, { code: "EADDRNOTAVAIL" });
  return error;
}
