/**
 * The upstream of the bench: small answers, bodies each way, event streams.
 *
 *     POST /mcp                         1 KiB of JSON
 *     GET  /down?bytes=N                N bytes
 *     POST /up                          {"bytes": what arrived}
 *     GET  /events?every_ms=N           events that carry the monotonic time of their sending, ns
 *     GET  /events?every_ms=0           one event, then silence
 *
 * Prints {"port":N} when it listens, and ends when stdin does.
 *
 * @module
 */

import { createServer } from "node:http";
import { answerBody } from "../lib/payload.mjs";

const CHUNK = Buffer.alloc(65_536, "0123456789abcdef");
const answer = Buffer.from(answerBody);
let streams = 0;

const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  const url = new URL(request.url, "http://upstream");
  response.on("error", () => response.destroy());
  if (url.pathname === "/down") return down(response, Number(url.searchParams.get("bytes")));
  if (url.pathname === "/up") return up(request, response);
  if (url.pathname === "/events") return events(response, Number(url.searchParams.get("every_ms")));
  request.resume();
  response.writeHead(200, { "content-type": "application/json", "content-length": answer.length });
  response.end(answer);
});

function down(response, bytes) {
  response.writeHead(200, {
    "content-type": "application/octet-stream",
    "content-length": bytes,
  });
  let left = bytes;
  const pump = () => {
    while (left > 0) {
      const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= chunk.length;
      if (!response.write(chunk)) return response.once("drain", pump);
    }
    response.end();
  };
  pump();
}

function up(request, response) {
  let bytes = 0;
  request.on("data", (chunk) => {
    bytes += chunk.length;
  });
  request.on("end", () => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ bytes }));
  });
}

function events(response, everyMs) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.socket.setNoDelay(true);
  let number = 0;
  const send = () => {
    response.write(`data: {"n":${number++},"t":"${process.hrtime.bigint()}"}\n\n`);
  };
  send();
  if (everyMs === 0) return;

  // Streams start out of step, as events of real sessions do.
  let timer = setTimeout(() => {
    timer = setInterval(send, everyMs);
    send();
  }, everyMs * ((streams++ * 0.618_034) % 1));
  response.on("close", () => clearInterval(timer));
}

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.on("end", () => process.exit(0)).resume();
