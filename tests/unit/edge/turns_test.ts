import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";

import { Turns } from "../../../src/edge/turns.ts";
import { MAX_PIPELINED_REQUESTS } from "../../../src/limits.ts";

test("Turns serves the requests of a connection in order, and of another one meanwhile", () => {
  const { turns, served } = setUp();
  const connection = new Connection();
  const [first, second, third] = [pair(connection), pair(connection), pair(connection)];
  const other = pair(new Connection());
  for (const one of [first, second, third, other]) take(turns, one);

  assert.deepEqual(served, [first.request, other.request]);
  first.response.emit("close");
  assert.deepEqual(served, [first.request, other.request, second.request]);
  second.response.emit("close");
  assert.deepEqual(served.slice(3), [third.request]);
});

test("An error of a request or of its answer is no exception, served, waiting or dropped", () => {
  const { turns, served } = setUp();
  const connection = new Connection();
  const pairs = Array.from({ length: MAX_PIPELINED_REQUESTS + 2 }, () => pair(connection));
  for (const one of pairs) take(turns, one);
  const [first, waiting, dropped] = [pairs[0]!, pairs[1]!, pairs.at(-1)!];

  assert.deepEqual(served, [first.request]);
  assert.equal(waiting.request.resumed, false);
  assert.equal(dropped.request.resumed, true);
  assert.equal(connection.destroyed, true);
  let emitted = 0;
  for (const { request, response } of [first, waiting, dropped]) {
    // An emitter without a listener throws it.
    request.emit("error", new Error("reset"));
    response.emit("error", new Error("reset"));
    emitted++;
  }
  assert.equal(emitted, 3);
});

test("Who waits for its turn on a connection that is gone is read to its end, and not served", () => {
  const { turns, served } = setUp();
  const connection = new Connection();
  const [first, ...waiting] = Array.from({ length: 3 }, () => pair(connection));
  for (const one of [first!, ...waiting]) take(turns, one);
  connection.destroyed = true;
  first!.response.emit("close");

  assert.deepEqual(served, [first!.request]);
  assert.deepEqual(waiting.map(({ request }) => request.resumed), [true, true]);
});

/** As much of a socket as is looked at. */
class Connection extends EventEmitter {
  destroyed = false;

  destroy(): void {
    this.destroyed = true;
  }
}

class Request extends EventEmitter {
  readonly socket: Connection;
  resumed = false;

  constructor(socket: Connection) {
    super();
    this.socket = socket;
  }

  resume(): void {
    this.resumed = true;
  }
}

interface Pair {
  readonly request: Request;
  readonly response: EventEmitter;
}

function pair(connection: Connection): Pair {
  return { request: new Request(connection), response: new EventEmitter() };
}

function take(turns: Turns, { request, response }: Pair): void {
  turns.take(request as unknown as IncomingMessage, response as unknown as ServerResponse);
}

function setUp(): { readonly turns: Turns; readonly served: unknown[] } {
  const served: unknown[] = [];
  return { turns: new Turns((request) => void served.push(request)), served };
}
