/**
 * Every hard bound of the product, with its unit and its reason.
 *
 * A buffer, queue, map, timer or retry without a bound here is a defect.
 *
 * @module
 */

const KIB = 1_024;
const MIB = 1_024 * KIB;

// --- QUIC connections (src/transport/quic) ---

/** UDP payload we send at most, bytes. 1,350 passes every common path (1,500 minus IPv6, UDP, tunnels). */
export const UDP_PAYLOAD_BYTES = 1_350;
/** Largest UDP payload we accept, bytes: all that IPv4 can carry. */
export const UDP_RECEIVE_BYTES = 65_527;
/** Silence after which a connection is dead, ms. Five keep-alives fit in it. */
export const IDLE_TIMEOUT_MS = 15_000;
/** Time between keep-alives on a silent connection, ms. Below the 30 s UDP mapping of common NATs. */
export const KEEP_ALIVE_MS = 5_000;
/** Time a handshake may take, ms. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Connections one endpoint holds, established or not. */
export const MAX_CONNECTIONS = 4_096;
/** Connections one endpoint holds whose handshake is not done. */
export const MAX_HANDSHAKES = 256;
/** Concurrent streams one connection allows: one per exchange, so also per idle event stream. */
export const MAX_STREAMS = 10_000;
/** Concurrent streams the edge lets a rift open: the control stream and room for a second attempt. */
export const MAX_RIFT_STREAMS = 4;
/** First receive window of a stream, bytes. What one slow reader can hold. */
export const STREAM_WINDOW_BYTES = 512 * KIB;
/** Largest receive window a fast reader grows to, bytes. */
export const MAX_STREAM_WINDOW_BYTES = 4 * MIB;
/**
 * Receive window of a connection, bytes. 512 stalled readers of `STREAM_WINDOW_BYTES` fit before
 * they can slow anyone else down.
 */
export const CONNECTION_WINDOW_BYTES = 256 * MIB;
/** Bytes a stream queues for sending before `write` says wait. */
export const STREAM_QUEUE_BYTES = 256 * KIB;
/** Lifetime of a Retry token, ms: one round trip of a slow path, with room. */
export const RETRY_TOKEN_MS = 10_000;
/** Longest delay of an acknowledgement that has nothing else to ride on, ms (RFC 9000, 13.2.1 allows max_ack_delay = 25). */
export const ACK_DELAY_MS = 2;
/** Datagrams received before an acknowledgement goes out without waiting. */
export const ACK_EVERY_DATAGRAMS = 8;

// --- Wire protocol (src/wire) ---

/** Largest frame on the control stream, bytes. */
export const MAX_CONTROL_FRAME_BYTES = 64 * KIB;
/** Largest head frame of an exchange, bytes: the front door's header limit plus framing. */
export const MAX_HEAD_BYTES = 64 * KIB;
/** Header fields in one head. */
export const MAX_HEAD_FIELDS = 200;
/** Tunnels one rift claims. */
export const MAX_TUNNELS_PER_RIFT = 64;
