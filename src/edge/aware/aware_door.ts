/**
 * Judges what is asked of an aware tunnel: the body is read whole, scanned strictly, and every tool,
 * resource, prompt and method it names is decided about before a byte goes on.
 *
 * What is forwarded are the bytes that were judged.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";

import { keptArguments } from "../../audit/kept_arguments.ts";
import type { AuditCall } from "../../audit/record.ts";
import type { Clock } from "../../clock.ts";
import type { ErrorCode } from "../../errors.ts";
import { AUDIT_TEXT_CHARS, MAX_ANSWER_MESSAGE_BYTES, MAX_SESSION_ID_CHARS } from "../../limits.ts";
import type { Logger } from "../../log.ts";
import type { ClientMessage, Target } from "../../mcp/client_message.ts";
import { type Classified, classifyRequest } from "../../mcp/classify.ts";
import { stripCapabilities } from "../../mcp/edit.ts";
import {
  batchDenialAnswer,
  type Denial,
  denialAnswer,
  refusalAnswer,
  type RpcAnswer,
  rpcError,
} from "../../mcp/errors.ts";
import { type JsonDocument, NONE } from "../../mcp/document.ts";
import { FAMILIES } from "../../mcp/methods.ts";
import type { Decision } from "../../policy/decide.ts";
import { reasonText } from "../../policy/explain.ts";
import { type Authenticated, ownerOf } from "../../principal.ts";
import type { BodyWatch } from "../body_watch.ts";
import type { JudgedMessage, PolicyDecider } from "../edge_options.ts";
import type { ExchangeAudit, ExchangeRecord } from "../exchange_record.ts";
import type { ServedTunnel } from "../served_tunnel.ts";
import type { ServerMessage } from "../../mcp/filters.ts";
import { AnswerFilter, type AnswerObserver } from "./answer_filter.ts";
import type { ByteBudget } from "./byte_budget.ts";
import { collectBody, type CollectedBody } from "./collect_body.ts";
import { JudgedBody } from "./judged_body.ts";
import type { OwnedId, OwnedIds } from "./owned_ids.ts";

/** What the door is made from. */
export interface AwareDoorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly policy: () => PolicyDecider | undefined;
  readonly owned: OwnedIds;
  readonly budget: ByteBudget;
  readonly bodyWatch: BodyWatch;
  readonly onJudged?: ((judged: JudgedMessage) => void) | undefined;
  /** Digests what a record may not hold; absent when there are no records. */
  readonly digest?: ExchangeAudit["digest"] | undefined;
  readonly maxBodyBytes: () => number;
}

/** A request of a client that was recognized. */
export interface AwareArrival {
  readonly request: IncomingMessage;
  readonly tunnel: ServedTunnel;
  readonly client: Authenticated;
  /** Does a body follow, and how is it framed? */
  readonly body: "none" | "sized" | "chunked";
  readonly record: ExchangeRecord | undefined;
}

/** A request that may go on. */
export interface AwareAdmission {
  readonly kind: "forward";
  /** What was judged, or an edit of it that only takes away; `undefined` without a body. */
  readonly body: JudgedBody | undefined;
  /** Called when it goes on; false: it must not any more, because its answer was given before. */
  readonly begin: () => boolean;
  /** Headers that must not travel on, lower case. */
  readonly strip: readonly string[];
  readonly filter: AnswerFilter;
}

/** What came of judging. */
export type AwareResult =
  | AwareAdmission
  /** Answered here. */
  | { readonly kind: "answer"; readonly answer: RpcAnswer; readonly outcome: "denied" | "refused" }
  | { readonly kind: "fail"; readonly code: ErrorCode }
  /** The client has left. */
  | { readonly kind: "gone" };

/** One for all aware tunnels of an edge. */
export class AwareDoor {
  readonly #options: AwareDoorOptions;

  constructor(options: AwareDoorOptions) {
    this.#options = options;
  }

  /** Calls `done` once, at once when there is no body. */
  judge(arrival: AwareArrival, done: (result: AwareResult) => void): void {
    if (arrival.body === "none") return done(this.#judge(arrival, undefined));
    const { budget, bodyWatch, clock, maxBodyBytes } = this.#options;
    collectBody({
      request: arrival.request,
      framing: arrival.body,
      maxBytes: maxBodyBytes(),
      budget,
      owner: ownerOf(arrival.client.principal),
      watch: bodyWatch,
      clock,
      done: (body) => {
        if (body === "gone") return done({ kind: "gone" });
        if (typeof body === "string") return done({ kind: "fail", code: body });
        const result = this.#judge(arrival, body);
        if (result.kind !== "forward") body.release();
        done(result);
      },
    });
  }

  #judge(arrival: AwareArrival, body: CollectedBody | undefined): AwareResult {
    const { request } = arrival;
    const bytes = body?.bytes ?? NOTHING;
    arrival.record?.received(bytes.length);
    const classified = classifyRequest({
      httpMethod: request.method ?? "",
      rawHeaders: request.rawHeaders,
      body: bytes,
      maxBytes: this.#options.maxBodyBytes(),
    });
    if (classified.outcome === "refused") {
      this.#options.log.info("Request refused", {
        tunnel: arrival.tunnel.settings.name,
        user: arrival.client.principal.user,
        reason: classified.reason,
      });
      arrival.record?.judged({
        calls: [{
          reason: classified.reason,
          ...(classified.id === "null" ? {} : { rpc_id: classified.id }),
        }],
        result: "refused",
        errorCode: classified.code,
      });
      return { kind: "answer", answer: refusalAnswer(classified), outcome: "refused" };
    }
    const judged = new Judgement(this.#options, arrival, classified);
    const refusal = judged.ownership() ?? judged.decisions();
    if (arrival.record !== undefined) judged.tell(arrival.record, refusal);
    if (refusal !== undefined) return refusal;
    return {
      kind: "forward",
      body: body === undefined ? undefined : new JudgedBody(judged.forwardedBody(bytes), body),
      begin: () => judged.begin(),
      strip: classified.strip,
      filter: judged.answerFilter(),
    };
  }
}

/** What is known of a request without its body. */
type ClassifiedFacts = Pick<
  Classified,
  "kind" | "era" | "version" | "messages" | "sessionId" | "lastEventId"
>;

/** As much of a message as is decided about. */
type NamedMessage = Pick<ClientMessage, "kind" | "method" | "id" | "targets" | "node">;

/** One classified request, held against who asks. */
class Judgement implements AnswerObserver {
  readonly #options: AwareDoorOptions;
  readonly #arrival: AwareArrival;
  readonly #classified: ClassifiedFacts;
  /** Until the request goes on: it holds the whole body. */
  #document: JsonDocument | undefined;
  readonly #owner: string;
  readonly #tunnel: string;
  readonly #calls: AuditCall[] = [];

  constructor(options: AwareDoorOptions, arrival: AwareArrival, classified: Classified) {
    this.#options = options;
    this.#arrival = arrival;
    const { kind, era, version, messages, sessionId, lastEventId, document } = classified;
    this.#classified = { kind, era, version, messages, sessionId, lastEventId };
    this.#document = document;
    this.#owner = ownerOf(arrival.client.principal);
    this.#tunnel = arrival.tunnel.settings.name;
  }

  /** Sessions, events and requests of the server belong to who got them; to others they are not there. */
  ownership(): AwareResult | undefined {
    const { sessionId, lastEventId, messages } = this.#classified;
    if (sessionId !== undefined && !this.#owns("session", sessionId)) {
      return notFound("Session not found");
    }
    if (lastEventId !== undefined && !this.#owns("event", this.#scoped(lastEventId))) {
      return notFound("Event not found");
    }
    for (const message of messages) {
      if (message.kind !== "response" || message.id === undefined) continue;
      const asked = this.#id("request", this.#scoped(message.id.key));
      if (!this.#options.owned.belongsTo(asked, this.#owner)) {
        const text = "This answers no request of the server";
        return refusedBody(400, -32600, text);
      }
    }
    return undefined;
  }

  /** The request goes on now; false when another one has given the answer meanwhile. */
  begin(): boolean {
    for (const message of this.#classified.messages) {
      if (message.kind !== "response" || message.id === undefined) continue;
      // One answer for one request.
      const asked = this.#id("request", this.#scoped(message.id.key));
      if (!this.#options.owned.end(asked)) return false;
    }
    return true;
  }

  /** Everything that every message names. */
  decisions(): AwareResult | undefined {
    if (this.#classified.kind === "stream") return this.#streamDenial();
    const judged = this.#classified.messages.map((message) => ({
      message,
      denial: this.#denialOf(message),
    }));
    const first = judged.find(({ denial }) => denial !== undefined)?.denial;
    if (first === undefined) return undefined;
    // A batch goes on whole or not at all: its bytes are not taken apart.
    const isBatch = this.#classified.kind === "batch";
    const answer = isBatch ? batchDenialAnswer(judged) : denialAnswer(first);
    return { kind: "answer", answer, outcome: "denied" };
  }

  /** A stream names nothing; who may not even begin a session may not listen to one. */
  #streamDenial(): AwareResult | undefined {
    const target = this.#entry();
    // Nothing was called, so only a denial goes on record.
    if (this.#allows(target)) return undefined;
    const denial = this.#denialOf({
      kind: "request",
      method: target.name,
      id: undefined,
      targets: [],
      node: NONE,
    });
    if (denial === undefined) return undefined;
    return { kind: "answer", answer: denialAnswer(denial), outcome: "denied" };
  }

  /** What everybody asks first who is let in at all. */
  #entry(): Target {
    return { kind: "method", name: this.#classified.era === "modern" ? DISCOVER : INITIALIZE };
  }

  /** The bytes that were judged, without capabilities that the tunnel does not let through. */
  forwardedBody(bytes: Buffer): Buffer {
    const document = this.#document;
    this.#document = undefined;
    const [message] = this.#classified.messages;
    const { serverRequests } = this.#arrival.tunnel.settings;
    const removed = FAMILIES.filter((family) => !serverRequests.includes(family));
    if (removed.length === 0 || document === undefined || message === undefined) return bytes;
    return stripCapabilities(document, removed) ?? bytes;
  }

  answerFilter(): AnswerFilter {
    const { era } = this.#classified;
    const asked = this.#asked;
    const { budget } = this.#options;
    return new AnswerFilter({
      filter: {
        era,
        expect: asked?.method,
        expectId: asked?.id?.key,
        allow: (what, name) => this.#allows({ kind: what, name }),
        standing: () => this.#allows(this.#entry()),
        completion: asked?.completion,
        families: this.#arrival.tunnel.settings.serverRequests,
        maxBytes: MAX_ANSWER_MESSAGE_BYTES,
      },
      budget,
      owner: this.#owner,
      observer: this,
    });
  }

  /** The one request that the answer is to. */
  get #asked(): ClientMessage | undefined {
    const { kind, messages } = this.#classified;
    return kind === "request" ? messages[0] : undefined;
  }

  /** A session is over when the private server says so, or does not know it. */
  onStatus(status: number): void {
    const { kind, sessionId } = this.#classified;
    if (kind !== "end_session" || sessionId === undefined) return;
    const isOver = status >= 200 && status < 300 || status === 404;
    if (isOver) this.#options.owned.end(this.#id("session", sessionId));
  }

  onSession(id: string): void {
    if (this.#asked?.method !== INITIALIZE) return;
    this.#options.owned.give(this.#id("session", id), this.#owner);
    this.#arrival.record?.opened(id);
    this.#session = id;
  }

  onMessage({ kind, id, taskId }: ServerMessage): void {
    const { owned } = this.#options;
    if (taskId !== undefined) owned.give(this.#id("task", taskId), this.#owner);
    if (kind === "request" && id !== undefined) {
      owned.give(this.#id("request", this.#scoped(id.key)), this.#owner);
    }
  }

  onEventId(id: string): void {
    // A client could not show a longer one.
    if (id.length > MAX_SESSION_ID_CHARS) return;
    this.#options.owned.give(this.#id("event", this.#scoped(id)), this.#owner);
  }

  onRefused(reason: string): void {
    this.#options.log.warn("Private server's answer cannot be judged", {
      tunnel: this.#tunnel,
      method: this.#classified.messages[0]?.method?.slice(0, 64),
      reason,
    });
  }

  /** The session that this exchange opened. */
  #session: string | undefined;

  /** Unique within a session only, or within nothing: others' ids must not stand in the way. */
  #scoped(id: string): string {
    return `${this.#owner}\n${this.#session ?? this.#classified.sessionId ?? ""}\n${id}`;
  }

  /** The first thing that is not allowed. */
  #denialOf(message: NamedMessage): Denial | undefined {
    if (message.kind === "response") return undefined;
    const method: Target = { kind: "method", name: message.method ?? "" };
    let last: { readonly target: Target; readonly decision: Decision } | undefined;
    for (const target of [method, ...message.targets]) {
      const decision = this.#decide(target) ?? OWNED;
      last = { target, decision };
      if (decision.allowed) continue;
      this.#judged(message, last);
      this.#options.log.info("Call denied", {
        tunnel: this.#tunnel,
        user: this.#arrival.client.principal.user,
        kind: target.kind,
        name: target.name.slice(0, 200),
        layer: decision.layer,
        rule: reasonText({ ...decision, decision: "deny" }),
      });
      const denial = { era: this.#classified.era, message, target };
      return this.#arrival.tunnel.settings.rules.onDeny === "explain"
        ? { ...denial, explain: { layer: decision.layer ?? "no", rule: ruleWord(decision) } }
        : denial;
    }
    if (last !== undefined) this.#judged(message, last);
    return undefined;
  }

  /** Tells the record what was read and decided; the message that decided comes first. */
  tell(record: ExchangeRecord, refusal: AwareResult | undefined): void {
    const { era, version, sessionId, messages } = this.#classified;
    const isRefused = refusal?.kind === "answer";
    const calls = this.#calls.filter(({ decision }) => decision === "deny").concat(
      this.#calls.filter(({ decision }) => decision !== "deny"),
    );
    if (calls.length === 0 && isRefused) {
      calls.push({ decision: "deny", layer: "ownership", reason: "not_owner" });
    } else if (calls.length === 0 && messages.length > 0) {
      calls.push({ rpc_id: messages[0]?.id?.raw });
    }
    record.judged({
      era,
      protocol: this.#askedVersion() ?? version,
      sessionId,
      calls,
      policy: this.#options.policy()?.version,
      result: isRefused ? "denied" : undefined,
      errorCode: isRefused ? refusal.answer.code : undefined,
    });
  }

  /** `initialize` asks for a version in its params; a header would only say what it is written in. */
  #askedVersion(): string | undefined {
    const [message] = this.#classified.messages;
    const document = this.#document;
    if (document === undefined || message?.method !== INITIALIZE) return undefined;
    const params = document.member(message.node, "params");
    const node = document.member(params, "protocolVersion");
    if (document.kind(node) !== "string") return undefined;
    // The start of a long one, with a character more than is written, so that a cut is seen. A slice
    // of the whole text would keep all of it in memory.
    const start = document.start(node) + 1;
    return document.end(node) - start <= AUDIT_TEXT_CHARS
      ? document.string(node)
      : document.bytes.toString("utf8", start, start + AUDIT_TEXT_CHARS + 1);
  }

  #judged(message: NamedMessage, { target, decision }: {
    readonly target: Target;
    readonly decision: Decision;
  }): void {
    const { kind, name } = target;
    const method = message.method ?? "";
    if (this.#arrival.record !== undefined) {
      const { rule } = decision;
      this.#calls.push({
        method,
        kind,
        name,
        rpc_id: message.id?.raw,
        decision: decision.allowed ? "allow" : "deny",
        layer: decision.layer,
        reason: decision.reason,
        rule: rule === undefined ? undefined : `${rule.list} ${JSON.stringify(rule.pattern)}`,
        rule_at: rule === undefined ? undefined : `${rule.file}:${rule.line}:${rule.column}`,
        arguments: this.#arguments(message),
      });
    }
    this.#options.onJudged?.({
      tunnel: this.#tunnel,
      principal: this.#arrival.client.principal,
      method,
      target: { kind: kind === "task" ? "method" : kind, name },
      decision,
    });
  }

  /** What the operator asked to be kept of the arguments. */
  #arguments(message: NamedMessage): unknown {
    const { auditArguments } = this.#arrival.tunnel.settings;
    const { digest } = this.#options;
    const document = this.#document;
    if (auditArguments === undefined || auditArguments.keep === "none") return undefined;
    if (digest === undefined || document === undefined) return undefined;
    const node = document.member(document.member(message.node, "params"), "arguments");
    if (node === NONE) return undefined;
    // What the scanner took, JSON.parse takes.
    return keptArguments(auditArguments, JSON.parse(document.text(node)), digest);
  }

  #allows(target: Target): boolean {
    return this.#decide(target)?.allowed ?? true;
  }

  /** `undefined` for what ownership allows. */
  #decide(target: Target): Decision | undefined {
    if (target.kind === "task") {
      return this.#owns("task", target.name)
        ? undefined
        : { allowed: false, reason: "not_owner", layer: "ownership" };
    }
    const policy = this.#options.policy();
    if (policy === undefined) return { allowed: false, reason: "no_layer" };
    const { kind, name } = target;
    return policy.decide(this.#tunnel, this.#arrival.client.principal, { kind, name });
  }

  #owns(kind: OwnedId["kind"], id: string): boolean {
    return this.#options.owned.belongsTo(this.#id(kind, id), this.#owner);
  }

  #id(kind: OwnedId["kind"], id: string): OwnedId {
    return { tunnel: this.#tunnel, kind, id };
  }
}

const INITIALIZE = "initialize";
const DISCOVER = "server/discover";

/** A task that belongs to who asks: no rule is about it. */
const OWNED: Decision = { allowed: true, reason: "ordinary_method", layer: "ownership" };

/** The kind of rule, without its pattern. */
function ruleWord(decision: Decision): string {
  return decision.rule?.list ?? decision.reason;
}

/** As if it were not there: a client then begins a new session. */
function notFound(text: string): AwareResult {
  return refusedBody(404, -32600, text);
}

function refusedBody(httpStatus: number, code: number, message: string): AwareResult {
  const body = rpcError({ id: "null", code, message });
  return { kind: "answer", answer: { httpStatus, code, body }, outcome: "refused" };
}

const NOTHING = Buffer.alloc(0);
