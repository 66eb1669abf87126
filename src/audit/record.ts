/**
 * One line of the audit trail: what an exchange was, who asked for it, and what was decided.
 *
 * Members that are not known are absent; there is never an empty string or a null instead.
 * `docs/audit.md` explains each of them, and is checked against {@link RECORD_FIELDS}.
 *
 * @module
 */

import type { Principal } from "../principal.ts";

/** Version of the schema: it grows when a field changes its meaning or goes. */
export const RECORD_VERSION = 1;

/** What became of an exchange. */
export type AuditResult =
  /** The private server answered, and not with an error of MCP. */
  | "ok"
  /** A tool said `isError: true`. */
  | "tool_error"
  /** A JSON-RPC error came back; `error_code` has its code. */
  | "rpc_error"
  /** Not allowed, by policy or by who owns a session, task or event. */
  | "denied"
  /** Refused by the edge for another reason: 401, 404, 413, 429, a message that cannot be read. */
  | "refused"
  /** The private server, the rift or the tunnel failed. */
  | "upstream_error"
  | "aborted_by_client"
  | "timeout";

/** What one message of an exchange named, and what was decided about it. */
export interface AuditCall {
  /** MCP method. */
  readonly method?: string | undefined;
  /** Kind of target that decided. */
  readonly kind?: "tool" | "resource" | "prompt" | "method" | "task" | undefined;
  /** Name or URI of that target. */
  readonly name?: string | undefined;
  /** Source text of the JSON-RPC id, so that a string and a number differ. */
  readonly rpc_id?: string | undefined;
  /** Absent where nothing is decided: on transparent tunnels, and before there is a message. */
  readonly decision?: "allow" | "deny" | undefined;
  /** The layer that decided. */
  readonly layer?: string | undefined;
  /** Why, in words of a fixed list, such as `deny_rule` or `not_in_allow_list`. */
  readonly reason?: string | undefined;
  /** List and pattern of the rule that decided, such as `deny_tools "shell_*"`. */
  readonly rule?: string | undefined;
  /** `file:line:column` of that rule. */
  readonly rule_at?: string | undefined;
  /** What the operator asked to be kept of the arguments. */
  readonly arguments?: unknown;
}

/** All that is known of an exchange when it is over. */
export interface AuditRecord extends AuditCall {
  /** When it began, wall clock, ms since 1970. Written as RFC 3339 with milliseconds, UTC. */
  readonly time: number;
  /** `exchange`: it is over. `intent`: written before its request goes to the private server. */
  readonly type: "exchange" | "intent";
  /** From the first byte of the request's head to the last of the answer, ms. */
  readonly duration_ms?: number | undefined;
  /** Name of the edge. */
  readonly edge: string;
  /** Id of the exchange; the client gets it in the header `Mcptun-Exchange`. */
  readonly exchange: string;
  readonly tunnel?: string | undefined;
  readonly transport?: string | undefined;
  /** Name of the rift that carried it. */
  readonly rift?: string | undefined;
  /** Id of the rift's connection. */
  readonly connection?: string | undefined;
  /** Address of the client. */
  readonly client?: string | undefined;
  readonly user?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  /** How the user was proved. */
  readonly how?: Principal["how"] | undefined;
  readonly era?: "modern" | "legacy" | undefined;
  /** MCP protocol version, as the client named it. */
  readonly protocol?: string | undefined;
  readonly http_method?: string | undefined;
  /** Path without query: a query may hold secrets. */
  readonly http_path?: string | undefined;
  /** HTTP status of the answer; absent when none was sent. */
  readonly status?: number | undefined;
  /** Error code of `docs/errors.md`, when the edge answered by itself. */
  readonly code?: string | undefined;
  /** Keyed digest of the session id: enough to tell sessions apart, not to use one. */
  readonly session?: string | undefined;
  /** The other messages of a batch; the record itself has the one that decided. */
  readonly batch?: readonly AuditCall[] | undefined;
  /** Digest of the rules that were in force. */
  readonly policy?: string | undefined;
  readonly result?: AuditResult | undefined;
  /** JSON-RPC code, with `rpc_error` and `denied`. */
  readonly error_code?: number | undefined;
  /** Body bytes from the client, and to it. */
  readonly bytes_in?: number | undefined;
  readonly bytes_out?: number | undefined;
  /** Events of an event stream. */
  readonly events?: number | undefined;
  /** Entries of a filtered list before and after. */
  readonly items_before?: number | undefined;
  readonly items_after?: number | undefined;
  /** `traceparent` of the request, when it is well formed (W3C Trace Context). */
  readonly traceparent?: string | undefined;
}

/** Every member that a line of an exchange may have, in the order they are written. */
export const RECORD_FIELDS = [
  "v",
  "type",
  "time",
  "duration_ms",
  "edge",
  "exchange",
  "tunnel",
  "transport",
  "rift",
  "connection",
  "client",
  "user",
  "groups",
  "how",
  "era",
  "protocol",
  "http_method",
  "http_path",
  "status",
  "code",
  "method",
  "kind",
  "name",
  "rpc_id",
  "session",
  "decision",
  "layer",
  "reason",
  "rule",
  "rule_at",
  "batch",
  "policy",
  "result",
  "error_code",
  "bytes_in",
  "bytes_out",
  "events",
  "items_before",
  "items_after",
  "traceparent",
  "arguments",
  "prev",
] as const;

/**
 * The members that hold one word of a fixed list. Lines about the trail itself have types as well; the
 * layers are those of the policy, and `ownership` for what belongs to another user.
 */
export const RECORD_WORDS = {
  type: ["exchange", "intent", "open", "checkpoint", "lost"],
  transport: ["quic"],
  how: words<Principal["how"]>({ user_token: 0, jwt: 0, certificate: 0, proxy_header: 0 }),
  era: words<NonNullable<AuditRecord["era"]>>({ modern: 0, legacy: 0 }),
  kind: words<NonNullable<AuditCall["kind"]>>({
    tool: 0,
    resource: 0,
    prompt: 0,
    method: 0,
    task: 0,
  }),
  decision: words<NonNullable<AuditCall["decision"]>>({ allow: 0, deny: 0 }),
  layer: ["tunnel", "user", "ownership"],
  result: words<AuditResult>({
    ok: 0,
    tool_error: 0,
    rpc_error: 0,
    denied: 0,
    refused: 0,
    upstream_error: 0,
    aborted_by_client: 0,
    timeout: 0,
  }),
} as const satisfies Partial<Record<typeof RECORD_FIELDS[number], readonly string[]>>;

/** All words of a type: one that is missing does not compile. */
function words<Word extends string>(all: Readonly<Record<Word, 0>>): readonly Word[] {
  // Proof of the cast: the keys of the record, in the order of its text.
  return Object.keys(all) as Word[];
}

/** Where records go. */
export interface AuditSink {
  /**
   * Why no exchange may begin now, for operators; `undefined` while records can be written, or
   * when the operator chose to go on without them.
   */
  blockedBy(): string | undefined;
  /** Takes the record of an exchange that is over, and keeps no reference to it. Never throws. */
  write(record: AuditRecord): void;
  /**
   * Writes that an exchange is about to go to the private server. Keeps no reference to the record.
   *
   * @returns `undefined` when intents are not asked for; else a promise that resolves once the line
   *   is written, with `false` when it could not be and the exchange must not begin. Never rejects.
   */
  intent(record: AuditRecord): Promise<boolean> | undefined;
}
