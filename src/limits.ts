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
/** Connections one endpoint holds whose handshake is not done: 37 KB each, so 10 MB. */
export const MAX_HANDSHAKES = 256;
/** Concurrent streams one connection allows: one per exchange, so also per idle event stream. */
export const MAX_STREAMS = 10_000;
/** Concurrent streams the edge lets a rift open: the control stream and room for a second attempt. */
export const MAX_RIFT_STREAMS = 4;
/** First receive window of a stream, bytes. What a reader that never starts can hold. */
export const STREAM_WINDOW_BYTES = 256 * KIB;
/** Largest receive window a fast reader grows to, bytes: 10 MB/s at 100 ms. */
export const MAX_STREAM_WINDOW_BYTES = MIB;
/**
 * Receive window of a connection, bytes: 1,000 exchanges, the default of one tunnel, that all
 * stall with their largest window cannot close it for the others. `ANSWER_STALL_MS` ends them.
 */
export const CONNECTION_WINDOW_BYTES = 1_024 * MIB;
/**
 * Streams after which a rift moves to a fresh connection. The native object remembers each
 * finished stream: 25 bytes on each side, measured over 600,000; so about 6 MiB.
 */
export const CONNECTION_STREAMS = 250_000;
/**
 * Connections in handshake that one address may hold; one more makes its oldest go. At the most
 * handshakes per second that one address may begin, each has 0.5 s: two round trips of a slow path.
 */
export const MAX_HANDSHAKES_PER_ADDRESS = 128;
/**
 * Handshakes begun per second from one address, and how many it may save up: 100 rifts behind one
 * NAT that all come back after a restart are let in at once. Above it, they try again in a second.
 */
export const HANDSHAKES_PER_ADDRESS_PER_SECOND = 250;
export const HANDSHAKE_BURST_PER_ADDRESS = 250;
/**
 * The same for all addresses together, but for those that a verified rift came from: one costs
 * 0.4 ms (Node 20), most of it the signature, so a fifth of a core.
 */
export const HANDSHAKES_PER_SECOND = 500;
/**
 * First packets with a good Retry token that are looked into per second, from one address and from
 * all: one that no key fits costs 0.17 ms (Node 20), and takes nothing of the above.
 */
export const HANDSHAKE_TRIES_PER_ADDRESS_PER_SECOND = 500;
export const HANDSHAKE_TRIES_PER_SECOND = 1_500;
/** Retry packets per second to one address, and to all: one costs 0.06 ms (Node 20). */
export const RETRIES_PER_ADDRESS_PER_SECOND = 1_000;
export const RETRIES_PER_SECOND = 4_000;
/** What an unfinished handshake is said to weigh, bytes (src/runtime/unseen_memory.ts). */
export const HANDSHAKE_WEIGHT_BYTES = 256 * KIB;
/** Addresses (or /64 networks of IPv6) whose handshakes and Retry packets are counted. */
export const MAX_COUNTED_ADDRESSES = 4_096;
/** Shortest time between two log lines about newcomers that were dropped, ms. */
export const DROP_LOG_MS = 10_000;
/** Bytes a stream queues for sending before `write` says wait. */
export const STREAM_QUEUE_BYTES = 256 * KIB;
/** Lifetime of a Retry token, ms: one round trip of a slow path, with room. */
export const RETRY_TOKEN_MS = 10_000;
/** Longest delay of an acknowledgement that has nothing else to ride on, ms (RFC 9000, 13.2.1 allows max_ack_delay = 25). */
export const ACK_DELAY_MS = 5;
/** Datagrams received before an acknowledgement goes out without waiting. */
export const ACK_EVERY_DATAGRAMS = 8;

/** How often an edge looks whether its tunnel certificate must be renewed, ms. It is, a month ahead. */
export const RENEWAL_CHECK_MS = 12 * 60 * 60 * 1_000;

/** How long a client may leave an answer unread before it is cut, ms. */
export const ANSWER_STALL_MS = 60_000;

// --- Who clients are (src/identity, src/edge) ---

/** Longest user or group name, characters: every common directory's own limit is below. */
export const MAX_USER_CHARS = 256;
/** Groups of one principal. Entra sends at most 200 in a token. */
export const MAX_GROUPS = 256;

// --- Wire protocol (src/wire) ---

/** Largest frame on the control stream, bytes. */
export const MAX_CONTROL_FRAME_BYTES = 64 * KIB;
/** Largest head frame of an exchange, bytes: the front door's header limit plus framing. */
export const MAX_HEAD_BYTES = 64 * KIB;
/** Header fields in one head. */
export const MAX_HEAD_FIELDS = 200;
/** Tunnels one rift claims. */
export const MAX_TUNNELS_PER_RIFT = 64;
/** Protocol versions one hello offers. */
export const MAX_OFFERED_VERSIONS = 16;
/** Features one hello or welcome names. */
export const MAX_FEATURES = 32;
/** Fields in one control message, known or not: every list at its limit, with room. */
export const MAX_CONTROL_FIELDS = 256;
/** Longest text for people in a control message, bytes of UTF-8. */
export const MAX_REASON_BYTES = 200;
/** Longest time a control message may name, ms: one day, so that no timer overflows. */
export const MAX_WIRE_DELAY_MS = 86_400_000;
/** Shortest heartbeat interval an edge may ask for, ms: it must not make a rift busy. */
export const MIN_HEARTBEAT_MS = 100;
/** Heartbeats without an answer after which the control stream counts as dead. */
export const MAX_MISSED_HEARTBEATS = 3;

// --- Sample server (src/sample) ---

/** Legacy sessions the sample server keeps; one more ends the one unused for longest. */
export const SAMPLE_MAX_SESSIONS = 256;
/** Modern subscription streams the sample server keeps open. */
export const SAMPLE_MAX_STREAMS = 1_024;
/** Resources one legacy session of the sample server subscribes to. */
export const SAMPLE_MAX_SUBSCRIPTIONS = 64;
/** Largest request body the sample server reads, bytes: the library's own default. */
export const SAMPLE_MAX_REQUEST_BYTES = 4 * MIB;
/** Longest text a tool of the sample server takes, characters. */
export const SAMPLE_MAX_TEXT_CHARS = 65_536;
/** Longest run of a streaming tool of the sample server, steps. */
export const SAMPLE_MAX_STEPS = 1_000;
/** Longest pause between two steps of a streaming tool of the sample server, ms. */
export const SAMPLE_MAX_STEP_MS = 60_000;

// --- Exchange path (src/edge, src/rift) ---

/** Time a client whose request was refused half-way is given to read the answer, ms. */
export const LINGER_MS = 2_000;
/** Time an idle client connection is kept, ms: above the 60 s that common load balancers keep theirs. */
export const CLIENT_KEEP_ALIVE_MS = 75_000;
/** Sockets above `max_connections` that are answered with 503 before more are dropped. */
export const SPARE_CLIENT_SOCKETS = 64;
/** Buffer of one client socket before a slow reader holds its exchange back, bytes. */
export const CLIENT_SOCKET_BUFFER_BYTES = 64 * KIB;
/** Request bytes the rift collects within one turn before it calls the upstream. */
export const REQUEST_START_BYTES = 256 * KIB;
/** Response bodies up to this size go out in one write with their head, bytes. */
export const ONE_WRITE_BYTES = 16 * KIB;
/** Time the edge asks clients to wait when no rift is connected, seconds. */
export const RETRY_AFTER_S = 2;
/** Time a connected rift has for its hello, and an edge for its answer, ms. */
export const HELLO_TIMEOUT_MS = 10_000;
/** Time between two heartbeats on the control stream, ms: a frozen rift is out of rotation in 10 s. */
export const HEARTBEAT_MS = 5_000;
/** Time a rift that has nothing left to do waits for the edge to close, ms. */
export const GOODBYE_GRACE_MS = 1_000;
/** Time an edge tells a rift to wait before it tries again, ms. */
export const REFUSAL_RETRY_MS = 5_000;
/** First and longest wait between two dials, ms; the real wait is random between 0 and it. */
export const RECONNECT_FIRST_MS = 250;
export const RECONNECT_MAX_MS = 30_000;
/** A connection that lived this long resets the wait, ms. */
export const STABLE_CONNECTION_MS = 10_000;
/** First and longest wait between two probes of an upstream that does not answer, ms. */
export const PROBE_FIRST_MS = 500;
export const PROBE_MAX_MS = 10_000;
/** Time one probe may take, ms. */
export const PROBE_TIMEOUT_MS = 3_000;
/** Connections to one upstream: as many as exchanges, since each idle event stream holds one. */
export const MAX_UPSTREAM_CONNECTIONS = MAX_STREAMS;

// --- Admin listener (src/admin, src/cli) ---

/** Time a command waits for the edge's own answer, ms: it comes from memory. */
export const ADMIN_TIMEOUT_MS = 5_000;
/** Largest answer a command reads, bytes: thousands of tunnels and rifts. */
export const ADMIN_REPLY_BYTES = 16 * MIB;
