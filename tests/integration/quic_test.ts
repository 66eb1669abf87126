import assert from "node:assert/strict";
import { test } from "node:test";

import { systemClock } from "../../src/clock.ts";
import { silentLogger } from "../../src/log.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import { connectPair, echo, exchange, handler, testPki } from "../support/connection_pair.ts";
import type { TestPki } from "../support/test_pki.ts";
import { transportSuite } from "../support/transport_suite.ts";

transportSuite("QUIC", quicTransport);

test("a handler that throws loses its stream and nothing else", async () => {
  const errors: string[] = [];
  const log = { ...silentLogger, error: (message: string) => void errors.push(message) };
  const pair = await connectPair(quicTransport(), { log });
  let first = true;
  pair.rift.accept((stream) => {
    if (!first) return echo(stream);
    first = false;
    return handler({
      onData() {
        throw new Error("a defect");
      },
    });
  });

  await assert.rejects(exchange(pair.edge, Buffer.from("one")), /aborted: 1/);
  assert.equal((await exchange(pair.edge, Buffer.from("two"))).bytes, 3);
  assert.deepEqual(errors, ["A stream handler failed"]);
  pair.stop();
});

test("one connection outlives 20,000 streams, far beyond its stream limit", async () => {
  const pair = await connectPair(quicTransport());
  pair.rift.accept(echo);
  const body = Buffer.from("x".repeat(200));
  let done = 0;

  await Promise.all(
    Array.from({ length: 50 }, async () => {
      for (let n = 0; n < 400; n++) {
        const answer = await exchange(pair.edge, body);
        if (answer.bytes === body.length) done += 1;
      }
    }),
  );

  assert.equal(done, 20_000);
  pair.stop();
});

/** Who must not get in, and from which side the refusal comes. */
const REFUSED: readonly {
  readonly name: string;
  readonly client?: keyof TestPki;
  readonly server?: keyof TestPki;
}[] = [
  { name: "a rift with a certificate of another CA", client: "foreignClient" },
  { name: "a rift whose certificate has ended", client: "expiredClient" },
  { name: "a rift whose certificate is not valid yet", client: "futureClient" },
  { name: "a rift with a certificate it made itself", client: "selfSignedClient" },
  { name: "a rift with a server's certificate", client: "serverCertificateClient" },
  { name: "an edge with a certificate of another CA", server: "foreignServer" },
  { name: "an edge with another name", server: "wrongNameServer" },
  { name: "an edge whose certificate has ended", server: "expiredServer" },
];

for (const { name, client, server } of REFUSED) {
  test(`${name} never gets a connection`, async () => {
    const pki = await testPki();
    const transport = quicTransport();
    const controller = new AbortController();
    let connections = 0;
    const common = {
      clock: systemClock,
      log: silentLogger,
      signal: controller.signal,
      host: "127.0.0.1",
    };
    const listener = await transport.listen({
      ...common,
      port: 0,
      tls: pki[server ?? "server"] as TestPki["server"],
      onConnection: () => connections++,
    });

    // A refused client may see its own handshake finish first (TLS 1.3); then the close follows.
    const outcome = await transport.connect({
      ...common,
      port: listener.address.port,
      serverName: "mcptun-edge",
      tls: pki[client ?? "client"] as TestPki["client"],
    }).then(
      async (connection) => (await connection.closed).reason,
      (error: Error) => error.message,
    );

    assert.match(outcome, /TLS alert/);
    assert.equal(connections, 0);
    controller.abort();
  });
}
