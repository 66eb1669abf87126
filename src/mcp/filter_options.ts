/** What the filters of a server's messages are given, and what they find. @module */

import { MAX_JUDGED_NAMES, MAX_NAMED_CHARS } from "../limits.ts";
import type { CompletionRequest, TargetKind } from "./client_message.ts";
import type { Edit } from "./edit.ts";
import type { Era, Family } from "./methods.ts";

/** How to filter. */
export interface FilterOptions {
  readonly era: Era;
  /** The method of the request that this exchange began with; `undefined` on any other stream. */
  readonly expect: string | undefined;
  /** `RpcId.key` of that request: in the modern era a response with another id is refused. */
  readonly expectId: string | undefined;
  /**
   * May the caller see it, or be told of it? Called for every name, and with `"method"` for every
   * notification and request of the server.
   */
  readonly allow: (kind: TargetKind, name: string) => boolean;
  /** May the caller use the tunnel at all, now? If not, no notification or request of the server passes. */
  readonly standing: () => boolean;
  /** Largest message, bytes. */
  readonly maxBytes: number;
  /** What the caller asked to complete; without it no completion value passes. */
  readonly completion?: CompletionRequest | undefined;
  /** Families of server requests that were left in the client's capabilities. */
  readonly families: readonly Family[];
}

/** What one message's filtering adds up to. */
export class Findings {
  readonly options: FilterOptions;
  readonly edits: Edit[] = [];
  /** Entries in its lists. */
  before = 0;
  after = 0;
  #asked = 0;

  constructor(options: FilterOptions) {
    this.options = options;
  }

  /** There may be more than a call takes as arguments. */
  add(edits: readonly Edit[]): void {
    for (const edit of edits) this.edits.push(edit);
  }

  /** May the caller see it? Asked about no more than `MAX_JUDGED_NAMES`. */
  allows(kind: TargetKind, name: string): boolean {
    // No client may ask for a longer name, so none may be shown one.
    return ++this.#asked <= MAX_JUDGED_NAMES && name.length <= MAX_NAMED_CHARS &&
      this.options.allow(kind, name);
  }

  /** Was there more than could be asked about? Such a message must not pass: what is cut looks whole. */
  get isCut(): boolean {
    return this.#asked > MAX_JUDGED_NAMES;
  }
}

/** Why a message cannot be judged, so that it is not passed on: one word, and the byte. */
export class FilterRefusal {
  readonly reason: string;
  readonly offset: number;

  constructor(reason: string, offset: number) {
    this.reason = reason;
    this.offset = offset;
  }
}
