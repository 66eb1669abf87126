/** Sends what it gets on to an edge with a user's token: the suite itself cannot send one. */

import { createServer, request } from "node:http";

/**
 * Starts on a free port of `localhost`.
 *
 * @param {string} edge Origin of the edge.
 * @param {number} port Where to listen.
 * @param {string} token Of a user.
 * @returns {Promise<{stop: () => Promise<void>}>}
 */
export function startSigningProxy(edge, port, token) {
  const server = createServer((incoming, outgoing) => {
    const onward = request(new URL(incoming.url, edge), {
      method: incoming.method,
      // As it came, duplicates too: the edge must see what the suite sent.
      headers: [...incoming.rawHeaders, "Authorization", `Bearer ${token}`],
      setHost: false,
    }, (answer) => {
      outgoing.writeHead(
        answer.statusCode,
        answer.statusMessage,
        answer.rawHeaders,
      );
      outgoing.flushHeaders();
      answer.pipe(outgoing);
      answer.on("error", () => outgoing.destroy());
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "localhost", () => {
      const stop = () =>
        new Promise((stopped) => {
          server.close(() => stopped());
          server.closeAllConnections();
        });
      resolve({ stop });
    });
  });
}
