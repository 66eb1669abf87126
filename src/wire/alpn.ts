/** The name of the tunnel protocol inside the TLS handshake (RFC 7301). @module */

/** Offered and required by both sides; a peer of another protocol never completes the handshake. */
export const ALPN = "mcptun/1";
