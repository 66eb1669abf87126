/** The QUIC transport: `listen` for the edge, `connect` for the rift. @module */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

import { TunnelError } from "../../errors.ts";
import type { OpenUdp, UdpSocket } from "../../runtime/udp_socket.ts";
import { openUdp } from "../../runtime/udp_socket.ts";
import { ALPN } from "../../wire/alpn.ts";
import type {
  Connection,
  ConnectionEnd,
  ConnectOptions,
  Listener,
  ListenOptions,
  TlsMaterial,
  Transport,
} from "../transport.ts";
import { MemberIds } from "./member_id.ts";
import type { Role } from "./native.ts";
import { nativeConfig } from "./native.ts";
import type { QuicConnection } from "./quic_connection.ts";
import { QuicEndpoint } from "./quic_endpoint.ts";
import type { QuicIdentity } from "./quic_endpoint.ts";

/** What a test may put in place of the real network. */
export interface QuicTransportOptions {
  /** @default The runtime's own UDP sockets. */
  readonly openUdp?: OpenUdp;
}

/** Connections over UDP, with mutual TLS always. */
export function quicTransport(options: QuicTransportOptions = {}): Transport {
  const open = options.openUdp ?? openUdp;
  return {
    listen: (listenOptions) => listen(open, listenOptions),
    connect: (connectOptions) => connect(open, connectOptions),
  };
}

async function listen(open: OpenUdp, options: ListenOptions): Promise<Listener> {
  const { log, clock, signal } = options;
  const identity = identityOf("server", options.tls);
  const endpoint = new QuicEndpoint({
    role: "server",
    identity,
    clock,
    log,
    onConnection: options.onConnection,
  });
  const host = await resolveHost(options.host);
  let socket: UdpSocket;
  try {
    socket = await open({
      host,
      port: options.port,
      onDatagram: (bytes, from) => endpoint.datagram(bytes, from),
      onError: (error) => log.error("UDP socket failed", { cause: error.message }),
    });
  } catch (error) {
    throw bindError(error, options);
  }
  endpoint.attach(socket);
  const close = () => endpoint.close(0, "the edge is closing");
  signal.addEventListener("abort", () => void close(), { once: true });
  if (signal.aborted) await close();
  return {
    address: socket.local,
    get stats() {
      return endpoint.stats;
    },
    useTls: (tls) => endpoint.useIdentity(identityOf("server", tls)),
    close,
  };
}

async function connect(open: OpenUdp, options: ConnectOptions): Promise<Connection> {
  const { log, clock, signal } = options;
  const identity = identityOf("client", options.tls);
  const host = await resolveHost(options.host);
  const remote = { host, port: options.port };
  let onOpen!: (connection: Connection) => void;
  const opened = new Promise<Connection>((resolve) => onOpen = resolve);
  const endpoint = new QuicEndpoint({ role: "client", identity, clock, log, onConnection: onOpen });
  let socket: UdpSocket;
  try {
    socket = await open({
      host: isIP(host) === 6 ? "::" : "0.0.0.0",
      port: 0,
      peer: remote,
      onDatagram: (bytes, from) => endpoint.datagram(bytes, from),
      onError: (error) => log.error("UDP socket failed", { cause: error.message }),
    });
  } catch (error) {
    const cause = (error as Error).message;
    throw new TunnelError("CONNECTION_LOST", `Cannot open a UDP socket: ${cause}`, {
      cause: error,
    });
  }
  endpoint.attach(socket);
  endpoint.whenEmpty(() => void endpoint.close(0, ""));
  const onAbort = () => void endpoint.close(0, "the rift is closing");
  signal.addEventListener("abort", onAbort, { once: true });
  let connection: QuicConnection;
  try {
    connection = endpoint.dial(remote, options.serverName);
  } catch (error) {
    await endpoint.close(0, "");
    const cause = (error as Error).message;
    throw new TunnelError("CONNECTION_LOST", `Cannot dial ${host}:${options.port}: ${cause}`, {
      cause: error,
    });
  }
  void connection.closed.then(() => signal.removeEventListener("abort", onAbort));
  if (signal.aborted) onAbort();
  const ended = connection.closed.then((end) => {
    throw dialError(end, `${options.host}:${options.port}`);
  });
  return await Promise.race([opened, ended]);
}

function identityOf(role: Role, tls: TlsMaterial): QuicIdentity {
  try {
    return { config: nativeConfig(role, tls, ALPN), memberIds: new MemberIds(tls.caPem) };
  } catch (error) {
    const cause = (error as Error).message;
    throw new TunnelError("CREDENTIAL_INVALID", `Cannot use the tunnel certificate: ${cause}`, {
      cause: error,
    });
  }
}

async function resolveHost(host: string): Promise<string> {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  if (isIP(bare) !== 0) return bare;
  try {
    return (await lookup(bare)).address;
  } catch (error) {
    throw new TunnelError("CONNECTION_LOST", `Cannot find the address of "${host}"`, {
      cause: error,
    });
  }
}

function bindError(error: unknown, { host, port }: ListenOptions): TunnelError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EADDRINUSE") {
    const message =
      `Cannot listen on UDP "${host}:${port}": the port is in use; stop what has it, ` +
      "or set another (edge.tunnel_listen, --tunnel-listen)";
    return new TunnelError("ADDRESS_IN_USE", message, { cause: error });
  }
  const cause = (error as Error).message;
  return new TunnelError("CONFIG_INVALID", `Cannot listen on UDP ${host}:${port}: ${cause}`, {
    cause: error,
  });
}

function dialError(end: ConnectionEnd, address: string): TunnelError {
  if (end.kind === "handshake_timeout") {
    return new TunnelError(
      "HANDSHAKE_TIMEOUT",
      `Cannot reach ${address} over UDP: no answer. Is the edge running, and is UDP to this port open on the way?`,
    );
  }
  return new TunnelError("HANDSHAKE_FAILED", `Cannot connect to ${address}: ${end.reason}`);
}
