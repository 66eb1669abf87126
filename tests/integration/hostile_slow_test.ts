// test-timeout: 120s
// Clients that hold on to what they are given: slow in asking, slow in reading, many, or gone.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { RequestListener, ServerResponse } from "node:http";
import process from "node:process";
import { test } from "node:test";

import { ANSWER_STALL_MS } from "../../src/limits.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import type { FakeClock } from "../support/fake_clock.ts";
import { fakeClock } from "../support/fake_clock.ts";
import { ask, startServer } from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import type { Bench, BenchOptions } from "../support/tunnel_bench.ts";
import { startBench } from "../support/tunnel_bench.ts";
import { echoBody, waitFor } from "../support/tunnel_context.ts";

const TLS = { caPem: "", certPem: "", keyPem: "" };
const MIB = 1_024 * 1_024;

interface Place {
  readonly bench: Bench;
  readonly url: string;
  readonly host: string;
}

async function withWeb(
  listener: RequestListener,
  options: Partial<BenchOptions>,
  run: (place: Place) => Promise<void>,
): Promise<void> {
  const upstream = await startServer(listener);
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: TLS, clientTls: TLS }),
    ...options,
  });
  try {
    await bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]).ready;
    const url = bench.edge.tunnelUrl("web");
    await run({ bench, url, host: new URL(url).host });
  } finally {
    await bench.close();
    await upstream.close();
  }
}

async function assertServed({ url }: Place): Promise<void> {
  const answer = await ask(`${url}/`, { method: "POST", body: "still here" });
  assert.equal(answer.status, 200);
  assert.equal(String(answer.body), "still here");
}

test("a client that does not finish its headers in time is told 408 and cut", async () => {
  await withWeb(echoBody, { config: { headerTimeoutMs: 300 } }, async (place) => {
    const client = await RawClient.open(place.url);
    client.send(`GET /web/ HTTP/1.1\r\nHost: ${place.host}\r\nX-A: `);
    await assertServed(place);
    await client.closed;

    assert.match(client.received, /^HTTP\/1\.1 408 /);
    assert.equal(client.received.split("HTTP/1.1").length, 2);
  });
});

test("a client that sends a byte of its headers now and then gets no more time", async () => {
  await withWeb(echoBody, { config: { headerTimeoutMs: 300 } }, async (place) => {
    const client = await RawClient.open(place.url);
    client.send(`GET /web/ HTTP/1.1\r\nHost: ${place.host}\r\nX-A: `);
    const drip = setInterval(() => client.send("x"), 20);
    await client.closed;
    clearInterval(drip);

    assert.match(client.received, /^HTTP\/1\.1 408 /);
    await assertServed(place);
  });
});

test("a client that sends nothing at all is cut", async () => {
  await withWeb(echoBody, { config: { headerTimeoutMs: 300 } }, async (place) => {
    const client = await RawClient.open(place.url);
    await client.closed;

    assert.doesNotMatch(client.received, /HTTP\/1\.1 [23]/);
    await assertServed(place);
  });
});

test("a body that stops is given up after its time, and one that crawls as well", async () => {
  const clock = fakeClock();
  await withWeb(echoBody, { clock, config: { bodyTimeoutMs: 10_000 } }, async (place) => {
    const head = `POST /web/ HTTP/1.1\r\nHost: ${place.host}\r\nContent-Length: 1000\r\n\r\n`;
    const stopped = await RawClient.open(place.url);
    const crawling = await RawClient.open(place.url);
    stopped.send(`${head}a`);
    crawling.send(head);
    await waitFor(() => place.bench.edge.status().exchanges === 2);
    const isOver = (client: RawClient) => client.received.includes("\r\n\r\n");
    for (let second = 0; second < 60 && !(isOver(stopped) && isOver(crawling)); second++) {
      if (!isOver(crawling)) crawling.send("a");
      await advance(clock, 1_000);
      // A whole round trip, so that an answer arrives before the time to read it is over.
      await assertServed(place);
    }

    assert.match(stopped.received, /^HTTP\/1\.1 408 /);
    assert.match(crawling.received, /^HTTP\/1\.1 408 /);
    await assertServed(place);
    await advance(clock, 5_000); // the time to read the answer
    await Promise.all([stopped.closed, crawling.closed]);
    assert.equal(place.bench.edge.status().exchanges, 0);
  });
});

test("a client that does not read is held back, then cut, and holds up no one", async () => {
  const clock = fakeClock();
  let produced = 0;
  const endless = (response: ServerResponse) => {
    const chunk = Buffer.alloc(64 * 1_024, "x");
    const more = () => {
      while (!response.destroyed && produced < 512 * MIB) {
        produced += chunk.length;
        if (!response.write(chunk)) return void response.once("drain", more);
      }
    };
    more();
  };
  const listener: RequestListener = (request, response) => {
    if (request.method === "GET") endless(response);
    else echoBody(request, response);
  };
  await withWeb(listener, { clock }, async (place) => {
    const rssBefore = process.memoryUsage().rss;
    const client = await RawClient.open(place.url);
    client.socket.pause();
    client.send(`GET /web/ HTTP/1.1\r\nHost: ${place.host}\r\n\r\n`);
    await waitFor(() => produced > 0);
    let last = -1;
    while (last !== produced) { // until back-pressure has reached the private server
      last = produced;
      for (let count = 0; count < 20; count++) await assertServed(place);
    }

    assert.ok(produced < 64 * MIB, `${produced} bytes were produced for no reader`);
    const growth = process.memoryUsage().rss - rssBefore;
    assert.ok(growth < 128 * MIB, `memory grew by ${growth} bytes`);
    for (let step = 0; step < 8; step++) await advance(clock, ANSWER_STALL_MS / 4);
    await waitFor(() => place.bench.edge.status().exchanges === 0);
    await assertServed(place);
    client.destroy();
  });
});

test("500 idle connections hold up no one", async () => {
  await withWeb(echoBody, {}, async (place) => {
    const idle = await Promise.all(Array.from({ length: 500 }, () => RawClient.open(place.url)));

    await assertServed(place);

    assert.equal(idle.length, 500);
    for (const client of idle) client.destroy();
    await Promise.all(idle.map((client) => client.closed));
    await assertServed(place);
  });
});

test("33 requests in one go are all answered, in order, one at a time", async () => {
  let open = 0;
  let most = 0;
  const listener: RequestListener = (request, response) => {
    if (request.method === "OPTIONS") return void response.end(); // the rift's probe
    most = Math.max(most, ++open);
    response.on("close", () => open--);
    const body = request.url ?? "";
    response.writeHead(200, { "content-length": String(body.length) });
    setImmediate(() => response.end(body));
  };
  await withWeb(listener, {}, async (place) => {
    const client = await RawClient.open(place.url);
    const urls = Array.from({ length: 33 }, (_, index) => `/${String(index).padStart(4, "0")}`);
    client.send(
      urls.map((url) => `GET /web${url} HTTP/1.1\r\nHost: ${place.host}\r\n\r\n`).join(""),
    );
    await waitFor(() => client.received.endsWith("/0032"));

    const bodies = [...client.received.matchAll(/\r\n\r\n(\/\d{4})/g)].map((match) => match[1]);
    assert.deepEqual(bodies, urls);
    assert.equal(most, 1);
    client.destroy();
  });
});

test("5,000 requests in one go are no more than one exchange, and end the connection", async () => {
  const listener: RequestListener = (request, response) => {
    if (request.method === "GET") return; // never answered
    echoBody(request, response);
  };
  await withWeb(listener, {}, async (place) => {
    const client = await RawClient.open(place.url);
    client.send(`GET /web/ HTTP/1.1\r\nHost: ${place.host}\r\n\r\n`);
    await waitFor(() => place.bench.edge.status().exchanges === 1);
    client.send(`GET /web/ HTTP/1.1\r\nHost: ${place.host}\r\n\r\n`.repeat(30));
    await assertServed(place);
    assert.equal(place.bench.edge.status().exchanges, 1);
    client.send(`GET /web/ HTTP/1.1\r\nHost: ${place.host}\r\n\r\n`.repeat(4_969));
    await client.closed;
    await waitFor(() => place.bench.edge.status().exchanges === 0);

    assert.equal(client.received, "");
    await assertServed(place);
  });
});

test("a client that closes its half in the middle leaves no exchange behind", async () => {
  await withWeb(echoBody, {}, async (place) => {
    const head = `POST /web/ HTTP/1.1\r\nHost: ${place.host}\r\n`;
    const starts = [
      "",
      "POST /web/ HT",
      head,
      `${head}Content-Length: 10\r\n\r\n`,
      `${head}Content-Length: 10\r\n\r\nabc`,
      `${head}Transfer-Encoding: chunked\r\n\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nab`,
      `${head}Content-Length: 3\r\n\r\nabc`,
    ];
    let ran = 0;
    for (const start of starts) {
      const client = await RawClient.open(place.url);
      client.socket.end(start);
      await client.closed;
      ran += 1;
    }

    assert.equal(ran, 8);
    await waitFor(() => place.bench.edge.status().exchanges === 0);
    await assertServed(place);
  });
});

/** Moves the clock, and lets what came of it happen. */
async function advance(clock: FakeClock, ms: number): Promise<void> {
  clock.advance(ms);
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
}
