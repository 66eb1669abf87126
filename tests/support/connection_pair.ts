/** Two connected ends over any transport, and small stream handlers for tests. @module */

import { createHash } from "node:crypto";

import { systemClock } from "../../src/clock.ts";
import type { Logger } from "../../src/log.ts";
import { silentLogger } from "../../src/log.ts";
import type {
  Connection,
  Listener,
  Stream,
  StreamHandler,
  TlsMaterial,
  Transport,
} from "../../src/transport/transport.ts";
import { SERVER_NAME } from "../../src/identity/tunnel_ca.ts";
import type { TestPki } from "./test_pki.ts";
import { makeTestPki } from "./test_pki.ts";

/** An edge end and a rift end. */
export interface ConnectionPair {
  readonly edge: Connection;
  readonly rift: Connection;
  readonly listener: Listener;
  readonly stop: () => void;
}

let pki: Promise<TestPki> | undefined;

/** One set of test certificates for the whole process. */
export function testPki(): Promise<TestPki> {
  return pki ??= makeTestPki();
}

/** Listens and connects, and waits for both ends. */
export async function connectPair(
  transport: Transport,
  tls: { readonly server?: TlsMaterial; readonly client?: TlsMaterial; readonly log?: Logger } = {},
): Promise<ConnectionPair> {
  const certificates = await testPki();
  const controller = new AbortController();
  const common = {
    clock: systemClock,
    log: tls.log ?? silentLogger,
    signal: controller.signal,
    host: "127.0.0.1",
  };
  let onEdge!: (connection: Connection) => void;
  const edgeEnd = new Promise<Connection>((resolve) => onEdge = resolve);
  const listener = await transport.listen({
    ...common,
    port: 0,
    tls: tls.server ?? certificates.server,
    onConnection: onEdge,
  });
  const rift = await transport.connect({
    ...common,
    port: listener.address.port,
    serverName: SERVER_NAME,
    tls: tls.client ?? certificates.client,
  });
  return { edge: await edgeEnd, rift, listener, stop: () => controller.abort() };
}

/** A handler that does nothing but what `overrides` says. */
export function handler(overrides: Partial<StreamHandler> = {}): StreamHandler {
  return { onData() {}, onDrain() {}, onStopped() {}, onAbort() {}, ...overrides };
}

/** Sends back what it gets, with back-pressure. */
export function echo(stream: Stream): StreamHandler {
  return handler({
    onData(chunk, fin) {
      if (fin) stream.end(chunk);
      else if (!stream.write(chunk)) stream.pause();
    },
    onDrain: () => stream.resume(),
  });
}

/** Sends `body` on a new stream and reads the answer to its end. */
export function exchange(
  connection: Connection,
  body: Uint8Array,
): Promise<{ bytes: number; sha256: string }> {
  return new Promise((resolve, reject) => {
    const hash = createHash("sha256");
    let bytes = 0;
    let offset = 0;
    const stream = connection.openStream(handler({
      onData(chunk, fin) {
        bytes += chunk.length;
        hash.update(chunk);
        if (fin) resolve({ bytes, sha256: hash.digest("hex") });
      },
      onDrain: () => send(),
      onAbort: (code) => reject(new Error(`aborted: ${code}`)),
    }));
    const send = () => {
      while (offset < body.length) {
        const end = Math.min(offset + 60_000, body.length);
        const more = stream.write(body.slice(offset, end));
        offset = end;
        if (!more) return;
      }
      stream.end();
    };
    send();
  });
}

/** SHA-256 in hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
