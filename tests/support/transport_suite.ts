/** What every transport promises, run over each of them. @module */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { systemClock } from "../../src/clock.ts";
import { STREAM_QUEUE_BYTES } from "../../src/limits.ts";
import { silentLogger } from "../../src/log.ts";
import type { Stream, Transport } from "../../src/transport/transport.ts";
import { CONNECTION_LOST_STREAM_CODE } from "../../src/transport/transport.ts";
import { connectPair, echo, exchange, handler, sha256, testPki } from "./connection_pair.ts";
import { makeTestPki } from "./test_pki.ts";

/** Registers the suite for one transport. */
export function transportSuite(name: string, makeTransport: () => Transport): void {
  describe(`${name} transport`, () => {
    test("carries bodies of every size both ways, whole and in order", async () => {
      const pair = await connectPair(makeTransport());
      pair.rift.accept(echo);
      const sizes = [0, 1, 1_199, 16_384, 65_536, 65_537, 1_000_003];

      for (const size of sizes) {
        const body = randomBytes(size);
        assert.deepEqual(await exchange(pair.edge, body), { bytes: size, sha256: sha256(body) });
      }

      assert.equal(sizes.length, 7);
      pair.stop();
    });

    test("keeps 100 concurrent streams apart", async () => {
      const pair = await connectPair(makeTransport());
      pair.rift.accept(echo);
      const bodies = Array.from({ length: 100 }, () => randomBytes(5_000));

      const answers = await Promise.all(bodies.map((body) => exchange(pair.edge, body)));

      assert.deepEqual(answers.map((a) => a.sha256), bodies.map(sha256));
      pair.stop();
    });

    test("lets the rift open streams too", async () => {
      const pair = await connectPair(makeTransport());
      pair.edge.accept(echo);

      const answer = await exchange(pair.rift, Buffer.from("hello"));

      assert.equal(answer.bytes, 5);
      pair.stop();
    });

    test("hands over the peer's certificate", async () => {
      const pair = await connectPair(makeTransport());

      assert.equal(pair.edge.peerCertificates.length, 1);
      assert.equal(pair.rift.peerCertificates.length, 1);
      pair.stop();
    });

    test("presents a renewed certificate to the next peer", async () => {
      const transport = makeTransport();
      const pair = await connectPair(transport);
      const pki = await testPki();
      const renewed = (await makeTestPki()).server;

      pair.listener.useTls({ ...renewed, caPem: pki.caPem });

      // The new certificate is of another CA: only a client of that CA takes it.
      const dial = transport.connect({
        host: "127.0.0.1",
        port: pair.listener.address.port,
        serverName: "mcptun-edge",
        tls: { ...pki.client, caPem: renewed.caPem },
        clock: systemClock,
        log: silentLogger,
        signal: new AbortController().signal,
      });
      const connection = await dial;

      assert.notDeepEqual(connection.peerCertificates, pair.rift.peerCertificates);
      connection.close(0, "");
      pair.stop();
    });

    test("holds the writer back while the reader is paused, and bounds what waits", async () => {
      const pair = await connectPair(makeTransport());
      let reader!: Stream;
      let received = 0;
      let finished!: () => void;
      const end = new Promise<void>((resolve) => finished = resolve);
      const started = new Promise<void>((resolve) => {
        pair.rift.accept((stream) => {
          reader = stream;
          return handler({
            onData(chunk, fin) {
              received += chunk.length;
              if (received === chunk.length) {
                stream.pause();
                resolve();
              }
              if (fin) finished();
            },
          });
        });
      });
      let drained: (() => void) | undefined;
      const writer = pair.edge.openStream(handler({ onDrain: () => drained?.() }));
      const chunk = randomBytes(32_768);
      let written = 0;
      const write = () => {
        written += chunk.length;
        return writer.write(Buffer.from(chunk));
      };
      write();
      await started;

      // Until the far window and the near queue are full.
      for (;;) {
        if (write()) continue;
        const outcome = await Promise.race([
          new Promise<string>((resolve) => drained = () => resolve("drained")),
          new Promise<string>((resolve) => setTimeout(resolve, 100, "full")),
        ]);
        if (outcome === "full") break;
      }
      const whileFull = written;
      writer.end();
      reader.resume();
      await end;

      assert.ok(whileFull <= 8 * STREAM_QUEUE_BYTES, `${whileFull} bytes were taken`);
      assert.equal(received, written);
      pair.stop();
    });

    test("an abort reaches the peer although both sides had nothing left to send", async () => {
      const pair = await connectPair(makeTransport());
      let arrived!: () => void;
      const requestEnd = new Promise<void>((resolve) => arrived = resolve);
      const told = new Promise<string>((resolve) => {
        pair.rift.accept(() =>
          handler({
            onData: (_chunk, fin) => fin && arrived(),
            onStopped: () => resolve("stopped"),
            onAbort: () => resolve("aborted"),
          })
        );
      });
      const stream = pair.edge.openStream(handler());
      stream.end(Buffer.from("request"));
      await requestEnd;

      stream.abort(0x10);

      assert.match(await told, /stopped|aborted/);
      pair.stop();
    });

    test("an abort in the middle of a body carries its code", async () => {
      const pair = await connectPair(makeTransport());
      const told = new Promise<number>((resolve) => {
        pair.rift.accept((stream) =>
          handler({ onData: () => stream.write(Buffer.from("part")), onAbort: resolve })
        );
      });
      const stream = pair.edge.openStream(handler({ onData: () => stream.abort(0x12) }));
      stream.write(Buffer.from("request"));

      assert.equal(await told, 0x12);
      pair.stop();
    });

    test("an abort by the answering side reaches the asking side", async () => {
      const pair = await connectPair(makeTransport());
      pair.rift.accept((stream) => {
        return handler({
          onData(_chunk, fin) {
            if (!fin) return;
            stream.write(Buffer.from("part of an answer"));
            setImmediate(() => stream.abort(0x13));
          },
        });
      });

      await assert.rejects(exchange(pair.edge, Buffer.from("request")), /aborted: 19/);
      pair.stop();
    });

    test("a reader that stops reading still sends its own answer", async () => {
      const pair = await connectPair(makeTransport());
      pair.rift.accept((stream) => {
        let answered = false;
        return handler({
          onData() {
            if (answered) return;
            answered = true;
            stream.stopReading(0);
            stream.end(Buffer.from("enough"));
          },
        });
      });
      const text = await new Promise<string>((resolve, reject) => {
        const parts: Uint8Array[] = [];
        let stopped = false;
        const stream = pair.edge.openStream(handler({
          onData(chunk, fin) {
            parts.push(chunk);
            if (fin && stopped) resolve(Buffer.concat(parts).toString());
            else if (fin) finish = () => resolve(Buffer.concat(parts).toString());
          },
          onStopped() {
            stopped = true;
            finish?.();
          },
          onAbort: (code) => reject(new Error(`aborted: ${code}`)),
        }));
        let finish: (() => void) | undefined;
        stream.write(randomBytes(1_000));
      });

      assert.equal(text, "enough");
      pair.stop();
    });

    test("an aborted stream that never sent anything does not use up the limit", async () => {
      const pair = await connectPair(makeTransport());
      pair.rift.accept(echo);

      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 4_000; n++) pair.edge.openStream(handler()).abort(0x10);
        assert.equal((await exchange(pair.edge, Buffer.from("still here"))).bytes, 10);
      }
      pair.stop();
    });

    test("close carries code and reason, and takes open streams with it", async () => {
      const pair = await connectPair(makeTransport());
      const lost = new Promise<number>((resolve) => {
        pair.edge.openStream(handler({ onAbort: resolve })).write(Buffer.from("x"));
      });

      pair.rift.close(0x03, "refused: unknown tunnel");

      const end = await pair.edge.closed;
      assert.deepEqual(end, { kind: "peer", code: 0x03, reason: "refused: unknown tunnel" });
      assert.equal((await pair.rift.closed).kind, "local");
      assert.equal(await lost, CONNECTION_LOST_STREAM_CODE);
      assert.throws(() => pair.edge.openStream(handler()), { code: "CONNECTION_CLOSED" });
      pair.stop();
    });

    test("streams that come before accept() wait for it", async () => {
      const pair = await connectPair(makeTransport());
      const answer = exchange(pair.edge, Buffer.from("early"));
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

      pair.rift.accept(echo);

      assert.equal((await answer).bytes, 5);
      pair.stop();
    });
  });
}
