/**
 * Every failure mcptun expects, and the one table that says what the outside sees of it.
 *
 * A remote peer gets the code and the fixed sentence of the table, never a cause, a path or a
 * stack: those stay in the local log.
 *
 * @module
 */

/** What the outside sees of one error code. */
export interface ErrorFacts {
  /** May a rift dial again after it? */
  readonly retry: boolean;
  /** Process exit code when a command ends with it: 1 failed, 2 usage or configuration. */
  readonly exit: 1 | 2;
  /** HTTP status an MCP client sees, when the code can reach one. */
  readonly http?: number;
  /** Application error code on QUIC streams and connections, when the code can reach one. */
  readonly quic?: number;
  /** The fixed sentence a remote peer sees. */
  readonly sentence: string;
}

/** The only place where an error code meets an exit code, an HTTP status or a QUIC code. */
export const ERROR_TABLE = {
  // Usage and configuration.
  USAGE: { retry: false, exit: 2, sentence: "Wrong usage" },
  CONFIG_INVALID: { retry: false, exit: 2, sentence: "The configuration is not valid" },
  POLICY_PROBLEMS: { retry: false, exit: 1, sentence: "The policy file has problems" },
  CREDENTIAL_INVALID: { retry: false, exit: 2, sentence: "The credential is not valid" },
  STATE_UNUSABLE: { retry: false, exit: 1, sentence: "The state directory is not usable" },
  FILE_EXISTS: { retry: false, exit: 1, sentence: "The file exists already" },
  ADDRESS_IN_USE: { retry: false, exit: 1, sentence: "The address is in use" },
  NO_EDGE: { retry: false, exit: 1, sentence: "No edge answers" },
  AUDIT_UNREADABLE: { retry: false, exit: 2, sentence: "The audit trail cannot be read" },
  INTERNAL: { retry: true, exit: 1, http: 500, quic: 0x01, sentence: "Internal error" },
  // Tunnel connections.
  CONNECTION_CLOSED: { retry: true, exit: 1, quic: 0x00, sentence: "The connection is closed" },
  CONNECTION_LOST: { retry: true, exit: 1, sentence: "The connection was lost" },
  HANDSHAKE_FAILED: { retry: true, exit: 1, sentence: "The handshake failed" },
  HANDSHAKE_TIMEOUT: { retry: true, exit: 1, quic: 0x04, sentence: "The handshake took too long" },
  PROTOCOL_ERROR: { retry: false, exit: 1, quic: 0x02, sentence: "The peer broke the protocol" },
  REFUSED: { retry: true, exit: 1, quic: 0x03, sentence: "The edge refused the registration" },
  REPLACED: { retry: false, exit: 1, quic: 0x05, sentence: "A newer rift took over" },
  // Exchanges.
  ABORTED: { retry: true, exit: 1, quic: 0x10, sentence: "The exchange was aborted" },
  STREAM_LIMIT: { retry: true, exit: 1, http: 503, quic: 0x11, sentence: "Too many exchanges" },
  UPSTREAM_UNREACHABLE: {
    retry: true,
    exit: 1,
    http: 502,
    quic: 0x12,
    sentence: "The private server did not answer",
  },
  UPSTREAM_FAILED: {
    retry: true,
    exit: 1,
    http: 502,
    quic: 0x13,
    sentence: "The private server broke off its answer",
  },
  TUNNEL_OFFLINE: { retry: true, exit: 1, http: 503, sentence: "No rift serves this tunnel now" },
  // Front door.
  BAD_REQUEST: { retry: false, exit: 1, http: 400, sentence: "The request is not valid" },
  UNAUTHENTICATED: { retry: false, exit: 1, http: 401, sentence: "A valid token is required" },
  INSUFFICIENT_SCOPE: { retry: false, exit: 1, http: 403, sentence: "The token lacks a scope" },
  AUTH_UNAVAILABLE: { retry: true, exit: 1, http: 503, sentence: "Tokens cannot be checked now" },
  AUDIT_UNAVAILABLE: {
    retry: true,
    exit: 1,
    http: 503,
    sentence: "The audit trail cannot be written now",
  },
  ORIGIN_REFUSED: { retry: false, exit: 1, http: 403, sentence: "This Origin is not allowed" },
  NO_ROUTE: { retry: false, exit: 1, http: 404, sentence: "No tunnel at this path" },
  METHOD_REFUSED: { retry: false, exit: 1, http: 405, sentence: "This method is not allowed" },
  REQUEST_TIMEOUT: { retry: true, exit: 1, http: 408, sentence: "The request took too long" },
  BODY_TOO_LARGE: { retry: false, exit: 1, http: 413, sentence: "The request body is too large" },
  TOO_MANY_FAILURES: {
    retry: true,
    exit: 1,
    http: 429,
    sentence: "Too many failed attempts from this address",
  },
  TOO_MANY_FROM_ADDRESS: {
    retry: true,
    exit: 1,
    http: 429,
    sentence: "Too many connections from this address",
  },
  TOO_MANY_STREAMS: { retry: true, exit: 1, http: 429, sentence: "Too many event streams" },
  HOST_REFUSED: { retry: false, exit: 1, http: 421, sentence: "This Host is not served here" },
  TOO_MANY_CONNECTIONS: { retry: true, exit: 1, http: 503, sentence: "Too many connections" },
  HEADERS_TOO_LARGE: { retry: false, exit: 1, http: 431, sentence: "The headers are too large" },
} as const satisfies Record<string, ErrorFacts>;

/** The stable name of an expected failure. */
export type ErrorCode = keyof typeof ERROR_TABLE;

/** An expected failure. `message` is for the local operator; the peer sees `facts.sentence`. */
export class TunnelError extends Error {
  override readonly name = "TunnelError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** The table row of this error's code. */
  get facts(): ErrorFacts {
    return ERROR_TABLE[this.code];
  }
}

/** The error code behind a QUIC application error code; `undefined` for an unknown number. */
export function errorCodeOfQuic(quic: number): ErrorCode | undefined {
  return CODE_OF_QUIC.get(quic);
}

/** The QUIC application code of an error; `INTERNAL` for codes that never travel. */
export function quicOf(code: ErrorCode): number {
  const facts: ErrorFacts = ERROR_TABLE[code];
  return facts.quic ?? ERROR_TABLE.INTERNAL.quic;
}

const CODE_OF_QUIC: ReadonlyMap<number, ErrorCode> = new Map(
  (Object.entries(ERROR_TABLE) as [ErrorCode, ErrorFacts][]).flatMap(([code, facts]) =>
    facts.quic === undefined ? [] : [[facts.quic, code] as const]
  ),
);
