/** Writes a web `Response` to a Node response, and gives it up the moment the client does. @module */

import type { ServerResponse } from "node:http";

/**
 * Sends `answer` and resolves when it is sent or the client has gone.
 *
 * A client that goes away cancels the body at once, also while nothing is being sent: an event
 * stream that stays open would otherwise keep its session's only stream taken until the next event.
 */
export async function sendAnswer(response: ServerResponse, answer: Response): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.flushHeaders();
  const body: ReadableStream<Uint8Array> | null = answer.body;
  if (body === null) {
    response.end();
    return;
  }

  const reader = body.getReader();
  const gone = () => {
    // A body that already failed rejects here too; the reading loop below has seen it.
    reader.cancel().catch(() => undefined);
  };
  response.once("close", gone);
  if (response.destroyed) gone();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!response.write(value)) await drained(response);
    }
    response.end();
  } catch {
    // The body broke off: the client must see a broken answer, not a complete one.
    response.destroy();
  } finally {
    response.off("close", gone);
  }
}

/** Resolves when the response takes bytes again, or will never. */
function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = () => {
      response.off("drain", settle);
      response.off("close", settle);
      resolve();
    };
    response.once("drain", settle);
    response.once("close", settle);
  });
}
