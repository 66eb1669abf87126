/** An edge made by hand: it takes connections in memory and says what the test says. @module */

import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { systemClock } from "../../src/clock.ts";
import { silentLogger } from "../../src/log.ts";
import type { Connection, Stream, Transport } from "../../src/transport/transport.ts";
import {
  type ControlMessage,
  encodeControl,
  type Hello,
  type Welcome,
} from "../../src/wire/control.ts";
import { ControlReader } from "../../src/wire/control_reader.ts";

/** What the edge does with a hello. */
export type HelloAnswer = (hello: Hello, tools: {
  readonly say: (message: ControlMessage) => void;
  readonly raw: (bytes: Uint8Array) => void;
  readonly connection: Connection;
}) => void;

/** A running edge. */
export interface HandEdge {
  readonly transport: Transport;
  readonly port: number;
  readonly hellos: readonly Hello[];
  close(): void;
}

/** Starts an edge that answers each hello with `answer`. */
export async function startHandEdge(answer: HelloAnswer): Promise<HandEdge> {
  const transport = memoryTransport();
  const hellos: Hello[] = [];
  const life = new AbortController();
  const listener = await transport.listen({
    host: "127.0.0.1",
    port: 0,
    tls: { caPem: "", certPem: "", keyPem: "" },
    clock: systemClock,
    log: silentLogger,
    signal: life.signal,
    onConnection: (connection) =>
      connection.accept((stream: Stream) => {
        const reader = new ControlReader();
        return {
          onData(chunk) {
            for (const message of reader.push(chunk)) {
              if (message.type !== "hello") continue;
              hellos.push(message);
              answer(message, {
                say: (reply) => void stream.write(encodeControl(reply)),
                raw: (bytes) => void stream.write(bytes),
                connection,
              });
            }
          },
          onDrain() {},
          onStopped() {},
          onAbort() {},
        };
      }),
  });
  return { transport, port: listener.address.port, hellos, close: () => life.abort() };
}

/** A welcome of an edge that can check. */
export function checkWelcome(tunnels: readonly string[], timeMs?: number): Welcome {
  const welcome = {
    type: "welcome",
    version: 1,
    features: ["check"],
    edge: "hand-edge",
    tunnels,
    heartbeatMs: 5_000,
    timeMs,
  } as const;
  return welcome;
}
