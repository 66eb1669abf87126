/**
 * One request of a connection at a time.
 *
 * Clients may send requests without waiting for answers (RFC 9112, section 9.3.2). Run side by side,
 * thousands of them in one packet would take every exchange of a tunnel through a single connection,
 * past all limits per connection and address; one after the other, a connection is one exchange.
 *
 * @module
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

import { MAX_PIPELINED_REQUESTS } from "../limits.ts";
import { isBehindEnd } from "./answer.ts";

interface Pair {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A connection with a request that is being answered. */
interface Turn {
  current: Pair;
  readonly waiting: Pair[];
}

/** Serves the requests of each connection in order. */
export class Turns {
  readonly #serve: (request: IncomingMessage, response: ServerResponse) => void;
  /** An entry lives as long as an answer is open: an idle connection must not hold the last one. */
  readonly #turns = new WeakMap<Duplex, Turn>();

  constructor(serve: (request: IncomingMessage, response: ServerResponse) => void) {
    this.#serve = serve;
  }

  /** Takes a request, to be served now or when its turn comes. */
  take(request: IncomingMessage, response: ServerResponse): void {
    // For all that follows: errors of both are followed by `close`, theirs or their socket's.
    request.on("error", ignore);
    response.on("error", ignore);
    const { socket } = request;
    if (isBehindEnd(request)) return void request.resume();
    const turn = this.#turns.get(socket);
    if (turn === undefined) return this.#start(socket, { request, response });
    if (turn.waiting.length < MAX_PIPELINED_REQUESTS) {
      turn.waiting.push({ request, response });
      return;
    }
    request.resume();
    socket.destroy();
  }

  /**
   * May bytes be written to the bare socket, as the answer to what cannot be parsed? Before or into
   * another answer they would be taken for it. A request whose body is broken may be answered as itself.
   */
  mayAnswer(socket: Duplex): boolean {
    const turn = this.#turns.get(socket);
    if (turn === undefined) return true;
    const { request, response } = turn.current;
    if (response.writableFinished) return turn.waiting.length === 0;
    return turn.waiting.length === 0 && !request.complete && !response.headersSent;
  }

  #start(socket: Duplex, current: Pair): void {
    const turn: Turn = { current, waiting: [] };
    this.#turns.set(socket, turn);
    this.#run(socket, turn);
  }

  #run(socket: Duplex, turn: Turn): void {
    const { request, response } = turn.current;
    response.on("close", () => this.#next(socket, turn));
    this.#serve(request, response);
  }

  #next(socket: Duplex, turn: Turn): void {
    const next = turn.waiting.shift();
    if (next === undefined) {
      this.#turns.delete(socket);
      return;
    }
    turn.current = next;
    if (!socket.destroyed && !isBehindEnd(next.request)) return this.#run(socket, turn);
    // No answer: it would never arrive. The connection is on its way down, or gone.
    next.request.resume();
    for (const { request } of turn.waiting.splice(0)) request.resume();
    this.#turns.delete(socket);
  }
}

function ignore(): void {}
