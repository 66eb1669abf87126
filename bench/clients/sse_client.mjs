/**
 * Holds event streams open and times their events.
 *
 * Commands: {"kind":"open","url":URL,"streams":N}, answered when every stream has had its first event;
 * {"kind":"listen","seconds":S}, answered with what arrived meanwhile; {"kind":"close"}.
 * Sender and receiver read the same monotonic clock of one machine.
 *
 * @module
 */

import { Agent, request } from "node:http";
import { percentile } from "../lib/stats.mjs";
import { serveCommands } from "./stdio.mjs";

const OPEN_AT_ONCE = 50;
const OPEN_TIMEOUT_MS = 30_000;
let agent;
let streams = [];
let latenciesMs; // while listening
let gaps = 0;
let broken = 0;

await serveCommands(async (command) => {
  switch (command.kind) {
    case "open":
      return await open(command);
    case "listen":
      return await listen(command);
    case "close":
      return close();
    default:
      throw new Error(`unknown command ${command.kind}`);
  }
});

async function open({ url, streams: count }) {
  const start = performance.now();
  agent = new Agent({ maxSockets: Infinity, noDelay: true });
  gaps = 0;
  broken = 0;
  while (streams.length < count) {
    const batch = Array.from(
      { length: Math.min(OPEN_AT_ONCE, count - streams.length) },
      () => follow(url),
    );
    streams.push(...await Promise.all(batch));
  }
  return { streams: streams.length, openMs: performance.now() - start };
}

async function listen({ seconds }) {
  latenciesMs = [];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const sorted = latenciesMs.sort((a, b) => a - b);
  latenciesMs = undefined;
  return {
    events: sorted.length,
    p50Ms: percentile(sorted, 0.5),
    p90Ms: percentile(sorted, 0.9),
    p99Ms: percentile(sorted, 0.99),
    maxMs: sorted.at(-1),
    failures: gaps + broken,
  };
}

function close() {
  const open = streams;
  streams = [];
  for (const outgoing of open) outgoing.destroy();
  agent.destroy();
  return { closed: open.length };
}

/** One stream; resolves at its first event. */
function follow(url) {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent, headers: { accept: "text/event-stream" } });
    const timer = setTimeout(() => outgoing.destroy(new Error("no event")), OPEN_TIMEOUT_MS);
    outgoing.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    outgoing.on("response", (answer) => {
      if (answer.statusCode !== 200) outgoing.destroy(new Error(`status ${answer.statusCode}`));
      let carry = "";
      let next = 0;
      answer.setEncoding("utf8");
      answer.on("error", () => {}); // counted by close
      answer.on("close", () => {
        if (streams.includes(outgoing)) broken++;
      });
      answer.on("data", (text) => {
        const now = process.hrtime.bigint();
        const parts = (carry + text).split("\n\n");
        carry = parts.pop();
        for (const part of parts) {
          if (!part.startsWith("data: ")) continue;
          const event = JSON.parse(part.slice(6));
          if (event.n !== next) gaps++;
          next = event.n + 1;
          latenciesMs?.push(Number(now - BigInt(event.t)) / 1e6);
        }
        clearTimeout(timer);
        resolve(outgoing);
      });
    });
    outgoing.end();
  });
}
