import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, test } from "node:test";

import {
  type AdminListener,
  type AdminOptions,
  startAdmin,
} from "../../../src/admin/admin_listener.ts";
import { LATENCY_BOUNDS_MS } from "../../../src/admin/admin_source.ts";
import { systemClock } from "../../../src/clock.ts";
import {
  ADMIN_ANSWER_MS,
  ADMIN_HEADER_BYTES,
  ADMIN_IDLE_MS,
  ADMIN_MAX_CONNECTIONS,
} from "../../../src/limits.ts";
import { silentLogger } from "../../../src/log.ts";
import { Secret } from "../../../src/runtime/secret.ts";
import {
  askListener,
  edgeStatus,
  fakeSource,
  NOW_MS,
  tunnelStatus,
} from "../../support/admin_fixture.ts";
import { fakeClock } from "../../support/fake_clock.ts";
import { RawClient } from "../../support/raw_http.ts";

const TOKEN = `mcpa_${"t".repeat(20)}`;
const OPERATOR = { headers: { authorization: `Bearer ${TOKEN}` } };
const UNIX = process.platform === "win32" ? { skip: "no Unix sockets" } : {};

const folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const running: AdminListener[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((listener) => listener.close()));
});

async function start(options: Partial<AdminOptions> = {}): Promise<AdminListener> {
  const listener = await startAdmin({
    token: new Secret(TOKEN),
    source: fakeSource(),
    version: "0.1.0",
    clock: fakeClock(),
    log: silentLogger,
    signal: new AbortController().signal,
    ...options,
  });
  running.push(listener);
  return listener;
}

async function startTcp(options: Partial<AdminOptions> = {}) {
  const { url } = await start({ listen: { host: "127.0.0.1", port: 0 }, ...options });
  assert.ok(url !== undefined);
  return { url };
}

async function startSocket(options: Partial<AdminOptions> = {}) {
  const { socketPath } = await start({ socketPath: join(folder, "admin.sock"), ...options });
  assert.ok(socketPath !== undefined);
  return { socketPath };
}

test("health is told to everyone, status and metrics to the operator", async () => {
  const where = await startTcp();

  const health = await askListener(where, "/healthz");
  assert.deepEqual([health.status, health.body], [200, "ok"]);
  let ran = 0;
  for (const path of ["/status", "/metrics"]) {
    const stranger = await askListener(where, path);
    const wrong = await askListener(where, path, { headers: { authorization: "Bearer wrong" } });
    const operator = await askListener(where, path, OPERATOR);

    assert.deepEqual([stranger.status, wrong.status, operator.status], [401, 401, 200]);
    assert.equal(stranger.headers["www-authenticate"], "Bearer");
    assert.doesNotMatch(stranger.body + wrong.body, /code-server/);
    assert.match(operator.body, /code-server/);
    assert.equal(operator.headers["cache-control"], "no-store");
    ran++;
  }
  assert.equal(ran, 2);
});

test("without a token nobody sees status and metrics over TCP", async () => {
  const where = await startTcp({ token: undefined });

  const answer = await askListener(where, "/status", {
    headers: { authorization: "Bearer undefined" },
  });

  assert.equal(answer.status, 401);
});

test("the status has the edge's fields at its top, and what the process is", UNIX, async () => {
  const source = fakeSource();
  source.problems = ["mcptun.toml:3: unknown key"];
  const where = await startSocket({ source });

  const { status, headers, body } = await askListener(where, "/status");
  const { version, runtime, pid, config, latencyBoundsMs, ...rest } = JSON.parse(body);

  assert.equal(status, 200);
  assert.equal(headers["content-type"], "application/json");
  assert.deepEqual(rest, edgeStatus());
  assert.equal(version, "0.1.0");
  assert.match(runtime, /^(node|deno) \d+\.\d+\.\d+/);
  assert.equal(pid, process.pid);
  assert.deepEqual(latencyBoundsMs, LATENCY_BOUNDS_MS);
  assert.deepEqual(config, {
    loadedAtMs: NOW_MS - 60_000,
    problems: ["mcptun.toml:3: unknown key"],
  });
});

test("metrics come in the type that Prometheus asks for", UNIX, async () => {
  const { status, headers, body } = await askListener(await startSocket(), "/metrics");

  assert.equal(status, 200);
  assert.equal(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  assert.match(body, /^mcptun_exchanges_in_flight\{tunnel="code-server"\} 3$/m);
});

test("ready means that a tunnel answers; the reasons are for the operator", async () => {
  const source = fakeSource();
  const where = await startTcp({ source });

  const operator = await askListener(where, "/readyz", OPERATOR);
  const stranger = await askListener(where, "/readyz");

  assert.equal(operator.status, 200);
  assert.deepEqual(JSON.parse(operator.body), {
    ready: true,
    tunnels: [
      { name: "code-server", ready: true, tookMs: 12 },
      { name: "wiki", ready: false, reason: "no rift is connected" },
    ],
  });
  assert.equal(stranger.status, 200);
  assert.deepEqual(JSON.parse(stranger.body), { ready: true });
  assert.deepEqual(source.asked, ["code-server", "wiki"]);
});

test("ready asks about one tunnel, and tells a stranger nothing about which there are", async () => {
  const where = await startTcp();

  const up = await askListener(where, "/readyz?tunnel=code-server");
  const down = await askListener(where, "/readyz?tunnel=wiki");
  const none = await askListener(where, "/readyz?tunnel=nothing");
  const told = await askListener(where, "/readyz?tunnel=nothing", OPERATOR);

  assert.equal(up.status, 200);
  assert.deepEqual([down.status, down.body], [none.status, none.body]);
  assert.deepEqual(JSON.parse(none.body), { ready: false, reason: "no tunnel answers" });
  assert.equal(told.status, 503);
  assert.equal(JSON.parse(told.body).reason, "no such tunnel is declared");
});

test("an edge without tunnels is not ready", UNIX, async () => {
  const where = await startSocket({ source: fakeSource({ tunnels: [] }) });

  const { status, body } = await askListener(where, "/readyz");

  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(body), {
    ready: false,
    reason: "no tunnel is declared",
    tunnels: [],
  });
});

test(
  "foreign hosts, pages, methods, bodies and paths are refused on every listener",
  UNIX,
  async () => {
    const socket = await startSocket();
    const tcp = await startTcp();
    const own = new URL(tcp.url).host;
    let ran = 0;
    for (const [where, host] of [[socket, "localhost"], [tcp, own]] as const) {
      const cases: [number, Parameters<typeof askListener>[2], string?][] = [
        [421, { headers: { host: "evil.example" } }],
        [421, { headers: { host: "localhost:1" } }],
        [403, { headers: { host, origin: "https://evil.example" } }],
        [403, { headers: { host, "sec-fetch-site": "cross-site" } }],
        [405, { headers: { host }, method: "POST" }],
        [405, { headers: { host }, method: "OPTIONS" }],
        [400, { headers: { host, "content-length": "2" }, body: "{}" }],
        [404, { headers: { host } }, "/"],
        [404, { headers: { host } }, "/healthz/"],
        [404, { headers: { host } }, "//healthz"],
        [404, { headers: { host } }, "/debug"],
        [200, { headers: { host } }],
      ];
      for (const [expected, question, path = "/healthz"] of cases) {
        const { status } = await askListener(where, path, question);
        assert.equal(status, expected, `${path} ${JSON.stringify(question)}`);
        ran++;
      }
    }
    assert.equal(ran, 24);
  },
);

test("HEAD has the head of GET and no body", async () => {
  const client = await RawClient.open((await startTcp()).url);
  const host = `127.0.0.1:${client.socket.remotePort}`;

  client.send(`HEAD /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  await client.closed;

  assert.match(client.received, /^HTTP\/1\.1 200 /);
  assert.match(client.received, /\r\nContent-Length: 2\r\n/i);
  assert.ok(client.received.endsWith("\r\n\r\n"));
});

test("heads that are too large, or not HTTP, are refused", async () => {
  const { url } = await startTcp();

  const large = await RawClient.open(url);
  large.send(`GET /healthz HTTP/1.1\r\nX: ${"a".repeat(2 * ADMIN_HEADER_BYTES)}\r\n\r\n`);
  const garbage = await RawClient.open(url);
  garbage.send("hello\r\n\r\n");
  await Promise.all([large.closed, garbage.closed]);

  assert.match(large.received, /^HTTP\/1\.1 431 /);
  assert.match(garbage.received, /^HTTP\/1\.1 400 /);
});

test("a head that does not end in time, and a silent connection, are cut", async () => {
  const clock = fakeClock();
  const { url } = await startTcp({ clock });
  const slow = await RawClient.open(url);
  const silent = await RawClient.open(url);
  // Both are known to the server once a later one is answered.
  const used = await RawClient.open(url);
  used.send(`GET /healthz HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`);
  await used.answer();

  clock.advance(ADMIN_IDLE_MS - 1);
  slow.send("GET /healthz HTTP/1.1\r\n");
  clock.advance(1);

  await Promise.all([slow.closed, silent.closed]);
  assert.equal(slow.received + silent.received, "");
});

test("a second question before the answer to the first cuts the connection", async () => {
  const source = fakeSource();
  const probed = new Promise<void>((resolve) => {
    source.answer = () => {
      resolve();
      return new Promise(() => {});
    };
  });
  const { url } = await startTcp({ source });
  const host = new URL(url).host;
  const client = await RawClient.open(url);
  client.send(`GET /readyz HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  await probed;

  client.send(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`);

  await client.closed;
  assert.equal(client.received, "");
});

test("an answer that is not taken in time is cut", async () => {
  const clock = fakeClock();
  // Far more than the sockets' buffers hold.
  const outcomes = Object.fromEntries(
    Array.from({ length: 300_000 }, (_, at) => [`outcome-of-some-length-${at}`, at]),
  );
  const where = await startTcp({
    clock,
    source: fakeSource({ tunnels: [tunnelStatus({ outcomes })] }),
  });
  const client = await RawClient.open(where.url);
  client.send(
    `GET /status HTTP/1.1\r\nHost: ${new URL(where.url).host}\r\n` +
      `Authorization: Bearer ${TOKEN}\r\n\r\n`,
  );
  await client.until((received) => received.includes("outcome-of"));
  client.socket.pause();

  clock.advance(ADMIN_ANSWER_MS);
  client.socket.resume();
  await client.closed;

  const length = Number(/content-length: (\d+)/i.exec(client.received)?.[1]);
  assert.ok(client.received.length < length, `${client.received.length} of ${length}`);
});

test("connections above the limit are closed at once, and the place is free again later", async () => {
  const { url } = await startTcp();
  const host = new URL(url).host;
  const question = `GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const held: RawClient[] = [];
  for (let count = 0; count < ADMIN_MAX_CONNECTIONS; count++) {
    const client = await RawClient.open(url);
    client.send(question);
    assert.equal((await client.answer()).status, 200);
    held.push(client);
  }
  assert.equal(held.length, ADMIN_MAX_CONNECTIONS);

  const surplus = await RawClient.open(url);
  await surplus.closed;
  assert.equal(surplus.received, "");

  for (const client of held) client.destroy();
  await Promise.all(held.map(({ closed }) => closed));
  const later = await untilAnswered(url, question);
  assert.equal(later, 200);
});

/** The server learns a turn later that a client has gone; bounded by the test's time. */
async function untilAnswered(url: string, question: string): Promise<number> {
  for (;;) {
    const client = await RawClient.open(url);
    client.send(question);
    const status = await client.answer().then((answer) => answer.status, () => undefined);
    client.destroy();
    if (status !== undefined) return status;
  }
}

test("only loopback is listened on", async () => {
  let ran = 0;
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.com"]) {
    await assert.rejects(start({ listen: { host, port: 0 } }), { code: "CONFIG_INVALID" });
    ran++;
  }
  assert.equal(ran, 4);
});

test("a port in use is told, and the socket is closed again", UNIX, async () => {
  const taken = await startTcp();
  const socketPath = join(folder, "half.sock");

  await assert.rejects(
    start({ socketPath, listen: { host: "127.0.0.1", port: Number(new URL(taken.url).port) } }),
    { code: "ADDRESS_IN_USE" },
  );

  assert.equal(existsSync(socketPath), false);
});

test("the socket is private, and gone after closing", UNIX, async () => {
  const listener = await start({ socketPath: join(folder, "private.sock") });
  const { socketPath } = listener;
  assert.ok(socketPath !== undefined);

  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  await Promise.all([listener.close(), listener.close()]);
  assert.equal(existsSync(socketPath), false);
});

test("the socket is not made in a folder that others can enter", UNIX, async () => {
  const open = mkdtempSync(join(folder, "open-"));
  chmodSync(open, 0o755);

  await assert.rejects(start({ socketPath: join(open, "admin.sock") }), { code: "STATE_UNUSABLE" });
});

test("a stale socket is replaced, one with an edge behind it is not", UNIX, async () => {
  const socketPath = join(folder, "stale.sock");
  leaveStale(socketPath);
  assert.ok(statSync(socketPath).isSocket());

  await start({ socketPath });
  await assert.rejects(start({ socketPath }), { code: "ADDRESS_IN_USE" });

  assert.equal((await askListener({ socketPath }, "/healthz")).status, 200);
});

test("a file at the socket's place is left alone", UNIX, async () => {
  const socketPath = join(folder, "file.sock");
  writeFileSync(socketPath, "mine");

  await assert.rejects(start({ socketPath }), { code: "STATE_UNUSABLE" });

  assert.ok(statSync(socketPath).isFile());
});

test("a path too long for a socket leaves the socket out with a warning", UNIX, async () => {
  const warnings: string[] = [];
  const log = { ...silentLogger, warn: (message: string) => void warnings.push(message) };

  const listener = await start({ socketPath: join(folder, "a".repeat(120)), log });

  assert.equal(listener.socketPath, undefined);
  assert.match(warnings.join(), /longer than a socket may have/);
});

test("closing cuts connections and probes, also by the signal", UNIX, async () => {
  const life = new AbortController();
  const source = fakeSource();
  const probing = new Promise<AbortSignal>((resolve) => {
    source.answer = (_tunnel, signal) => {
      resolve(signal);
      return new Promise(() => {});
    };
  });
  const socketPath = join(folder, "closing.sock");
  const listener = await start({
    socketPath,
    source,
    clock: systemClock,
    signal: life.signal,
  });
  const cut = assert.rejects(askListener({ socketPath }, "/readyz?tunnel=wiki"));
  const signal = await probing;

  life.abort();
  await listener.close();

  await cut;
  assert.equal(signal.aborted, true);
  assert.equal(existsSync(socketPath), false);
});

/** A socket file that nobody listens behind, as a killed edge leaves it. */
function leaveStale(path: string): void {
  const script = 'import("node:net").then(({ createServer }) => createServer().listen(' +
    `${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL")))`;
  const argv = "Deno" in globalThis ? ["eval", script] : ["-e", script];
  // It does not end well.
  assert.throws(() => execFileSync(process.execPath, argv, { stdio: "ignore" }));
}
