/** UDP on Node: `node:dgram`. @module */

import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";

import type { UdpOptions, UdpSocket } from "./udp_socket.ts";

/** Asked of the kernel, bytes; it grants at most net.core.rmem_max, often 208 KiB. */
const SOCKET_BUFFER_BYTES = 4 * 1_024 * 1_024;

/** Opens a socket with `node:dgram`. */
export function openNodeUdp(options: UdpOptions): Promise<UdpSocket> {
  const family = isIPv6(options.host) ? 6 : 4;
  const socket = createSocket({
    type: `udp${family}`,
    // Addresses here are always literals: the default look-up costs a tick and a call per datagram.
    lookup: (hostname, _options, callback) => callback(null, hostname, family),
    recvBufferSize: SOCKET_BUFFER_BYTES,
    sendBufferSize: SOCKET_BUFFER_BYTES,
  });
  const peer = options.peer;

  return new Promise((resolve, reject) => {
    const bound = () => {
      const { address, port } = socket.address();
      socket.removeAllListeners("error");
      // ECONNREFUSED and friends on a connected socket are news of the moment; loss recovery and
      // the idle timeout decide, as for any lost datagram.
      socket.on("error", (error: NodeJS.ErrnoException) => {
        if (TRANSIENT.has(error.code ?? "")) return;
        options.onError(error);
      });
      socket.on(
        "message",
        (bytes, from) => options.onDatagram(bytes, peer ?? { host: from.address, port: from.port }),
      );
      let closed: Promise<void> | undefined;
      resolve({
        local: { host: address, port },
        send: peer === undefined
          ? (bytes, to) => {
            if (closed === undefined) socket.send(bytes, to.port, to.host);
          }
          : (bytes) => {
            if (closed === undefined) socket.send(bytes);
          },
        close: () => closed ??= new Promise((done) => socket.close(done)),
      });
    };
    socket.once("error", (error) => {
      reject(error);
      socket.close();
    });
    socket.bind(options.port, options.host, () => {
      if (peer === undefined) bound();
      else socket.connect(peer.port, peer.host, bound);
    });
  });
}

const TRANSIENT = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
  "ENOBUFS",
  "EAGAIN",
  "EMSGSIZE",
  "EPERM",
]);
