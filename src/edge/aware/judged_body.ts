/** A request's body between the judge and the private server. @module */

import { Buffer } from "node:buffer";

import type { CollectedBody } from "./collect_body.ts";

/** The bytes that go on, and their room in the budget until they are sent. */
export class JudgedBody {
  readonly length: number;
  #bytes: Buffer | undefined;
  #held: CollectedBody | undefined;

  /** `bytes` are those of `held`, or an edit of them. */
  constructor(bytes: Buffer, held: CollectedBody) {
    this.length = bytes.length;
    this.#bytes = bytes;
    this.#held = held;
  }

  /** The bytes, once: nothing here keeps them in memory afterwards. */
  take(): Buffer {
    const bytes = this.#bytes ?? NOTHING;
    this.#bytes = undefined;
    return bytes;
  }

  /** They are sent, or never will be. Idempotent. */
  release(): void {
    this.#bytes = undefined;
    this.#held?.release();
    this.#held = undefined;
  }
}

const NOTHING = Buffer.alloc(0);
