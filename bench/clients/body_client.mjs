/**
 * Moves bodies over one kept-alive connection, one after the other, and times each.
 *
 * Command: {"kind":"down"|"up","base":URL,"bytes":N,"count":N}.
 * Answer: {"seconds":[per transfer]}.
 *
 * @module
 */

import { Agent, request } from "node:http";
import { serveCommands } from "./stdio.mjs";

const CHUNK = Buffer.alloc(65_536, "fedcba9876543210");
const TRANSFER_TIMEOUT_MS = 60_000;
const agent = new Agent({ keepAlive: true, maxSockets: 1, noDelay: true });

await serveCommands(async ({ kind, base, bytes, count }) => {
  const seconds = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await (kind === "down"
      ? download(`${base}/down?bytes=${bytes}`, bytes)
      : upload(`${base}/up`, bytes));
    seconds.push((performance.now() - start) / 1_000);
  }
  return { seconds };
});

function download(url, expected) {
  return exchange(
    url,
    { method: "GET" },
    (outgoing) => outgoing.end(),
    (answer, resolve, reject) => {
      let bytes = 0;
      answer.on("data", (chunk) => {
        bytes += chunk.length;
      });
      answer.on(
        "end",
        () =>
          bytes === expected
            ? resolve()
            : reject(new Error(`${bytes} of ${expected} bytes arrived`)),
      );
    },
  );
}

function upload(url, bytes) {
  const headers = { "content-type": "application/octet-stream", "content-length": bytes };
  const send = (outgoing) => {
    let left = bytes;
    const pump = () => {
      while (left > 0) {
        const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= chunk.length;
        if (!outgoing.write(chunk)) return outgoing.once("drain", pump);
      }
      outgoing.end();
    };
    pump();
  };
  return exchange(url, { method: "POST", headers }, send, (answer, resolve, reject) => {
    let text = "";
    answer.on("data", (chunk) => {
      text += chunk;
    });
    answer.on(
      "end",
      () => text === JSON.stringify({ bytes }) ? resolve() : reject(new Error(`answer ${text}`)),
    );
  });
}

function exchange(url, options, send, receive) {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent, ...options });
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`no end in ${TRANSFER_TIMEOUT_MS} ms`)),
      TRANSFER_TIMEOUT_MS,
    );
    const settle = (finish) => (value) => {
      clearTimeout(timer);
      finish(value);
    };
    outgoing.on("error", settle(reject));
    outgoing.on("response", (answer) => {
      answer.on("error", settle(reject));
      if (answer.statusCode !== 200) settle(reject)(new Error(`status ${answer.statusCode}`));
      receive(answer, settle(resolve), settle(reject));
    });
    send(outgoing);
  });
}
