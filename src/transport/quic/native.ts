/**
 * The native QUIC binding and its settings. Every setting that matters is explicit: the package's
 * defaults are no idle timeout, early data on and 100 streams.
 *
 * @module
 */

import quiche from "@matrixai/quic/native/quiche.js";
import { CryptoError } from "@matrixai/quic/native/types.js";
import type {
  Config,
  Connection as NativeConnection,
  Header,
} from "@matrixai/quic/native/types.js";

import {
  CONNECTION_WINDOW_BYTES,
  IDLE_TIMEOUT_MS,
  MAX_RIFT_STREAMS,
  MAX_STREAM_WINDOW_BYTES,
  MAX_STREAMS,
  STREAM_WINDOW_BYTES,
  UDP_PAYLOAD_BYTES,
  UDP_RECEIVE_BYTES,
} from "../../limits.ts";
import type { TlsMaterial } from "../transport.ts";

export { quiche };
export type { Config, Header, NativeConnection };

/** Length of the connection ids we choose, bytes: the longest that QUIC allows (RFC 9000, 17.2). */
export const CONNECTION_ID_BYTES: number = quiche.MAX_CONN_ID_LEN;

/** Which end of the connection: the edge listens, the rift dials. */
export type Role = "server" | "client";

/**
 * Settings for one role. One value serves many connections.
 *
 * The peer must present a certificate that `tls.caPem` signed, on both sides: there is no switch
 * for it. Early data is never enabled: a replayed `tools/call` would be a second call.
 *
 * @throws {Error} When BoringSSL does not accept the certificate or the key.
 */
export function nativeConfig(role: Role, tls: TlsMaterial, alpn: string): Config {
  const bytes = (pem: string) => new TextEncoder().encode(pem);
  const verifyPeer = true;
  const allowUnverified = false;
  const config = quiche.Config.withBoringSslCtx(
    verifyPeer,
    allowUnverified,
    bytes(tls.caPem),
    [bytes(tls.keyPem)],
    [bytes(tls.certPem)],
    null,
  );
  config.setApplicationProtos([alpn]);
  config.setMaxIdleTimeout(IDLE_TIMEOUT_MS);
  config.setMaxSendUdpPayloadSize(UDP_PAYLOAD_BYTES);
  config.setMaxRecvUdpPayloadSize(UDP_RECEIVE_BYTES);
  config.setInitialMaxData(CONNECTION_WINDOW_BYTES);
  config.setMaxConnectionWindow(CONNECTION_WINDOW_BYTES);
  config.setInitialMaxStreamDataBidiLocal(STREAM_WINDOW_BYTES);
  config.setInitialMaxStreamDataBidiRemote(STREAM_WINDOW_BYTES);
  config.setMaxStreamWindow(MAX_STREAM_WINDOW_BYTES);
  config.setInitialMaxStreamsBidi(role === "server" ? MAX_RIFT_STREAMS : MAX_STREAMS);
  config.setInitialMaxStreamDataUni(0);
  config.setInitialMaxStreamsUni(0);
  // The send loop is one burst per turn; the binding gives no way to wait for a packet's time.
  config.enablePacing(false);
  return config;
}

/**
 * A QUIC transport error, or the TLS alert inside it (RFC 9001, 4.8), for the local log. The tunnel
 * speaks one TLS version with one kind of key, so what an alert means is always the certificates.
 */
export function nameOfTransportError(code: number): string {
  if (code < quiche.CRYPTO_ERROR_START || code > quiche.CRYPTO_ERROR_STOP) {
    return `QUIC transport error 0x${code.toString(16)}`;
  }
  const alert = CryptoError[code] ?? code - quiche.CRYPTO_ERROR_START;
  return `TLS alert ${alert}: the credential is not from this edge, or has ended; ` +
    "issue a new one there";
}
