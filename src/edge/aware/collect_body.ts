/** Reads a request's whole body, within limits of size, time and memory. @module */

import type { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

import type { Clock } from "../../clock.ts";
import type { ErrorCode } from "../../errors.ts";
import type { BodyWatch, Watch, WatchedBody } from "../body_watch.ts";
import { ChunkOverhead } from "../chunk_overhead.ts";
import { type ByteBudget, HeldBody } from "./byte_budget.ts";

/** How to read it. */
export interface CollectOptions {
  readonly request: IncomingMessage;
  readonly framing: "sized" | "chunked";
  readonly maxBytes: number;
  readonly budget: ByteBudget;
  /** Whose share of the budget it takes. */
  readonly owner: string;
  readonly watch: BodyWatch;
  readonly clock: Clock;
  /** Called once: with the body, which the callee releases, or with why there is none. */
  readonly done: (body: CollectedBody | ErrorCode | "gone") => void;
}

/** A whole body. */
export interface CollectedBody {
  readonly bytes: Buffer;
  /** Gives its room back. Idempotent. */
  release(): void;
}

/** Starts to read; the request must not have been read from. */
export function collectBody(options: CollectOptions): void {
  new Collector(options);
}

class Collector implements WatchedBody {
  progressAtMs: number;
  receivedBytes = 0;
  readonly #options: CollectOptions;
  readonly #held: HeldBody;
  readonly #socket: Socket;
  readonly #overhead: ChunkOverhead | undefined;
  readonly #watch: Watch;
  #over = false;

  constructor(options: CollectOptions) {
    this.#options = options;
    this.#held = new HeldBody(options.budget, options.owner, options.maxBytes);
    this.progressAtMs = options.clock.now();
    const { request, watch } = options;
    this.#socket = request.socket;
    this.#overhead = options.framing === "chunked" ? new ChunkOverhead(request) : undefined;
    request.on("data", this.#onData);
    request.on("end", this.#onEnd);
    this.#socket.on("close", this.#onGone);
    this.#watch = watch.add(this);
  }

  readonly #onData = (chunk: Buffer): void => {
    // What comes after the verdict is dropped.
    if (this.#over) return;
    this.receivedBytes += chunk.length;
    this.progressAtMs = this.#options.clock.now();
    if (this.#overhead?.isTooMuch(this.receivedBytes) === true) {
      return this.#settle("BODY_TOO_LARGE");
    }
    switch (this.#held.add(chunk)) {
      case "taken":
        return;
      case "too_large":
        return this.#settle("BODY_TOO_LARGE");
      case "no_room":
        return this.#settle("STREAM_LIMIT");
    }
  };

  readonly #onEnd = (): void => {
    this.#settle({ bytes: this.#held.whole(), release: () => this.#held.release() });
  };

  readonly #onGone = (): void => this.#settle("gone");

  onStalled(): void {
    this.#settle("REQUEST_TIMEOUT");
  }

  #settle(result: CollectedBody | ErrorCode | "gone"): void {
    if (this.#over) return;
    this.#over = true;
    const { watch, done } = this.#options;
    watch.delete(this.#watch);
    this.#socket.off("close", this.#onGone);
    if (typeof result === "string") this.#held.release();
    done(result);
  }
}
