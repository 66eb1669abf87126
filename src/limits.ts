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
 * The same for all addresses together, but for those that a rift with a good credential came from:
 * one costs 0.4 ms (Node 20), most of it the signature, so a fifth of a core.
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
/**
 * First packets of rifts that know this edge's CA which are served before all others, per second:
 * 500 rifts that come back at once, each with two.
 */
export const MEMBER_PACKETS_PER_SECOND = 1_000;
/** First packets with one id that are: two flights, each with its copies. More are a replay. */
export const MAX_MEMBER_ID_USES = 50;
/** How far the time in such a packet may be from the edge's own, ms: a replay is good for as long. */
export const MEMBER_ID_MS = 5 * 60 * 1_000;
/** Silence after which a rift sends the packets of its handshake again, ms; a lost one costs that. */
export const FLIGHT_REPEAT_MS = 200;
/** How often it does in one handshake; then QUIC's own timers go on alone. */
export const MAX_FLIGHT_REPEATS = 15;
/** Packets of a handshake that are kept for it: a client's flight is one or two. */
export const MAX_FLIGHT_DATAGRAMS = 4;
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

/**
 * Pause between two looks at a file of a running edge, ms: a revocation takes effect within half a
 * second. One look is one `stat`.
 */
export const STATE_POLL_MS = 500;
/** Time to wait for another process to finish writing a state file, ms. A write takes a few. */
export const LOCK_WAIT_MS = 5_000;
/** Pause between two tries to be the one who writes, ms. */
export const LOCK_POLL_MS = 10;
/** Largest lock file that is read, bytes: who holds it. */
export const LOCK_FILE_BYTES = 4 * KIB;

/** How long a client may leave an answer unread before it is cut, ms. */
export const ANSWER_STALL_MS = 60_000;

// --- Who clients are (src/identity, src/edge) ---

/** Longest user or group name, characters: every common directory's own limit is below. */
export const MAX_USER_CHARS = 256;
/** Groups of one principal. Entra sends at most 200 in a token. */
export const MAX_GROUPS = 256;
/** User tokens kept: several for each of 10,000 users. Revoked and ended ones go first when it is full. */
export const MAX_USER_TOKENS = 50_000;
/** Largest file of user tokens written, bytes: 50,000 of usual size. Half of what is read of a state file. */
export const MAX_USER_TOKENS_BYTES = 16 * MIB;
/**
 * Active credentials of one rift before the next renewal is refused. It has two while one is renewed
 * and one more after a rotation; whoever copied one cannot fill the list of the edge.
 */
export const MAX_ACTIVE_CREDENTIALS = 4;
/** How often a running edge writes down when its rifts were last seen, ms: `token list` is as exact. */
export const SEEN_WRITE_MS = 60_000;
/** How often it looks which rifts are there, ms: the last look before one left is its last sign. */
export const SEEN_LOOK_MS = 10_000;

/** Different proofs that may fail from one address before the next ones are refused unread. */
export const FAILURES_AT_ONCE = 20;
/** Time in which one failure is forgiven, ms: 20 guesses a minute of 256 bits lead nowhere. */
export const MS_PER_FAILURE = 3_000;
/** Addresses whose failures are remembered; the one that failed least recently goes first. */
export const FAILURE_ADDRESSES = 10_000;
/**
 * How long an exchange may go on after its proof has ended, ms. A call that runs longer than its
 * token should get its answer; an event stream must not outlive its token for days.
 */
export const ENDED_PROOF_GRACE_MS = 60 * 60 * 1_000;
/** How often exchanges in flight are asked whether their proof has ended, ms. */
export const PROOF_CHECK_MS = 60 * 1_000;

// --- Aware tunnels (src/edge) ---

/** Sessions, tasks and events whose owner an edge remembers: about 20 MiB when full. */
export const MAX_OWNED_IDS = 100_000;
/** Of these, one owner's of one kind. More push out that owner's oldest of it. */
export const MAX_OWNED_IDS_EACH = 4_096;
/** How long one that nobody uses is remembered, ms: a day, for streams that are silent at night. */
export const OWNED_ID_MS = 24 * 60 * 60 * 1_000;
/** Longest token read, characters: common issuers stay below 4 KiB, and `max_header_bytes` is 16 KiB. */
export const MAX_TOKEN_CHARS = 16 * KIB;
/** How far an issuer's clock may be from ours, seconds: unsynchronized servers are within it. */
export const CLOCK_TOLERANCE_S = 30;
/** Time that one answer of an issuer may take, ms: a client is waiting. */
export const ISSUER_FETCH_MS = 5_000;
/** Largest document of an issuer, bytes: key sets with certificate chains are below 50 KiB. */
export const MAX_ISSUER_DOCUMENT_BYTES = 512 * KIB;
/** Keys used of one issuer: common ones publish two to ten. */
export const MAX_ISSUER_KEYS = 100;
/** Keys tried for a token that does not say which one signed it: two while they are being changed. */
export const MAX_KEY_TRIES = 4;
/** Age at which an issuer's keys are fetched again, ms: what it removes is out within this time. */
export const ISSUER_KEYS_MS = 10 * 60 * 1_000;
/** Time between two tries to fetch an issuer's keys, ms: made-up key names must not become load. */
export const ISSUER_RETRY_MS = 30 * 1_000;
/** How long keys are used of an issuer that does not answer, ms: an outage of a day locks nobody out. */
export const ISSUER_KEYS_STALE_MS = 24 * 60 * 60 * 1_000;
/** Tokens remembered as good: 4,096 clients at a time need no signature check per request. */
export const MAX_CACHED_TOKENS = 4_096;
/** How long a token is remembered as good, ms. */
export const CACHED_TOKEN_MS = 60 * 1_000;
/** Client certificates remembered: reading one takes 1 ms. */
export const MAX_CACHED_CERTIFICATES = 1_024;

/** Largest JSON answer and largest event that is judged, bytes: a base64 resource of 48 MiB. */
export const MAX_ANSWER_MESSAGE_BYTES = 64 * MIB;
/** Bodies that aware tunnels hold at once, in all, bytes. More are refused with 503. */
export const MAX_HELD_BYTES = 512 * MIB;
/** Of these, one user's, bytes: a largest answer next to a largest request. */
export const MAX_HELD_BYTES_EACH = 80 * MIB;
/**
 * Of one unfinished event, bytes that are not counted among these: most events end with the chunk they came
 * in or with the next one, and counting costs more than they do.
 */
export const FREE_EVENT_BYTES = 64 * KIB;
/** Users whose part of them is remembered while it is empty. */
export const MAX_IDLE_SHARES = 4_096;

// --- Audit trail (src/audit) ---

/** Longest short text of a record, such as a user, characters: `MAX_USER_CHARS` and every id fit. */
export const AUDIT_TEXT_CHARS = 256;
/** Longest name, URI, path or rule of a record, characters: what tells real targets apart. */
export const AUDIT_NAME_CHARS = 1_024;
/** Groups of one record; the rest is cut. Few users are in more. */
export const AUDIT_GROUPS = 64;
/** The other messages of a batch in one record, characters of JSON; the rest is counted. */
export const AUDIT_BATCH_CHARS = 64 * KIB;
/** Most that is kept of the arguments of a call, bytes of JSON, whatever is configured. */
export const AUDIT_ARGUMENTS_BYTES = 64 * KIB;
/** Longest line of a trail, bytes: every text of a record at its bound, each character escaped. */
export const AUDIT_LINE_BYTES = MIB;
/** Time from a record to the write that takes it to the system, ms, with `sync = "batch"`. */
export const AUDIT_FLUSH_MS = 100;
/** Records waiting that are written at once, without waiting for that time, bytes. */
export const AUDIT_FLUSH_BYTES = 256 * KIB;
/** Largest single write, bytes: what is in flight when a disk fails is written again from here. */
export const AUDIT_WRITE_BYTES = MIB;
/** Time between two fsync with `sync = "batch"`, ms: what a power cut can take, besides the batch. */
export const AUDIT_SYNC_MS = 1_000;
/** Records that wait for a disk that fails or is slow, bytes: 100,000 of usual size. More are counted. */
export const AUDIT_QUEUE_BYTES = 64 * MIB;
/** Records waiting at which new exchanges are refused with `on_failure = "block"`, bytes: the exchanges in flight still find room. */
export const AUDIT_BUSY_BYTES = 32 * MIB;
/** Time between two tries to write to a file that failed, ms, and between two looks where it is. */
export const AUDIT_RETRY_MS = 1_000;
/** A write that takes longer than this is told as a failure, ms: a network mount that hangs. */
export const AUDIT_STALL_MS = 5_000;
/** Age at which records that no signature covers get one, ms. */
export const AUDIT_CHECKPOINT_MS = 60_000;
/** What may stand at the end of a file after its last whole line, bytes: one torn write. */
export const AUDIT_TORN_BYTES = 4 * MIB;
/** Files of one trail, as long as they are found by their names. */
export const AUDIT_FILES = 100_000;
/** Records that wait for a collector of OpenTelemetry or are on the way to it; more are dropped and counted. */
export const OTLP_QUEUE_RECORDS = 8_192;
/** The same, bytes of their lines: even in one request, with every escape, below the 20 MiB that collectors take. */
export const OTLP_QUEUE_BYTES = 8 * MIB;
/** Records of one request to the collector: made into JSON in 2 ms, in which no exchange goes on. */
export const OTLP_BATCH_RECORDS = 128;
/** Time that records wait for others to go along with, ms. */
export const OTLP_DELAY_MS = 1_000;
/** Time a collector has for one request, with the tries to repeat it, ms. */
export const OTLP_TIMEOUT_MS = 10_000;
/** Requests of one export that are under way: one, and those that were given up and have not ended. */
export const OTLP_REQUESTS = 4;
/** Time that the last records get to leave when the edge stops, ms. */
export const OTLP_CLOSE_MS = 3_000;
/** Least time between two warnings that records could not be exported, ms. */
export const OTLP_TELL_MS = 60_000;
/** How much of a trail `mcptun audit verify` reads at a time, bytes. */
export const VERIFY_READ_BYTES = MIB;
/** Lines between two signatures whose order is looked at when one does not fit: memory for hashes. */
export const VERIFY_SEGMENT_LINES = 200_000;
/** Problems that `mcptun audit verify` lists; more are counted. */
export const VERIFY_PROBLEMS = 100;

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
/** Longest public key of a renewal, bytes. P-256 has 91. */
export const MAX_PUBLIC_KEY_BYTES = 512;
/** Longest proof of a renewal, bytes. ECDSA on P-256 has at most 72. */
export const MAX_PROOF_BYTES = 512;
/** Longest certificate of a renewal, bytes. Ours have about 500. */
export const MAX_CERTIFICATE_BYTES = 16 * KIB;
/** Renewals one connection may ask for: one in this time, ms. Each is a signature and a file write. */
export const RENEWAL_EVERY_MS = 60_000;
/** Time after which a rift asks again when the edge could not renew just then, ms. */
export const RENEWAL_RETRY_MS = 60_000;
/** Longest wait between two tries of a rift to renew, ms, and between two looks at its clock. */
export const RENEWAL_RETRY_MAX_MS = 60 * 60 * 1_000;
/** Difference of the clocks of edge and rift above which the rift warns, ms. */
export const CLOCK_WARNING_MS = 60_000;
/** Heartbeats without an answer after which the control stream counts as dead. */
export const MAX_MISSED_HEARTBEATS = 3;

// --- Slices of long work (src/runtime/slices.ts) ---

/** Time that long work takes at a stretch, ms, with its last step on top: what an exchange waits for it each time it is its turn. */
export const SLICE_MS = 1;
/** The same on Deno, where the turn of the others takes 1 ms, and much gets done in it. */
export const DENO_SLICE_MS = 4;

// --- Policy (src/policy, src/config) ---

/** Longest pattern, characters. Matching takes pattern times target, see `MAX_TARGET_CHARS`. */
export const MAX_PATTERN_CHARS = 512;
/** All alternatives of one pattern with its braces written out, characters: bounds its time. */
export const MAX_PATTERN_EXPANDED_CHARS = 2_048;
/** Alternatives that the braces of one pattern come to: each is tried in turn. */
export const MAX_PATTERN_ALTERNATIVES = 64;
/** `*` in one pattern: more is hard to read, and time grows with them. */
export const MAX_PATTERN_STARS = 16;
/** Longest tool, prompt or method name or resource URI that is judged, characters: longer is denied. */
export const MAX_TARGET_CHARS = 4_096;
/** Combining marks in a row in a name or URI: the 30 of UAX 15, "Stream-Safe Text Format". */
export const MAX_MARKS_IN_A_ROW = 30;
/** Patterns in one list of a tunnel or a policy: what a person can still read. */
export const MAX_LIST_PATTERNS = 1_000;
/** Largest policy file, bytes: 20,000 policies of 20 patterns each. */
export const MAX_POLICY_FILE_BYTES = 16 * MIB;
/** Largest configuration, bytes: some 10,000 tunnels with rules. */
export const MAX_CONFIG_FILE_BYTES = 16 * MIB;
/** Largest PEM file, and largest file that a command is given to read once, bytes: a whole trust store. */
export const MAX_PEM_FILE_BYTES = 4 * MIB;
/** Policies in one file. */
export const MAX_POLICIES = 20_000;
/** Tests in one policy file. */
export const MAX_POLICY_TESTS = 20_000;
/** Least part of a policy file that is parsed at a time, characters: about 0.5 ms (`bench/results/policy.json`). */
export const POLICY_PIECE_CHARS = 16 * KIB;
/** Part of a policy file that is read at a time, bytes: decoded in a fraction of a millisecond. */
export const POLICY_READ_BYTES = 256 * KIB;
/** Readings of a policy file that is written to meanwhile, before it is refused. */
export const POLICY_READ_TRIES = 3;
/** Patterns of a policy file that are checked in one step: 50 µs each at the very worst. */
export const POLICY_STEP_PATTERNS = 32;
/** Principals whose matching policies are kept compiled, per tunnel: the busiest stay. */
export const MAX_CACHED_PRINCIPALS = 1_024;

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

/**
 * Least average rate of a request body after its first `body_timeout`, bytes per second: 16 MiB may
 * take four and a half hours, a byte a minute may not.
 */
export const MIN_BODY_BYTES_PER_S = KIB;
/** Bytes a chunked body may have besides eight times what is in it: a few chunks read ahead. */
export const CHUNK_OVERHEAD_BYTES = 256 * KIB;
/** Time a client whose request was refused half-way is given to read the answer, ms. */
export const LINGER_MS = 2_000;
/** Time an idle client connection is kept, ms: above the 60 s that common load balancers keep theirs. */
export const CLIENT_KEEP_ALIVE_MS = 75_000;
/** Sockets above `max_connections` that are answered with 503 before more are dropped. */
export const SPARE_CLIENT_SOCKETS = 64;
/** Requests that a client may send on a connection before the answer to the one it waits for. */
export const MAX_PIPELINED_REQUESTS = 32;
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
/** Time a rift has to read its refusal before the edge closes; one that reads it closes itself, ms. */
export const REFUSAL_READ_MS = 1_000;
/** Time an edge tells a rift to wait before it tries again, ms. */
export const REFUSAL_RETRY_MS = 5_000;
/** Different refusals of one rift connection that are warnings in the edge's log; more are `debug`. */
export const MAX_REFUSALS_LOGGED = MAX_TUNNELS_PER_RIFT;
/** First and longest wait between two dials, ms; the real wait is random between 0 and it. */
export const RECONNECT_FIRST_MS = 250;
export const RECONNECT_MAX_MS = 30_000;
/** Dials that fail alike are a warning this often, ms; more are `debug`. */
export const DIAL_WARNING_MS = 10_000;
/** A connection that lived this long resets the wait, ms. */
export const STABLE_CONNECTION_MS = 10_000;
/** First and longest wait between two probes of an upstream that does not answer, ms. */
export const PROBE_FIRST_MS = 500;
export const PROBE_MAX_MS = 10_000;
/** Time one probe may take, ms. */
export const PROBE_TIMEOUT_MS = 3_000;
/** Connections to one upstream: as many as exchanges, since each idle event stream holds one. */
export const MAX_UPSTREAM_CONNECTIONS = MAX_STREAMS;

// --- Configuration (src/cli) ---

/** How often a running edge looks whether its configuration, policy or a certificate changed, ms: in force within a second. */
export const CONFIG_POLL_MS = 500;

// --- Admin listener (src/admin, src/cli) ---

/** Time a command waits for the edge's own answer, ms: it comes from memory. */
export const ADMIN_TIMEOUT_MS = 5_000;
/** Largest answer a command reads, bytes: thousands of tunnels and rifts. */
export const ADMIN_REPLY_BYTES = 16 * MIB;

// --- MCP messages (src/mcp) ---

/** Objects and arrays inside one another in a message: real schemas stay below 30, and no peer's parser runs out of stack at 64. */
export const MAX_JSON_DEPTH = 64;
/** Member names, and elements that are kept, in one request: 4 MiB of real arguments have fewer. */
export const MAX_REQUEST_MEMBERS = 65_536;
/** The same in one message of a server: 10,000 tools with 100 members in each schema. */
export const MAX_ANSWER_MEMBERS = 1_048_576;
/** Members of one object of the protocol itself, such as `params` and `_meta`: the largest has 17 of its own. */
export const MAX_PROTOCOL_MEMBERS = 256;
/**
 * Longest name beside the protocol's own members, bytes as written: it is normalized, which takes
 * quadratic time for combining marks. The protocol's longest, all escaped, has 252.
 */
export const MAX_FOLDED_NAME_BYTES = 256;
/** Member names of one object that are compared one by one; above it a table is faster. */
export const MAX_COMPARED_NAMES = 16;
/**
 * Slots of that table that one name may find taken: at most half of all are, and a million names that
 * nobody made for it need 23. A name that needs more goes into a set.
 */
export const MAX_NAME_STEPS = 32;
/** Names of open objects whose memory, 12 bytes each, is kept for the next text: those of one request. */
export const MAX_KEPT_NAMES = MAX_REQUEST_MEMBERS;
/** Other names of the same hash that one name is compared with: of a million, 130 meet one, none two. */
export const MAX_EQUAL_HASHES = 1;
/** Things one message may name, each of which is judged: resources of one subscription. */
export const MAX_TARGETS = 1_024;
/** Longest tool name, prompt name, task id or resource URI, characters: the modern era has it in a header, whose section is shorter. */
export const MAX_NAMED_CHARS = 16_384;
/** Characters of all that one message names: they are normalized before they are judged. */
export const MAX_NAMED_TOTAL_CHARS = 131_072;
/** Longest JSON text of a request id, bytes: ids are echoed and remembered. */
export const MAX_RPC_ID_BYTES = 512;
/** Names in one message of a server that are held against the rules: each may take 40 µs with 200 patterns. */
export const MAX_JUDGED_NAMES = 20_000;
/** Lines of one event: each is an object while the event is judged. */
export const MAX_EVENT_LINES = 65_536;
/** Elements of one JSON-RPC batch. */
export const MAX_BATCH_ELEMENTS = 100;
/** Longest `Mcp-Session-Id` and `Last-Event-ID`, characters: common ids have 36. */
export const MAX_SESSION_ID_CHARS = 1_024;
/** Connections one admin listener holds; more are closed at once. A scraper and a few people need 3. */
export const ADMIN_MAX_CONNECTIONS = 32;
/** Largest request head an admin listener reads, bytes: a token and what common clients add. */
export const ADMIN_HEADER_BYTES = 8 * KIB;
/** Time a connection to an admin listener may be without a whole request head, ms. */
export const ADMIN_IDLE_MS = 10_000;
/** Time from a request on an admin listener to the end of its answer, ms: a probe and a slow reader. */
export const ADMIN_ANSWER_MS = 10_000;
/** Longest path of a Unix socket, bytes: the least that the systems take (macOS), with its end. */
export const SOCKET_PATH_BYTES = 103;
/** Age up to which a probe's result answers /readyz again, ms: polling must not load private servers. */
export const PROBE_CACHE_MS = 5_000;
/** Time /readyz waits for its probes, ms: below the time its caller waits. */
export const READY_TIMEOUT_MS = 3_000;
/** Probes for /readyz that run at the same time. */
export const READY_PROBES = 8;
/** Time between two looks of `mcptun status --watch`, ms, when none is given. */
export const WATCH_MS = 2_000;

// --- Reading the audit trail (src/audit, src/cli) ---

/** Piece of a trail that is read at once, bytes: its lines are parsed in 10 ms. */
export const AUDIT_READ_BYTES = MIB;
/** Piece that one step of a search by time looks at, bytes: about a hundred lines. */
export const AUDIT_PROBE_BYTES = 64 * KIB;
/**
 * How far lines may be out of order, ms, by the end of what they tell of: a clock that is set back
 * by more than this while the edge runs can hide lines from `--since`.
 */
export const AUDIT_DISORDER_MS = 10_000;
/**
 * How long after `--until` lines are still looked at, ms: an exchange stands where it ended. One that
 * began before `--until` and went on for more than a day is not found by it.
 */
export const AUDIT_LONGEST_MS = 24 * 60 * 60 * 1_000;
/** The same with `-n`, which counts back from there, ms. */
export const AUDIT_LAST_MS = 60_000;
/** Pause between two looks of `audit tail -f` at the end of the trail, ms. */
export const AUDIT_FOLLOW_MS = 250;
/** Lines that `audit tail -n` may ask for. */
export const MAX_TAIL_LINES = 1_000_000;
/** Up to this many rows, `audit tail -n` shows exactly so many: they are held until the end of the trail. */
export const TAIL_HELD_ROWS = 10_000;
/** Longest `--where`, characters, and parentheses and "not" inside one another. */
export const MAX_WHERE_CHARS = 4_096;
export const MAX_WHERE_DEPTH = 64;
/** Intents that wait for their exchange: more than an edge's streams, so only a broken trail has more. */
export const MAX_OPEN_INTENTS = 20_000;
/** Tunnels, users and tools that `audit stats` tells apart, each; the rest is counted together. */
export const MAX_STATS_KEYS = 5_000;
/** Rows of one table of `audit stats`; all are in its JSON. */
export const STATS_ROWS = 20;
/** Kinds of changes that `policy replay` tells apart; the rest is counted together. */
export const MAX_REPLAY_CHANGES = 10_000;

// --- Doctor (src/doctor) ---

/** Time one question of the doctor may take unless it is told otherwise, ms. */
export const DOCTOR_TIMEOUT_MS = 10_000;
/** Largest metadata document the doctor reads, bytes: real ones are below 16 KiB. */
export const DOCTOR_METADATA_BYTES = 256 * KIB;
/** Largest MCP answer the doctor reads, bytes: thousands of tools with their schemas. */
export const DOCTOR_REPLY_BYTES = 4 * MIB;
/** Longest piece of text from outside that the doctor shows, characters: two lines. */
export const DOCTOR_SHOWN_CHARS = 160;
/** Longest line of a finding, characters, whatever went into it. */
export const DOCTOR_LINE_CHARS = 1_000;
/** Addresses of one name that the doctor tries. */
export const DOCTOR_ADDRESSES = 8;
/** Authorization servers of one resource that the doctor asks. */
export const DOCTOR_ISSUERS = 4;
/** Largest token file the doctor reads, bytes: front doors take no header above 64 KiB. */
export const DOCTOR_TOKEN_BYTES = 64 * KIB;
/** Clocks further apart than this are a finding, ms: a new certificate would be refused as one from the future. */
export const DOCTOR_CLOCK_SKEW_MS = 60_000;
/** A public certificate that ends within this time is worth a note, ms: common renewals are done a month ahead. */
export const DOCTOR_CERTIFICATE_NOTE_MS = 14 * 86_400_000;
/** A credential that ends within this time is worth a note, ms. */
export const DOCTOR_CREDENTIAL_NOTE_MS = 7 * 86_400_000;
