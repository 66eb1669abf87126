/**
 * What a private server answers on an aware tunnel, without what the caller may not see.
 *
 * A JSON body is held until it is whole; an event stream goes through event by event. What cannot be
 * judged does not pass.
 *
 * @module
 */

import type { Buffer } from "node:buffer";

import { MAX_ANSWER_MESSAGE_BYTES } from "../../limits.ts";
import type { FilterOptions } from "../../mcp/filter_options.ts";
import { type Filtered, filterMessage, type ServerMessage } from "../../mcp/filters.ts";
import { EventRefusal, EventStreamFilter, type EventVerdict } from "../../mcp/sse.ts";
import type { AnswerFacts } from "../exchange_record.ts";
import type { ByteBudget } from "./byte_budget.ts";
import { HeldBody } from "./byte_budget.ts";

/** How the body of an answer is handled. */
export type BodyPlan =
  /** It has none, or it is the plain text of an error. */
  | "pass"
  /** One JSON text. */
  | "whole"
  | "events"
  /** Nobody can say what is in it. */
  | "refuse";

/** What a filter needs, and whom it tells. */
export interface AnswerFilterOptions {
  readonly filter: FilterOptions;
  readonly budget: ByteBudget;
  /** Whose share of the budget a held answer takes, or an unfinished event. */
  readonly owner: string;
  readonly observer: AnswerObserver;
}

/** Told what an answer holds. */
export interface AnswerObserver {
  onStatus(status: number): void;
  /** The session that an answer to `initialize` opens. */
  onSession(id: string): void;
  /** Every message that passes. */
  onMessage(message: ServerMessage): void;
  onEventId(id: string): void;
  /** It cannot be judged. */
  onRefused(reason: string): void;
}

/** The head of an answer, as far as it decides what becomes of the body. */
export interface AnswerHead {
  readonly status: number;
  readonly contentType: string;
  readonly isEncoded: boolean;
  readonly hasBody: boolean;
  readonly sessionId: string | undefined;
}

/** Filters the answer of one exchange. */
export class AnswerFilter {
  readonly #options: AnswerFilterOptions;
  #held: HeldBody | undefined;
  #events: EventStreamFilter | undefined;
  #eventCount = 0;
  /** Entries in lists, before and after; `undefined` while there was no list. */
  #listed: { before: number; after: number } | undefined;
  #failure: ServerMessage["failure"];

  constructor(options: AnswerFilterOptions) {
    this.#options = options;
  }

  /** Called once, with the head. `emit` takes what passes of an event stream. */
  plan(head: AnswerHead, emit: (bytes: Buffer) => void): BodyPlan {
    const { observer } = this.#options;
    observer.onStatus(head.status);
    if (head.status < 400 && head.sessionId !== undefined) observer.onSession(head.sessionId);
    if (!head.hasBody) return "pass";
    if (head.isEncoded) return this.#refuse("encoded");
    const { contentType } = head;
    // Without a type it must be empty, or JSON all the same.
    const isJson = contentType === "" || contentType === "application/json" ||
      JSON_TYPE.test(contentType);
    const isEvents = !isJson && EVENT_TYPE.test(contentType);
    if ((isJson || isEvents) && !isUtf8(contentType)) return this.#refuse("charset");
    const { budget, owner } = this.#options;
    if (isJson) {
      this.#held = new HeldBody(budget, owner, MAX_ANSWER_MESSAGE_BYTES);
      return "whole";
    }
    if (isEvents) {
      this.#events = new EventStreamFilter({
        maxEventBytes: MAX_ANSWER_MESSAGE_BYTES,
        inspect: (data) => this.#inspect(data),
        onId: (id) => observer.onEventId(id),
        emit,
        room: {
          take: (bytes) => budget.take(owner, bytes),
          give: (bytes) => budget.give(owner, bytes),
        },
      });
      return "events";
    }
    // Errors of HTTP itself, such as a proxy's page: no part of MCP is in them.
    return head.status >= 400 && TEXT_TYPE.test(contentType) ? "pass" : this.#refuse("media_type");
  }

  /** Takes a chunk of a body that is held; false when it grows too large. */
  hold(chunk: Uint8Array): boolean {
    const outcome = this.#held?.add(chunk) ?? "no_room";
    if (outcome === "taken") return true;
    this.#refuse(outcome);
    return false;
  }

  /** The held body as it may be seen; `undefined` when it cannot be judged. */
  whole(): Buffer | undefined {
    const held = this.#held;
    if (held === undefined) return undefined;
    const bytes = held.whole();
    if (bytes.length === 0) return bytes;
    const filtered = filterMessage(bytes, this.#options.filter);
    switch (filtered.outcome) {
      case "unchanged":
        this.#passed(filtered);
        return bytes;
      case "rewritten":
        this.#passed(filtered);
        return filtered.bytes;
      case "dropped":
        this.#refuse("dropped");
        return undefined;
      case "refused":
        this.#refuse(filtered.reason);
        return undefined;
    }
  }

  /** Takes a chunk of an event stream; what passes goes to `emit`. @throws when the stream must be cut. */
  push(chunk: Uint8Array): void {
    try {
      this.#events?.push(chunk);
    } catch (error) {
      if (error instanceof EventRefusal) this.#refuse(error.reason);
      else if (!(error instanceof CutStream)) this.#refuse("filter_failed");
      throw error;
    }
  }

  /** The client has taken all that was emitted. */
  written(): void {
    this.#events?.written();
  }

  /** The answer is over, however. Idempotent. */
  close(): void {
    this.#held?.release();
    this.#events?.end();
  }

  #inspect(data: Buffer): EventVerdict {
    this.#eventCount++;
    // Priming events of the legacy era have an id and no data.
    if (data.length === 0) return "pass";
    const filtered = filterMessage(data, this.#options.filter);
    switch (filtered.outcome) {
      case "unchanged":
        this.#passed(filtered);
        return "pass";
      case "rewritten":
        this.#passed(filtered);
        return filtered.bytes;
      case "dropped":
        return "drop";
      case "refused":
        this.#refuse(filtered.reason);
        throw new CutStream(filtered.reason);
    }
  }

  /** What the answer came to, for the audit record. */
  get facts(): AnswerFacts {
    const failure = this.#failure;
    return {
      result: failure === undefined || failure === "tool_error" ? failure : "rpc_error",
      errorCode: typeof failure === "number" ? failure : undefined,
      events: this.#events === undefined ? undefined : this.#eventCount,
      itemsBefore: this.#listed?.before,
      itemsAfter: this.#listed?.after,
    };
  }

  #passed({ before, after, messages }: Passed): void {
    if (before > 0) {
      this.#listed ??= { before: 0, after: 0 };
      this.#listed.before += before;
      this.#listed.after += after;
    }
    for (const message of messages) {
      if (message.verdict !== "pass") continue;
      this.#failure ??= message.failure;
      this.#options.observer.onMessage(message);
    }
  }

  #refuse(reason: string): "refuse" {
    this.#options.observer.onRefused(reason);
    return "refuse";
  }
}

type Passed = Pick<
  Extract<Filtered, { outcome: "unchanged" | "rewritten" }>,
  "before" | "after" | "messages"
>;

/** An event that cannot be judged: nothing after it passes. */
class CutStream extends Error {
  override readonly name = "CutStream";
}

/** Is no charset named but UTF-8? In another one a client reads other text than was judged. */
function isUtf8(contentType: string): boolean {
  if (!contentType.includes(";")) return true;
  const [, ...others] = contentType.split(/charset/i);
  return others.length === 0 || (others.length === 1 && UTF8_CHARSET.test(contentType));
}

const UTF8_CHARSET = /;[ \t]*charset=(?:utf-?8|"utf-?8")[ \t]*(?:;|$)/i;
const JSON_TYPE = /^application\/json[ \t]*(?:;|$)/i;
const EVENT_TYPE = /^text\/event-stream[ \t]*(?:;|$)/i;
const TEXT_TYPE = /^text\/(?:plain|html)[ \t]*(?:;|$)/i;
