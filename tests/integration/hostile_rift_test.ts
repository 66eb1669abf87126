// test-timeout: 180s
// A rift with a good credential that breaks every rule: the edge stays up, what it serves for others
// keeps its right answers, and nothing grows without end.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { after, before, test } from "node:test";

import { quicOf } from "../../src/errors.ts";
import type { Stream } from "../../src/transport/transport.ts";
import { FRAME, frameText } from "../../src/wire/frame.ts";
import { binary } from "../../src/wire/text.ts";
import { varintText } from "../../src/wire/varint.ts";
import { FEATURES } from "../../src/wire/version.ts";
import { handler } from "../support/connection_pair.ts";
import type { HostileBench, HostileRift } from "../support/hostile_rift.ts";
import { answering, anyHead, hello, startHostileBench } from "../support/hostile_rift.ts";
import { ask, openRequest } from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import { waitFor } from "../support/tunnel_context.ts";

const MAX_GROWTH_BYTES = 96 * 1_024 * 1_024;

/** Log lines of one rift, whatever it says. */
const MAX_LINES = 100;

let place: HostileBench;
before(async () => place = await startHostileBench());
after(() => place.close());

/** What a hostile peer says first, and that the edge then ends the connection. */
const FATAL: readonly { readonly name: string; readonly say: (peer: HostileRift) => void }[] = [
  { name: "garbage", say: (peer) => peer.raw("\xff".repeat(70_000)) },
  { name: "zeros", say: (peer) => peer.raw("\0".repeat(70_000) + "\xff".repeat(16)) },
  { name: "a frame of 2^40 bytes", say: (peer) => peer.raw(varintText(1) + varintText(2 ** 40)) },
  { name: "a frame above the limit", say: (peer) => peer.raw(varintText(1) + varintText(65_537)) },
  { name: "an unknown critical frame", say: (peer) => peer.raw(frameText(0x7f, "")) },
  { name: "a head on the control stream", say: (peer) => peer.raw(anyHead({ status: 200 })) },
  { name: "an empty hello", say: (peer) => peer.raw(frameText(FRAME.hello, "")) },
  {
    name: "a claim before hello",
    say: (peer) => peer.say({ type: "claim", tunnels: [{ name: "bad", protocol: "http" }] }),
  },
  { name: "a heartbeat before hello", say: (peer) => peer.say({ type: "heartbeat", sequence: 1 }) },
  {
    name: "a goodbye before hello",
    say: (peer) => peer.say({ type: "goodbye", reason: "", deadlineMs: 0 }),
  },
  {
    name: "a welcome",
    say(peer) {
      peer.say(hello());
      peer.say({
        type: "welcome",
        version: 1,
        features: [],
        edge: "me",
        tunnels: ["web"],
        heartbeatMs: 1_000,
        timeMs: 0,
      });
    },
  },
  { name: "a claimed", say: (peer) => peer.say({ type: "claimed", tunnels: ["web"] }) },
  {
    name: "hello twice",
    say(peer) {
      peer.say(hello());
      peer.say(hello());
    },
  },
  {
    name: "a claim before the welcome",
    say(peer) {
      peer.say(hello());
      peer.say({ type: "claim", tunnels: [{ name: "bad", protocol: "http" }] });
    },
  },
  { name: "a version of its own", say: (peer) => peer.say(hello({ versions: [999] })) },
  {
    name: "1,000 tunnels",
    say: (peer) => peer.raw(frameText(FRAME.hello, manyTunnels(1_000))),
  },
  { name: "the end of the control stream", say: (peer) => peer.control.end() },
  {
    name: "the end of the control stream behind hello",
    say(peer) {
      peer.say(hello());
      peer.control.end();
    },
  },
  {
    name: "a reset of the control stream",
    say(peer) {
      peer.say(hello());
      peer.control.abort(0);
    },
  },
];

test("whatever a rift says first that is not allowed ends its connection and no one else's", async () => {
  let ran = 0;
  // At once: a refused rift has a second to read why.
  await Promise.all(FATAL.map(async ({ name, say }) => {
    const peer = await place.connect();

    say(peer);
    await place.assertHonest();
    const end = await peer.connection.closed;

    assert.equal(end.kind, "peer", name);
    await place.assertHonest();
    ran += 1;
  }));

  assert.equal(ran, 19);
  assert.deepEqual(place.bench.edge.status().tunnels.map((tunnel) => tunnel.name), ["web", "bad"]);
});

/** What a hostile rift answers, and what the client gets. */
interface BadAnswer {
  readonly name: string;
  readonly bytes: () => string;
  readonly method?: string;
  /** `"cut"`: the client sees that the answer is not whole. */
  readonly expected: number | "cut";
  readonly body?: string;
  /** Headers of the answer; `null` is one that must not be there. */
  readonly headers?: Readonly<Record<string, string | null>>;
}

const head = (headers: readonly string[], status = 200) => () => anyHead({ status, headers });
const ANSWERS: readonly BadAnswer[] = [
  { name: "garbage", bytes: () => "\xff\xfe".repeat(500), expected: 502 },
  { name: "nothing", bytes: () => "", expected: 502 },
  { name: "half a head", bytes: () => anyHead({ status: 200 }).slice(0, -2), expected: 502 },
  { name: "a head of 2^40 bytes", bytes: () => "\x23" + varintText(2 ** 40), expected: 502 },
  { name: "a request head", bytes: () => frameText(FRAME.requestHead, ""), expected: 502 },
  { name: "a hello", bytes: () => frameText(FRAME.hello, ""), expected: 502 },
  { name: "a name with CR LF", bytes: head(["X-A\r\nX-B", "1"]), expected: 502 },
  { name: "a name with a space", bytes: head(["X A", "1"]), expected: 502 },
  { name: "a name with a colon", bytes: head(["X:A", "1"]), expected: 502 },
  { name: "no name", bytes: head(["", "1"]), expected: 502 },
  { name: "a value with CR LF", bytes: head(["X-A", "1\r\nSet-Cookie: a"]), expected: 502 },
  { name: "a value with LF", bytes: head(["X-A", "1\nX-B: 2"]), expected: 502 },
  { name: "a value with CR", bytes: head(["X-A", "1\rX-B: 2"]), expected: 502 },
  { name: "a value with NUL", bytes: head(["X-A", "1\0"]), expected: 502 },
  { name: "201 headers", bytes: head(Array<string>(402).fill("x")), expected: 502 },
  { name: "a header of 70,000 bytes", bytes: head(["X-A", "x".repeat(70_000)]), expected: 502 },
  {
    name: "a status text with CR LF",
    bytes: () => anyHead({ status: 200, statusText: "OK\r\nX-A: 1" }),
    expected: 502,
  },
  ...[0, 99, 100, 101, 103, 199, 600, 999, 65_536].map((status) => ({
    name: `status ${status}`,
    bytes: () => anyHead({ status }),
    expected: 502,
  })),
  {
    name: "two lengths",
    bytes: head(["Content-Length", "0", "Content-Length", "5"]),
    expected: 502,
  },
  ...["+5", "-1", "5, 5", "0x5", "", "1e1", "9".repeat(20)].map((length) => ({
    name: `the length "${length}"`,
    bytes: head(["Content-Length", length]),
    expected: 502,
  })),
  {
    name: "a body shorter than its length",
    bytes: () => head(["Content-Length", "5"])() + "abc",
    expected: "cut",
  },
  {
    name: "a body longer than its length",
    bytes: () => head(["Content-Length", "3"])() + "abcHTTP/1.1 200 OK\r\n\r\n",
    expected: "cut",
  },
  {
    name: "a second head",
    bytes: () => head([])() + anyHead({ status: 500 }),
    expected: 200,
    body: anyHead({ status: 500 }),
  },
  {
    name: "Transfer-Encoding",
    bytes: () => head(["Transfer-Encoding", "gzip, chunked"])() + "abc",
    expected: 200,
    body: "abc",
    headers: { "transfer-encoding": "chunked" },
  },
  {
    name: "Connection and what it names",
    bytes: () =>
      head(["Connection", "upgrade, x-a", "X-A", "1", "Upgrade", "h2c", "Keep-Alive", "max=1"])(),
    expected: 200,
    headers: { "x-a": null, upgrade: null },
  },
  {
    name: "headers that are mcptun's own",
    bytes: head(["Mcptun-Principal", "root", "mcptun-x", "1"]),
    expected: 200,
    headers: { "mcptun-principal": null, "mcptun-x": null },
  },
  {
    name: "proxy headers",
    bytes: head(["Proxy-Authenticate", "Basic", "Proxy-Connection", "close", "Trailer", "X-A"]),
    expected: 200,
    headers: { "proxy-authenticate": null, "proxy-connection": null, trailer: null },
  },
  {
    name: "Set-Cookie",
    bytes: head(["Set-Cookie", "a=b"]),
    expected: 200,
    headers: { "set-cookie": "a=b" },
  },
  { name: "204 with a body", bytes: () => head([], 204)() + "abc", expected: 204, body: "" },
  {
    name: "204 with a length",
    bytes: head(["Content-Length", "0"], 204),
    expected: 204,
    headers: { "content-length": null },
  },
  { name: "304 with a body", bytes: () => head([], 304)() + "abc", expected: 304, body: "" },
  {
    name: "an answer to HEAD with a body",
    method: "HEAD",
    bytes: () => head(["Content-Length", "3"])() + "abc",
    expected: 200,
    body: "",
  },
  ...["UNAUTHENTICATED", "INSUFFICIENT_SCOPE", "HOST_REFUSED", "NO_ROUTE", "INTERNAL", "MADE_UP"]
    .map((error) => ({
      name: `the error ${error}`,
      bytes: () => anyHead({ status: 401, error, headers: ["WWW-Authenticate", "Bearer"] }),
      expected: 502,
      headers: { "www-authenticate": null },
    })),
  {
    name: "an error that is none",
    bytes: () => anyHead({ status: 200, error: "no" }),
    expected: 502,
  },
];

test("no answer of a rift reaches the client but as one whole answer or an error of the edge", async () => {
  let answer: BadAnswer = ANSWERS[0]!;
  const peer = await place.register(answering(() => answer.bytes()));
  let ran = 0;

  for (answer of ANSWERS) {
    const { name, method = "GET", expected, body, headers = {} } = answer;
    const got = await request(place.badUrl, method);

    assert.equal(got.status, expected, name);
    if (body !== undefined) assert.equal(got.body, body, name);
    for (const [header, value] of Object.entries(headers)) {
      assert.equal(got.headers.get(header) ?? null, value, `${name}: ${header}`);
    }
    ran += 1;
  }

  assert.equal(ran, 53);
  await place.assertHonest();
  peer.connection.close(0, "");
  await peer.connection.closed;
});

test("an answer whose body does not fit its length is cut where the client can see it", async () => {
  const peer = await place.register((stream) =>
    handler({
      onData(_chunk, fin) {
        if (!fin) return;
        stream.write(binary(anyHead({ status: 200, headers: ["Content-Length", "10"] }) + "abc"));
        setImmediate(() => stream.end(binary("defghijklmnop")));
      },
    })
  );

  await assert.rejects(ask(`${place.badUrl}/`), /cut|aborted|ECONNRESET|socket hang up|closed/i);

  await place.assertHonest();
  peer.connection.close(0, "");
});

test("a rift that resets its exchanges with any code gives an error of the edge", async () => {
  let code = 0;
  const peer = await place.register((stream) =>
    handler({
      onData(_chunk, fin) {
        if (fin) stream.abort(code);
      },
    })
  );
  const statuses = new Set<number>();
  let ran = 0;
  for (code of [0, 1, 2, 3, 4, 5, 0x10, 0x11, 0x12, 0x13, 0x99, 2 ** 40]) {
    statuses.add((await ask(`${place.badUrl}/`)).status);
    ran += 1;
  }

  assert.equal(ran, 12);
  assert.deepEqual([...statuses].filter((status) => ![500, 502, 503].includes(status)), []);
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("a rift cannot take the tunnels of another, nor its place", async () => {
  const peer = await place.connect();
  // The honest rift's instance is not known to it; a higher epoch with another serial is nothing.
  peer.say(hello({
    epoch: Number.MAX_SAFE_INTEGER,
    tunnels: [{ name: "web", protocol: "http" }, { name: "code", protocol: "mcp" }],
  }));
  const welcome = await peer.hears("welcome");
  const refusal = await peer.hears("refusal");
  peer.say({ type: "release", tunnels: ["web"] });
  peer.say({ type: "heartbeat", sequence: 1 });
  await peer.hears("heartbeat_ack");

  assert.deepEqual(welcome.type === "welcome" && welcome.tunnels, []);
  assert.equal(refusal.type === "refusal" && refusal.code, "tunnel_forbidden");
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("a rift may not open streams of its own, and 10,000 that it resets at once do nothing", async () => {
  const peer = await place.register(() => handler());
  let opened = 0;
  let refused = 0;

  for (let round = 0; opened < 10_000 && round < 100_000; round++) {
    try {
      const stream = peer.connection.openStream(handler());
      stream.write(binary("x"));
      stream.abort(0);
      opened += 1;
    } catch {
      refused += 1;
      if (refused % 100 === 0) await place.assertHonest();
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }

  assert.ok(refused > 0, "the edge gives out only a few streams");
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("10,000 claims and releases cost no memory and no log line each", async () => {
  const peer = await place.register(() => handler());
  const linesBefore = place.logged.length;
  const rssBefore = process.memoryUsage().rss;

  for (let count = 0; count < 10_000; count++) {
    peer.say({ type: "release", tunnels: ["bad"] });
    peer.say({ type: "claim", tunnels: [{ name: "bad", protocol: "http" }] });
    if (count % 500 === 0) await place.assertHonest();
  }
  peer.say({ type: "heartbeat", sequence: 7 });
  await peer.hears("heartbeat_ack");

  const lines = place.logged.length - linesBefore;
  assert.ok(lines <= MAX_LINES, `${lines} lines`);
  const growth = process.memoryUsage().rss - rssBefore;
  assert.ok(growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes`);
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("10,000 claims that are refused cost no log line each", async () => {
  const peer = await place.register(() => handler());
  const linesBefore = place.logged.length;
  for (let count = 0; count < 10_000; count++) {
    const name = count % 2 === 0 ? "web" : `t${count}`;
    peer.say({ type: "claim", tunnels: [{ name, protocol: "http" }] });
    if (count % 100 === 0) await place.assertHonest();
  }
  peer.say({ type: "heartbeat", sequence: 7 });
  await Promise.race([peer.hears("heartbeat_ack").catch(() => {}), peer.connection.closed]);

  const lines = place.logged.length - linesBefore;
  assert.ok(lines <= MAX_LINES, `${lines} lines`);
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("renewals that are refused, one after the other, cost no log line each", async () => {
  const peer = await place.register(() => handler(), { features: [FEATURES.renew] });
  const linesBefore = place.logged.length;
  const refusals = () => peer.heard.filter(({ type }) => type === "renew_refused").length;
  for (let count = 0; count < 500; count++) {
    peer.say({ type: "renew", publicKey: binary("not a key"), proof: binary("no proof") });
    await peer.until(() => refusals() > count);
  }

  assert.equal(refusals(), 500);
  const lines = place.logged.length - linesBefore;
  assert.ok(lines <= MAX_LINES, `${lines} lines`);
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("10,000 heartbeats are answered or end the connection", async () => {
  const peer = await place.register(() => handler());
  for (let sequence = 0; sequence < 10_000; sequence++) peer.say({ type: "heartbeat", sequence });

  await Promise.race([
    waitFor(() => peer.heard.filter(({ type }) => type === "heartbeat_ack").length === 10_000),
    peer.connection.closed,
  ]);

  await place.assertHonest();
  peer.connection.close(0, "");
});

test("a rift that never reads its control stream is closed before it fills the edge's memory", async () => {
  const peer = await place.register(() => handler());
  peer.control.pause();
  const rssBefore = process.memoryUsage().rss;
  let over = false;
  void peer.connection.closed.then(() => over = true);

  for (let sequence = 0; !over && sequence < 2_000_000; sequence++) {
    // This side's own queue must not be what grows.
    const hasRoom = peer.say({ type: "heartbeat", sequence });
    if (!hasRoom || sequence % 1_000 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const end = await peer.connection.closed;

  assert.equal(end.kind, "peer");
  assert.equal(end.code, quicOf("PROTOCOL_ERROR"));
  const growth = process.memoryUsage().rss - rssBefore;
  assert.ok(growth < MAX_GROWTH_BYTES, `memory grew by ${growth} bytes`);
  await place.assertHonest();
});

test("1,000 goodbyes are one goodbye", async () => {
  const peer = await place.register(() => handler());
  const linesBefore = place.logged.length;
  for (let count = 0; count < 1_000; count++) {
    peer.say({ type: "goodbye", reason: "x".repeat(100), deadlineMs: 1_000 });
  }
  await peer.connection.closed;

  const lines = place.logged.length - linesBefore;
  assert.ok(lines <= MAX_LINES, `${lines} lines`);
  await place.assertHonest();
});

test("200 exchanges that a rift never reads or answers hold back no other tunnel", async () => {
  const streams: Stream[] = [];
  const peer = await place.register((stream) => {
    streams.push(stream);
    stream.pause();
    return handler();
  });
  const body = Buffer.alloc(100_000, "x");
  const questions = Array.from({ length: 200 }, () => {
    const question = openRequest(`${place.badUrl}/`, {
      method: "POST",
      headers: { "content-length": String(body.length) },
    });
    question.request.on("error", () => {}); // it ends with the test
    question.request.end(body);
    return question;
  });
  await waitFor(() => streams.length === 200);

  await place.assertHonest();

  for (const { request } of questions) request.destroy();
  await waitFor(() => place.bench.edge.status().exchanges === 0);
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("an answer on the wrong stream is an error of that exchange alone", async () => {
  const streams: Stream[] = [];
  const peer = await place.register((stream) => {
    streams.push(stream);
    return handler();
  });
  const first = ask(`${place.badUrl}/first`);
  await waitFor(() => streams.length === 1);
  const second = ask(`${place.badUrl}/second`);
  await waitFor(() => streams.length === 2);

  // What a rift answers to one request goes to the client of that stream, whatever it was meant for.
  streams[1]!.end(binary(anyHead({ status: 200, headers: ["Content-Length", "1"] }) + "2"));
  streams[0]!.end(binary(anyHead({ status: 200, headers: ["Content-Length", "1"] }) + "1"));
  const answers = await Promise.all([first, second]);

  assert.deepEqual(answers.map((answer) => String(answer.body)), ["1", "2"]);
  await place.assertHonest();
  peer.connection.close(0, "");
});

test("a credential that connects again and again is one rift, and the last one serves", async () => {
  const peers: HostileRift[] = [];
  for (let count = 0; count < 30; count++) {
    peers.push(await place.register(answering(() => anyHead({ status: 200 }) + String(count))));
  }

  const answer = await ask(`${place.badUrl}/`);

  assert.equal(String(answer.body), "29");
  await waitFor(() =>
    place.bench.edge.status().tunnels.find(({ name }) => name === "bad")?.rifts.length === 1
  );
  await place.assertHonest();
  for (const { connection } of peers) connection.close(0, "");
});

/** Asks on a connection of its own, and takes everything up to its end for the answer. */
async function request(url: string, method: string): Promise<{
  readonly status: number | "cut";
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}> {
  const client = await RawClient.open(url);
  const { host, pathname } = new URL(url);
  client.send(`${method} ${pathname}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  await client.closed;
  const end = client.received.indexOf("\r\n\r\n");
  const status = /^HTTP\/1\.1 (\d{3})/.exec(client.received)?.[1];
  if (end < 0 || status === undefined) return { status: "cut", headers: new Map(), body: "" };
  const lines = client.received.slice(0, end).split("\r\n").slice(1);
  const headers = new Map(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  }));
  const rest = client.received.slice(end + 4);
  const isChunked = headers.get("transfer-encoding") === "chunked";
  // One chunk and the last one: these answers are small.
  const body = isChunked ? rest.replace(/^[0-9a-f]+\r\n|\r\n0\r\n\r\n$|^0\r\n\r\n$/g, "") : rest;
  return { status: Number(status), headers, body };
}

/** Fields of a hello with so many tunnels. */
function manyTunnels(count: number): string {
  const field = (key: number, text: string) => varintText(key) + varintText(text.length) + text;
  const claims = Array.from(
    { length: count },
    (_, index) => field(7, field(1, `t${index}`) + field(3, "http")),
  );
  return field(1, varintText(1)) + field(3, "many") + field(5, varintText(1)) + claims.join("");
}
