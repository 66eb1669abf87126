/**
 * The same echo on the package's own `QUICServer` and `QUICClient` classes.
 *
 *     node package_echo.mjs server MATERIAL.json
 *     node package_echo.mjs client MATERIAL.json PORT
 *
 * The server prints {"port":N} and echoes. The client prints {"connected":true}, then answers
 * {"kind":"echo","inFlight":N,"bytes":N,"seconds":S}. These classes stall with many streams in flight, so
 * a run ends `GRACE_MS` after its time, and what was completed by then counts.
 *
 * @module
 */

import Logger, { LogLevel } from "@matrixai/logger";
import { events, QUICClient, QUICServer } from "@matrixai/quic";
import { createHmac, randomFillSync, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { serveCommands } from "../clients/stdio.mjs";
import { percentile } from "../lib/stats.mjs";

const GRACE_MS = 5_000;
const [role, materialFile, port] = process.argv.slice(2);
const material = JSON.parse(readFileSync(materialFile, "utf8"));
const logger = new Logger("package", LogLevel.SILENT, []);
// The package's own defaults, which did no worse than the core's settings in short trials,
// but for mutual TLS, early data and an idle timeout, so that a dead connection ends.
const shared = { verifyPeer: true, enableEarlyData: false, maxIdleTimeout: 15_000 };
const tls = ({ caPem, certPem, keyPem }) => ({ ca: caPem, cert: certPem, key: keyPem });
// A stalled stream rejects in places nobody can reach; it must not end the measurement.
process.on("unhandledRejection", () => {});
process.on("uncaughtException", (error) => console.error(error));

await (role === "server" ? serve() : drive());

async function serve() {
  const sign = (key, data) =>
    createHmac("sha256", Buffer.from(key)).update(Buffer.from(data)).digest();
  const server = new QUICServer({
    crypto: {
      key: randomFillSync(new Uint8Array(32)).buffer,
      ops: {
        sign: (key, data) => Promise.resolve(toArrayBuffer(sign(key, data))),
        verify: (key, data, signature) =>
          Promise.resolve(timingSafeEqual(sign(key, data), Buffer.from(signature))),
      },
    },
    config: { ...shared, ...tls(material.server) },
    logger,
  });
  server.addEventListener(events.EventQUICServerConnection.name, ({ detail: connection }) => {
    connection.addEventListener(events.EventQUICConnectionStream.name, ({ detail: stream }) => {
      stream.readable.pipeTo(stream.writable).catch(() => {}); // counted by the client
    });
  });
  await server.start({ host: "127.0.0.1", port: 0 });
  console.log(JSON.stringify({ port: server.port }));
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function drive() {
  const client = await QUICClient.createQUICClient({
    host: "127.0.0.1",
    port: Number(port),
    serverName: material.serverName,
    localHost: "127.0.0.1",
    crypto: {
      ops: {
        randomBytes(data) {
          randomFillSync(new Uint8Array(data));
          return Promise.resolve();
        },
      },
    },
    config: { ...shared, ...tls(material.client) },
    logger,
  });
  console.log(JSON.stringify({ connected: true }));
  await serveCommands((command) => echo(client.connection, command));
}

async function echo(connection, { inFlight, bytes, seconds }) {
  const body = new Uint8Array(bytes).fill(0x65);
  const latenciesMs = [];
  let failures = 0;
  let lastDone = performance.now();
  const start = lastDone;
  const end = start + seconds * 1_000;
  const one = async () => {
    const from = performance.now();
    const stream = connection.newStream();
    const writer = stream.writable.getWriter();
    const sent = writer.write(body).then(() => writer.close());
    let received = 0;
    for await (const chunk of stream.readable) received += chunk.length;
    await sent;
    if (received !== bytes) throw new Error("short echo");
    lastDone = performance.now();
    latenciesMs.push(lastDone - from);
  };
  const lane = async () => {
    while (performance.now() < end) {
      await one().catch(() => {
        failures++;
        return new Promise((resolve) => setTimeout(resolve, 10));
      });
    }
  };
  const lanes = Promise.all(Array.from({ length: inFlight }, lane)).then(() => "done");
  const limit = new Promise((resolve) =>
    setTimeout(resolve, seconds * 1_000 + GRACE_MS, "stalled")
  );
  const how = await Promise.race([lanes, limit]);
  // A stall must not make the rate look better than the asked time would.
  const took = Math.max(lastDone - start, seconds * 1_000) / 1_000;
  const sorted = latenciesMs.sort((a, b) => a - b);
  return {
    requests: sorted.length,
    rate: sorted.length / took,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    failures,
    stalled: how === "stalled" ? 1 : 0,
  };
}

function toArrayBuffer(buffer) {
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
}
