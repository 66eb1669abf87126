/**
 * Sequences of heartbeats and of their answers: from 1, each one more than the last.
 *
 * @module
 */

import type { Heartbeat } from "./control.ts";
import { protocolError } from "./varint.ts";

/** Both directions of one control stream. */
export class Heartbeats {
  #sent = 0;
  #answered = 0;
  #received = 0;

  /** Heartbeats sent that are not answered yet. */
  get unanswered(): number {
    return this.#sent - this.#answered;
  }

  /** The next one to send. */
  next(): Heartbeat {
    this.#sent += 1;
    return { type: "heartbeat", sequence: this.#sent };
  }

  /**
   * Takes one of the peer.
   *
   * @returns The answer to a heartbeat; `undefined` for an answer.
   * @throws {TunnelError} `PROTOCOL_ERROR` when the sequence is not the next one.
   */
  receive(message: Heartbeat): Heartbeat | undefined {
    const { type, sequence } = message;
    if (type === "heartbeat") {
      if (sequence !== this.#received + 1) {
        throw protocolError("Cannot accept heartbeat: its sequence is not the next one");
      }
      this.#received = sequence;
      return { type: "heartbeat_ack", sequence };
    }
    if (sequence !== this.#answered + 1 || sequence > this.#sent) {
      throw protocolError("Cannot accept heartbeat_ack: no such heartbeat is unanswered");
    }
    this.#answered = sequence;
    return undefined;
  }
}
