/**
 * What becomes of a request of a tunnel, gathered while it is served, and written once, when its
 * answer is over: also when it was refused, denied, cut, or given up by its client.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";

import type { AuditCall, AuditRecord, AuditResult, AuditSink } from "../audit/record.ts";
import type { Clock } from "../clock.ts";
import type { ErrorCode } from "../errors.ts";
import type { Principal } from "../principal.ts";
import type { RiftLink } from "./registry.ts";

/** The trail of an edge. */
export interface ExchangeAudit extends AuditSink {
  /** A keyed digest: equal texts of one purpose give equal digests, and nobody else can tell. */
  digest(purpose: string, text: string): string;
}

/** What all records of an edge share. */
export interface RecordContext {
  readonly audit: ExchangeAudit;
  readonly edgeId: string;
  readonly clock: Clock;
}

/** What is known of a request when its tunnel is. */
export interface RecordStart {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly exchangeId: string;
  readonly tunnel: string;
  /** Address of the client. */
  readonly client: string;
}

/** What the strict reading of a message came to. */
export interface JudgedFacts {
  readonly era?: "modern" | "legacy" | undefined;
  readonly protocol?: string | undefined;
  readonly sessionId?: string | undefined;
  /** One for each message; the one that decided is first. */
  readonly calls: readonly AuditCall[];
  /** Digest of the rules that were asked. */
  readonly policy?: string | undefined;
  /** Set when it goes no further. */
  readonly result?: "denied" | "refused" | undefined;
  readonly errorCode?: number | undefined;
}

/** What the answer of a private server came to, as far as an aware tunnel reads it. */
export interface AnswerFacts {
  readonly result?: "tool_error" | "rpc_error" | undefined;
  readonly errorCode?: number | undefined;
  readonly events?: number | undefined;
  readonly itemsBefore?: number | undefined;
  readonly itemsAfter?: number | undefined;
}

/** Body bytes of an exchange. */
export interface CarriedBytes {
  readonly in: number;
  readonly out: number;
}

type Draft = { -readonly [Key in keyof AuditRecord]: AuditRecord[Key] };

/** One record in the making. */
export class ExchangeRecord {
  readonly #context: RecordContext;
  readonly #response: ServerResponse;
  readonly #startedAtMs: number;
  readonly #draft: Draft;
  #answer: { readonly facts: AnswerFacts } | undefined;
  #isWritten = false;

  constructor(context: RecordContext, start: RecordStart) {
    const { request, response, exchangeId, tunnel, client } = start;
    this.#context = context;
    this.#response = response;
    this.#startedAtMs = context.clock.now();
    const { url = "" } = request;
    const query = url.indexOf("?");
    // Every member at once: an object that grows member by member is copied on and on.
    this.#draft = {
      type: "exchange",
      time: context.clock.wallNow(),
      duration_ms: undefined,
      edge: context.edgeId,
      exchange: exchangeId,
      tunnel,
      transport: undefined,
      rift: undefined,
      connection: undefined,
      client,
      user: undefined,
      groups: undefined,
      how: undefined,
      era: undefined,
      protocol: undefined,
      http_method: request.method,
      http_path: query < 0 ? url : url.slice(0, query),
      status: undefined,
      code: undefined,
      method: undefined,
      kind: undefined,
      name: undefined,
      rpc_id: undefined,
      session: undefined,
      decision: undefined,
      layer: undefined,
      reason: undefined,
      rule: undefined,
      rule_at: undefined,
      batch: undefined,
      policy: undefined,
      result: undefined,
      error_code: undefined,
      bytes_in: undefined,
      bytes_out: undefined,
      events: undefined,
      items_before: undefined,
      items_after: undefined,
      traceparent: traceparentOf(request.rawHeaders),
      arguments: undefined,
    };
    // After everyone else who is told of it: by then all is known.
    response.on("close", () => process.nextTick(() => this.write()));
  }

  get exchangeId(): string {
    return this.#draft.exchange;
  }

  known({ user, groups, how }: Principal): void {
    this.#draft.user = user;
    this.#draft.groups = groups;
    this.#draft.how = how;
  }

  judged(facts: JudgedFacts): void {
    const draft = this.#draft;
    const [call, ...batch] = facts.calls;
    if (call !== undefined) {
      draft.method = call.method;
      draft.kind = call.kind;
      draft.name = call.name;
      draft.rpc_id = call.rpc_id;
      draft.decision = call.decision;
      draft.layer = call.layer;
      draft.reason = call.reason;
      draft.rule = call.rule;
      draft.rule_at = call.rule_at;
      draft.arguments = call.arguments;
    }
    if (batch.length > 0) draft.batch = batch;
    draft.era = facts.era;
    draft.protocol = facts.protocol;
    draft.policy = facts.policy;
    draft.result = facts.result;
    draft.error_code = facts.errorCode;
    if (facts.sessionId !== undefined) {
      draft.session = this.#context.audit.digest("session", facts.sessionId);
    }
  }

  /** The session that the exchange opened. */
  opened(sessionId: string): void {
    this.#draft.session = this.#context.audit.digest("session", sessionId);
  }

  /** Which rift carries it. */
  given({ status }: RiftLink): void {
    this.#draft.rift = status.name;
    this.#draft.connection = status.connection;
    this.#draft.transport = "quic";
  }

  /** The edge answers by itself, or cuts. */
  failed(code: ErrorCode): void {
    this.#draft.code = code;
    this.#draft.result = resultOf(code);
  }

  /** Who reads the answer: asked when it is over. */
  readBy(filter: { readonly facts: AnswerFacts }): void {
    this.#answer = filter;
  }

  /** Body bytes of the request. */
  received(bytes: number): void {
    this.#draft.bytes_in = bytes;
  }

  /** Body bytes of the answer. */
  sent(bytes: number): void {
    this.#draft.bytes_out = bytes;
  }

  /** Writes that it is about to go to the private server, when that is asked for. */
  intent(): Promise<boolean> | undefined {
    const draft = this.#draft;
    draft.type = "intent"; // it is read at once, so no copy is needed
    const written = this.#context.audit.intent(draft);
    draft.type = "exchange";
    return written;
  }

  /** Writes the record. Idempotent. */
  write(): void {
    if (this.#isWritten) return;
    this.#isWritten = true;
    const draft = this.#draft;
    const { headersSent, statusCode, writableFinished } = this.#response;
    draft.duration_ms = this.#context.clock.now() - this.#startedAtMs;
    if (headersSent) draft.status = statusCode;
    const answer = this.#answer?.facts;
    if (answer !== undefined) {
      draft.events = answer.events;
      draft.items_before = answer.itemsBefore;
      draft.items_after = answer.itemsAfter;
    }
    if (draft.result === undefined) {
      if (answer?.result !== undefined) {
        draft.result = answer.result;
        draft.error_code = answer.errorCode;
      } else if (!writableFinished) draft.result = "aborted_by_client";
      else draft.result = statusCode >= 500 ? "upstream_error" : "ok";
    }
    this.#context.audit.write(draft);
  }
}

function resultOf(code: ErrorCode): AuditResult {
  switch (code) {
    case "REQUEST_TIMEOUT":
      return "timeout";
    case "UPSTREAM_FAILED":
    case "UPSTREAM_UNREACHABLE":
    case "TUNNEL_OFFLINE":
    case "INTERNAL":
      return "upstream_error";
    default:
      return "refused";
  }
}

/** W3C Trace Context, section 3.2. Another version, or none that is well formed: left out. */
function traceparentOf(rawHeaders: readonly string[]): string | undefined {
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]!.toLowerCase() !== "traceparent") continue;
    const value = rawHeaders[index + 1]!;
    return TRACEPARENT.test(value) ? value : undefined;
  }
  return undefined;
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
