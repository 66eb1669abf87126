// test-timeout: 120s
// Client certificates over real HTTPS, and certificates that are replaced while an edge runs.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";

import { systemClock } from "../../src/clock.ts";
import { type CertifiedKey, makeCa, makeLeaf } from "../../src/identity/certificate.ts";
import { clientAuthentication } from "../../src/identity/client_auth.ts";
import { derOfPem } from "../../src/identity/pem.ts";
import { silentLogger } from "../../src/log.ts";
import type { AuthenticationResult, ClientAuthentication } from "../../src/principal.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import {
  type Answer,
  readAnswer,
  sha256,
  startServer,
  type TestServer,
} from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";
import { outcomeOf } from "../support/test_issuer.ts";
import { makeClient } from "../support/test_pki.ts";
import { waitFor } from "../support/tunnel_context.ts";
import { type Bench, EDGE_SETTINGS, startBench, WEB_TUNNEL } from "../support/tunnel_bench.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;
const NOW_MS = Date.now();
const VALIDITY = { notBeforeMs: NOW_MS - DAY_MS, notAfterMs: NOW_MS + DAY_MS };
const PAST = { notBeforeMs: NOW_MS - 2 * DAY_MS, notAfterMs: NOW_MS - DAY_MS };
const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
const GUARDED = { ...WEB_TUNNEL, auth: "edge" } as const;

let serverCa: CertifiedKey;
let server: CertifiedKey;
let secondServer: CertifiedKey;
let clientCa: CertifiedKey;
let otherCa: CertifiedKey;
let carol: CertifiedKey;
let dave: CertifiedKey;
let upstream: TestServer;
let asked = 0;
const streams: ServerResponse[] = [];

before(async () => {
  const wide = { notBeforeMs: NOW_MS - 3 * DAY_MS, notAfterMs: NOW_MS + 3 * DAY_MS };
  serverCa = await makeCa("public CA", wide);
  const facts = { ...VALIDITY, commonName: "localhost", dnsName: "localhost" };
  server = await makeLeaf(serverCa, { ...facts, usage: "server" });
  secondServer = await makeLeaf(serverCa, { ...facts, usage: "server" });
  clientCa = await makeCa("client CA", wide);
  otherCa = await makeCa("other client CA", wide);
  carol = await makeClient(clientCa, VALIDITY, "carol");
  dave = await makeClient(otherCa, VALIDITY, "dave");
  upstream = await startServer((request, response) => {
    request.resume();
    if (request.method === "OPTIONS") return void response.end();
    asked += 1;
    if (request.url !== "/events") return void response.end("private");
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: before\n\n");
    streams.push(response);
  });
});

after(() => upstream.close());

/** An edge with HTTPS that asks for client certificates, and what it made of each proof. */
async function withEdge(
  run: (
    place: {
      readonly bench: Bench;
      readonly url: string;
      readonly clientAuth: ClientAuthentication;
      readonly outcomes: string[];
    },
  ) => Promise<void>,
): Promise<void> {
  const outcomes: string[] = [];
  const keep = (result: AuthenticationResult) => (outcomes.push(outcomeOf(result)), result);
  const real = clientAuthentication({
    auth: { clientCa: "client-ca.pem", issuers: [] },
    userTokens: { check: () => undefined, isActive: () => false },
    resourceOf: () => "",
    clock: systemClock,
    log: silentLogger,
  });
  const clientAuth: ClientAuthentication = {
    isCheap: (proof) => real.isCheap(proof),
    resourceFacts: (tunnel) => real.resourceFacts(tunnel),
    authenticate(proof) {
      const result = real.authenticate(proof);
      return result instanceof Promise ? result.then(keep) : keep(result);
    },
  };
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [GUARDED],
    edge: { clientAuth, publicTls: { ...server, clientCaPem: clientCa.certPem } },
  });
  try {
    await bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]).ready;
    const url = bench.edge.tunnelUrl("web").replace("127.0.0.1", "localhost");
    await run({ bench, url, clientAuth, outcomes });
  } finally {
    await bench.close();
  }
}

/** A client that trusts the public CA; it keeps its connection and its TLS sessions. */
function clientOf(identity: CertifiedKey | undefined): Agent {
  return new Agent({
    keepAlive: true,
    maxSockets: 1,
    ca: serverCa.certPem,
    ...(identity === undefined ? {} : { cert: identity.certPem, key: identity.keyPem }),
  });
}

async function ask(url: string, agent: Agent): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const request = httpsRequest(url, { agent });
    request.once("response", (response) => void readAnswer(response).then(resolve, reject));
    request.on("error", reject);
    request.end();
  });
}

async function askOnce(url: string, identity: CertifiedKey | undefined): Promise<Answer> {
  const agent = clientOf(identity);
  try {
    return await ask(url, agent);
  } finally {
    agent.destroy();
  }
}

test("a client certificate of the listed CA is its principal, and none other is", async () => {
  await withEdge(async ({ url, outcomes }) => {
    const facts = { ...VALIDITY, commonName: "carol" };
    const refused: readonly (readonly [string, CertifiedKey | undefined])[] = [
      ["none", undefined],
      ["another CA", dave],
      [
        "another CA of the same name",
        await makeClient(await makeCa("client CA", VALIDITY), VALIDITY, "carol"),
      ],
      ["ended", await makeClient(clientCa, PAST, "carol")],
      ["a server's", await makeLeaf(clientCa, { ...facts, usage: "server", dnsName: "carol" })],
      ["the public CA", await makeClient(serverCa, VALIDITY, "carol")],
    ];
    asked = 0;
    let ran = 0;
    for (const [name, identity] of refused) {
      const { status } = await askOnce(url, identity);
      assert.equal(status, 401, name);
      ran += 1;
    }
    const askedBefore = asked;
    const principals = outcomes.splice(0).filter((outcome) => outcome.startsWith("certificate"));
    const served = await askOnce(url, carol);

    assert.equal(ran, 6);
    assert.equal(askedBefore, 0);
    assert.deepEqual(principals, []);
    assert.equal(served.status, 200);
    assert.deepEqual(outcomes, ["certificate carol []"]);
  });
});

test("a CA that is taken away counts no more, on old connections and for old TLS sessions", async () => {
  await withEdge(async ({ bench, url, clientAuth }) => {
    const old = clientOf(carol);
    const resuming = clientOf(carol);
    const before = [await ask(url, old), await ask(url, resuming)];
    // Its session stays, its connection does not.
    for (const sockets of Object.values(resuming.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }

    bench.edge.update({
      config: EDGE_SETTINGS,
      tunnels: [GUARDED],
      clientAuth,
      publicTls: { ...server, clientCaPem: otherCa.certPem },
    });
    const after = [await ask(url, old), await ask(url, resuming), await askOnce(url, carol)];
    const other = await askOnce(url, dave);
    old.destroy();
    resuming.destroy();

    assert.deepEqual(before.map(({ status }) => status), [200, 200]);
    assert.deepEqual(after.map(({ status }) => status), [401, 401, 401]);
    assert.equal(other.status, 200);
  });
});

test("a handshake that began under a CA that is taken away proves nothing, and its streams end", async () => {
  await withEdge(async ({ bench, url, clientAuth }) => {
    const { port } = new URL(url);
    const raw = connectTcp(Number(port), "127.0.0.1");
    await new Promise<void>((resolve) => void raw.once("connect", () => resolve()));
    await waitFor(() => bench.edge.status().clientConnections === 1);
    const agent = clientOf(carol);
    const stream = await new Promise<IncomingMessage>((resolve, reject) => {
      httpsRequest(`${url}/events`, { agent }).once("response", resolve).on("error", reject).end();
    });
    stream.resume().on("error", () => {});
    const cut = new Promise<void>((resolve) => void stream.once("close", () => resolve()));

    bench.edge.update({
      config: EDGE_SETTINGS,
      tunnels: [GUARDED],
      clientAuth,
      publicTls: { ...server, clientCaPem: otherCa.certPem },
    });
    await cut;
    const late = connectTls({
      socket: raw,
      servername: "localhost",
      ca: serverCa.certPem,
      cert: carol.certPem,
      key: carol.keyPem,
    });
    let received = "";
    const answered = new Promise<void>((resolve) =>
      void late.on("data", (chunk) => {
        received += chunk;
        if (received.includes("\r\n\r\n")) resolve();
      })
    );
    late.write(`GET /web/ HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`);
    await answered;
    late.destroy();
    agent.destroy();

    assert.match(received, /^HTTP\/1\.1 401 /);
  });
});

test("new certificate files serve new connections, and a live stream goes on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "mcptun-tls-"));
  const write = (name: string, text: string) =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  write("public.pem", server.certPem);
  write("public.key", server.keyPem);
  write("clients.pem", clientCa.certPem);
  const agents = [clientOf(carol), clientOf(carol)];
  try {
    const { edge, rift, url: base } = await startRoles({
      folder,
      protocol: "http",
      upstream: upstream.url,
      edgeKeys: 'tls_cert = "public.pem"\ntls_key = "public.key"',
      moreConfig: 'auth = "edge"\n[auth]\nclient_ca = "clients.pem"',
    });
    const url = base.replace("127.0.0.1", "localhost");
    const stranger = await askOnce(url, dave);
    const opened = new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpsRequest(`${url}/events`, { agent: agents[0]! });
      request.once("response", resolve).on("error", reject).end();
    });
    const stream = await opened;
    let received = "";
    stream.setEncoding("utf8").on("data", (text: string) => received += text);
    const ended = new Promise<boolean>((resolve) =>
      stream.on("close", () => resolve(stream.complete))
    );
    const before = await shownBy(url);

    write("public.key", "garbage\n");
    await edge.stderrMatch(/New configuration refused/);
    const during = await shownBy(url);
    write("public.pem", secondServer.certPem);
    write("public.key", secondServer.keyPem);
    await edge.stderrMatch(/Configuration is in force/);
    const afterwards = await shownBy(url);
    const served = await ask(url, agents[1]!);
    streams.at(-1)!.end("data: after\n\n");
    const isWhole = await ended;
    const results = await endRoles(rift, edge);

    assert.equal(stranger.status, 401);
    assert.equal(stream.statusCode, 200);
    assert.equal(before, fingerprintOf(server));
    assert.equal(during, fingerprintOf(server));
    assert.equal(afterwards, fingerprintOf(secondServer));
    assert.equal(served.status, 200);
    assert.equal(isWhole, true);
    assert.equal(received, "data: before\n\ndata: after\n\n");
    assert.deepEqual(results.map(({ code }) => code), [0, 0]);
  } finally {
    for (const agent of agents) agent.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** SHA-256 of the certificate that a new connection is shown. */
function shownBy(url: string): Promise<string> {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connectTls(
      { host: "localhost", port: Number(port), servername: "localhost", ca: serverCa.certPem },
      () => {
        const { raw } = socket.getPeerCertificate();
        socket.destroy();
        resolve(sha256(raw));
      },
    );
    socket.on("error", reject);
  });
}

function fingerprintOf({ certPem }: CertifiedKey): string {
  return sha256(derOfPem("CERTIFICATE", certPem)!);
}
