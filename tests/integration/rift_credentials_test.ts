// The life of rift credentials over QUIC with certificates of a real tunnel CA. QUIC looks at the
// real clock, so credentials are made "a while ago" and the edge's own clock is moved instead.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { type Clock, systemClock } from "../../src/clock.ts";
import {
  type Credential,
  issueRiftCredential,
  renewedCredential,
  rotateRiftCredential,
} from "../../src/identity/credential.ts";
import { CredentialStore } from "../../src/identity/credential_store.ts";
import { riftAuthority } from "../../src/identity/rift_authority.ts";
import { openTunnelCa } from "../../src/identity/tunnel_ca.ts";
import { type LogFields, type Logger, silentLogger } from "../../src/log.ts";
import type { RenewedMaterial, Rift, RiftOptions } from "../../src/rift/rift_options.ts";
import type { TlsMaterial } from "../../src/transport/transport.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import { ask, deferred, openRequest, readAnswer, startServer } from "../support/http_probe.ts";
import { startBench } from "../support/tunnel_bench.ts";
import { waitFor } from "../support/tunnel_context.ts";

const HOUR_MS = 3_600_000;
const TTL_MS = 24 * HOUR_MS;
/** How long ago credentials were made: so long that they are due. */
const AGE_MS = 20 * HOUR_MS;

test("A revocation ends the connection and its live exchange, and says why", async (t) => {
  const life = await setUp(t);
  const credential = await life.issue("laptop");
  const rift = await life.rift(credential.material);
  const { message, whole } = await life.openStream();
  whole.catch(() => {}); // looked at below

  await (await CredentialStore.open(life)).revoke("laptop"); // as a command does
  const end = await rift.closed;
  await assert.rejects(whole);
  const after = await ask(life.url);

  assert.equal(message.statusCode, 200);
  assert.equal(end.error?.code, "REFUSED");
  assert.match(end.error?.message ?? "", /has been revoked/);
  assert.equal(after.status, 503);
});

test("Both credentials work while a rotation overlaps, then the old one is refused", async (t) => {
  const life = await setUp(t);
  const old = await life.issue("laptop", 0);
  const before = await life.rift(old.material);
  const fresh = await life.rotate("laptop", HOUR_MS);
  const after = await life.rift(fresh.material);
  const serials = life.serials();
  const beside = await life.rift(old.material); // the old one still registers, too
  const replaced = await before.closed;

  life.setClock(HOUR_MS);
  const end = await beside.closed;
  const served = await ask(life.url, { method: "POST", body: "still" });

  assert.deepEqual(serials.sort(), [old.serial, fresh.serial].sort());
  assert.equal(replaced.error?.code, "REPLACED");
  assert.match(end.error?.message ?? "", /ended/);
  assert.deepEqual(life.serials(), [fresh.serial]);
  assert.equal(served.status, 200);
  await after.close();
});

test("A rift moves to the credential that took the place of its own, and no stream is cut", async (t) => {
  const life = await setUp(t);
  const old = await life.issue("laptop", 0);
  let file: Credential | undefined;
  const asked = deferred<void>();
  const rift = await life.rift(old.material, {
    freshCredential: () => {
      asked.resolve();
      const material = file?.material;
      file = undefined;
      return Promise.resolve(material);
    },
  });
  const { upstream, whole } = await life.openStream();
  const fresh = await life.rotate("laptop", HOUR_MS);
  await asked.promise; // the edge has said that the old one ends
  file = fresh;

  await rift.refresh(); // as the watch of the file does
  await waitFor(() => life.serials().includes(fresh.serial));
  upstream.end("data: last\n\n");
  const answer = await whole;
  await waitFor(() => life.serials().join() === fresh.serial);
  life.setClock(HOUR_MS);
  const served = await ask(life.url, { method: "POST", body: "still" });

  assert.equal(String(answer.body), "data: first\n\ndata: last\n\n");
  assert.equal(served.status, 200);
});

test("A rift whose credential has ended takes a new one before it gives up", async (t) => {
  const life = await setUp(t);
  const old = await life.issue("laptop", 0);
  let file: Credential | undefined;
  const rift = await life.rift(old.material, {
    freshCredential: () => {
      const material = file?.material;
      file = undefined;
      return Promise.resolve(material);
    },
  });
  file = await life.rotate("laptop", 0); // ends the old one now
  const { serial } = file;

  await waitFor(() => life.serials().join() === serial);
  const served = await ask(life.url, { method: "POST", body: "still" });
  await (await CredentialStore.open(life)).revoke("laptop");
  const end = await rift.closed;

  assert.equal(served.status, 200);
  assert.match(end.error?.message ?? "", /has been revoked/);
});

test("A renewal keeps a live stream over the end of the old credential", async (t) => {
  const life = await setUp(t);
  const old = await life.issue("laptop");
  const renewed = deferred<RenewedMaterial>();
  const states: string[] = [];
  life.holdRenewals();
  await life.rift(old.material, {
    onRenewed: renewed.resolve,
    onState: (state) => states.push(state),
  });
  const { upstream, whole } = await life.openStream();
  life.letRenewalsGo();
  const material = await renewed.promise;
  const rechecks = life.rechecks();

  life.setClock(old.expiresAtMs - Date.now() + HOUR_MS);
  await waitFor(() => life.rechecks() > rechecks);
  await ask(life.url, { method: "POST", body: "still" });
  upstream.end("data: last\n\n");
  const answer = await whole;

  assert.equal(String(answer.body), "data: first\n\ndata: last\n\n");
  assert.ok(material.expiresAtMs > old.expiresAtMs);
  assert.deepEqual(states, ["connecting", "connected"]);
  assert.deepEqual(life.serials(), [renewedCredential(old, material).serial]);
});

test("A renewed rift comes back with the new certificate when the old one has ended", async (t) => {
  const life = await setUp(t);
  const old = await life.issue("laptop");
  const renewed = deferred<RenewedMaterial>();
  const again = deferred<void>();
  let connections = 0;
  await life.rift(old.material, {
    connectionStreams: 4,
    onRenewed: renewed.resolve,
    onState: (state) => {
      if (state === "connected" && ++connections === 2) again.resolve();
    },
  });
  const material = await renewed.promise;
  life.setClock(old.expiresAtMs - Date.now() + HOUR_MS);

  for (let count = 0; count < 4; count++) await ask(life.url, { method: "POST", body: "more" });
  await again.promise;
  const served = await ask(life.url, { method: "POST", body: "back" });
  const refused = await life.start(old.material).closed;

  assert.equal(String(served.body), "POST");
  assert.deepEqual(life.serials(), [renewedCredential(old, material).serial]);
  assert.match(refused.error?.message ?? "", /ended at/);
});

test("A rift that was renewed while it dialed dials once more, with the new certificate", async (t) => {
  const life = await setUp(t);
  const old = await life.issue("laptop");
  const renewed = deferred<RenewedMaterial>();
  const dialing = deferred<void>();
  const third = deferred<void>();
  let dials = 0;
  const quic = quicTransport();
  life.holdRenewals();
  await life.rift(old.material, {
    connectionStreams: 2,
    onRenewed: renewed.resolve,
    onState: (state) => {
      if (state === "connected" && dials === 3) third.resolve();
    },
    transport: {
      ...quic,
      async connect(options) {
        if (++dials === 2) {
          dialing.resolve();
          await renewed.promise;
        }
        return await quic.connect(options);
      },
    },
  });

  for (let count = 0; count < 2; count++) await ask(life.url, { method: "POST", body: "more" });
  await dialing.promise;
  life.letRenewalsGo();
  const material = await renewed.promise;
  await third.promise;
  const { serial } = renewedCredential(old, material);
  await waitFor(() => life.serials().join() === serial);
  const served = await ask(life.url, { method: "POST", body: "back" });

  assert.equal(String(served.body), "POST");
  assert.equal(dials, 3);
});

test("The edge's log names the rift whose dial it refuses", async (t) => {
  const life = await setUp(t);
  const credential = await life.issue("laptop");
  await (await CredentialStore.open(life)).revoke("laptop");

  const end = await life.start(credential.material).closed;
  await waitFor(() => life.logged("Rift disconnected").length > 0);

  assert.match(end.error?.message ?? "", /has been revoked/);
  assert.deepEqual(life.logged("Rift refused").map(({ rift }) => rift), ["laptop"]);
  assert.deepEqual(life.logged("Rift disconnected").map(({ rift }) => rift), ["laptop"]);
});

/** An edge that follows its credential file, and an upstream. */
interface Life {
  readonly url: string;
  readonly stateDir: string;
  /** Makes a credential `agoMs` ago; by default so long ago that its renewal is due. */
  issue(name: string, agoMs?: number): Promise<Credential>;
  rotate(name: string, overlapMs: number): Promise<Credential>;
  /** Starts a rift and waits until it serves. */
  rift(tls: TlsMaterial, options?: Partial<RiftOptions>): Promise<Rift>;
  start(tls: TlsMaterial, options?: Partial<RiftOptions>): Rift;
  /** Moves the edge's wall clock this far from the real one. */
  setClock(aheadMs: number): void;
  /** Serial numbers of what serves the tunnel. */
  serials(): string[];
  /** Answers of the authority to rechecks so far. */
  rechecks(): number;
  /** The fields of what the edge has logged under this message. */
  logged(message: string): LogFields[];
  holdRenewals(): void;
  letRenewalsGo(): void;
  /** Opens an event stream through the tunnel; its first event has come. */
  openStream(): Promise<{
    readonly message: IncomingMessage;
    readonly upstream: ServerResponse;
    readonly whole: ReturnType<typeof readAnswer>;
  }>;
}

async function setUp(t: TestContext): Promise<Life> {
  const stateDir = await mkdtemp(join(tmpdir(), "mcptun-life-"));
  let aheadMs = -AGE_MS;
  const clock: Clock = { ...systemClock, wallNow: () => Date.now() + aheadMs };
  const ca = await openTunnelCa({ stateDir, clock, log: silentLogger });
  const store = await CredentialStore.open({ stateDir });
  let rechecks = 0;
  let renewals = deferred<void>();
  renewals.resolve();
  const authority = riftAuthority({ ca, store, clock });
  let streams = deferred<ServerResponse>();
  const upstream = await startServer((request, response) => {
    if (!request.url?.endsWith("/stream")) return void response.end(request.method);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: first\n\n");
    streams.resolve(response);
  });
  const events: { readonly message: string; readonly fields: LogFields }[] = [];
  const note = (message: string, fields: LogFields = {}) => void events.push({ message, fields });
  const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log };
  const serverTls = await ca.serverMaterial();
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: quicTransport(), serverTls, clientTls: serverTls }),
    clock,
    edge: {
      log,
      rifts: {
        verify: authority.verify,
        recheck: (rift) => authority.recheck(rift).finally(() => rechecks++),
        renew: (rift, key) => renewals.promise.then(() => authority.renew(rift, key)),
      },
    },
  });
  const watching = new AbortController();
  store.watch({
    clock: systemClock,
    signal: watching.signal,
    onChange: () => bench.edge.recheckRifts(),
  });
  t.after(async () => {
    watching.abort();
    await bench.close();
    await upstream.close();
    await rm(stateDir, { recursive: true });
  });
  aheadMs = 0;
  const address = "127.0.0.1:4443";
  const url = bench.edge.tunnelUrl("web");
  const start = (tls: TlsMaterial, options?: Partial<RiftOptions>): Rift =>
    bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }], {
      tls,
      clock: systemClock,
      ...options,
    });
  return {
    url,
    stateDir,
    async issue(name, agoMs = AGE_MS) {
      aheadMs = -agoMs;
      const tunnels = ["web"];
      const issue = { ca, store, name, tunnels, ttlMs: TTL_MS, address, clock };
      return await issueRiftCredential(issue).finally(() => aheadMs = 0);
    },
    rotate: (name, overlapMs) =>
      rotateRiftCredential({ ca, store, name, overlapMs, address, clock }),
    async rift(tls, options) {
      const rift = start(tls, options);
      await rift.ready;
      return rift;
    },
    start,
    setClock(ms) {
      aheadMs = ms;
      bench.edge.recheckRifts();
    },
    serials: () =>
      bench.edge.status().tunnels.find(({ name }) => name === "web")?.rifts
        .map(({ serial }) => serial) ?? [],
    rechecks: () => rechecks,
    logged: (message) =>
      events.filter((event) => event.message === message).map(({ fields }) => fields),
    holdRenewals: () => renewals = deferred(),
    letRenewalsGo: () => renewals.resolve(),
    async openStream() {
      streams = deferred();
      const open = openRequest(`${url}/stream`);
      open.request.end();
      const message = await open.response;
      return { message, upstream: await streams.promise, whole: readAnswer(message) };
    },
  };
}
