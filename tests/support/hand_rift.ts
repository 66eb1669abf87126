/** A rift made by hand, against real sessions of an edge, on a clock that the test moves. @module */

import { memoryRegistry } from "../../src/edge/registry.ts";
import type { RiftAuthority } from "../../src/edge/edge_options.ts";
import { RiftSession, type SessionContext } from "../../src/edge/rift_session.ts";
import { type Logger, silentLogger } from "../../src/log.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import type { Connection, Stream } from "../../src/transport/transport.ts";
import { type ControlMessage, encodeControl } from "../../src/wire/control.ts";
import { ControlReader } from "../../src/wire/control_reader.ts";
import { type FakeClock, fakeClock } from "./fake_clock.ts";
import { authorityOf, MCP_TUNNEL } from "./tunnel_bench.ts";

const TLS = { caPem: "", certPem: "", keyPem: "" };
/** When the credential of a hand-made rift ends: one minute after the fake clock's start. */
export const ENDS_AT_MS = 1_800_000_000_000 + 60_000;
/** The hello of a rift that wants the tunnel "code". */
export const HELLO = {
  type: "hello",
  versions: [1],
  features: [],
  instance: "i1",
  epoch: 10,
  software: "test",
  attempt: 0,
  tunnels: [{ name: "code", protocol: "mcp" }],
} as const;

/** It says what the test says. */
export class HandRift {
  readonly connection: Connection;
  readonly #stream: Stream;
  readonly #received: ControlMessage[] = [];
  #wake: (() => void) | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    const reader = new ControlReader();
    this.#stream = connection.openStream({
      onData: (chunk) => {
        this.#received.push(...reader.push(chunk));
        this.#wake?.();
      },
      onDrain() {},
      onStopped() {},
      onAbort() {},
    });
  }

  say(message: ControlMessage): void {
    this.#stream.write(encodeControl(message));
  }

  pause(): void {
    this.#stream.pause();
  }

  async hear(): Promise<ControlMessage> {
    for (;;) {
      const message = this.#received.shift();
      if (message !== undefined) return message;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** The edge's side, and a way to it. */
export interface HandBench {
  readonly clock: FakeClock;
  readonly context: SessionContext;
  /** Connections whose rift the edge has let in. */
  readonly trusted: readonly string[];
  dial(): Promise<HandRift>;
  /** Dials, says `HELLO` with these changes, and hears the welcome. */
  connect(
    changes?: Partial<Extract<ControlMessage, { type: "hello" }>>,
  ): Promise<HandRift>;
}

/** An edge with the tunnel "code", whose authority takes every rift unless told otherwise. */
export async function startHandBench(
  rifts?: RiftAuthority,
  log: Logger = silentLogger,
): Promise<HandBench> {
  const clock = fakeClock();
  const context: SessionContext = {
    edgeId: "e",
    tunnels: new Map([["code", MCP_TUNNEL]]),
    registry: memoryRegistry(),
    rifts: rifts ?? authorityOf({
      name: "r",
      serial: "1",
      expiresAtMs: ENDS_AT_MS,
      mayClaim: () => true,
    }),
    sessions: new Set(),
    clock,
    log,
  };
  const transport = memoryTransport();
  const trusted: string[] = [];
  const { signal } = new AbortController();
  const endpoint = { tls: TLS, clock, log: silentLogger, signal, host: "127.0.0.1" };
  const { address } = await transport.listen({
    ...endpoint,
    port: 0,
    onConnection(connection) {
      connection.trust = () => void trusted.push(connection.id);
      void new RiftSession(context, connection);
    },
  });
  const dial = async () =>
    new HandRift(
      await transport.connect({ ...endpoint, port: address.port, serverName: "mcptun-edge" }),
    );
  return {
    clock,
    context,
    trusted,
    dial,
    async connect(changes = {}) {
      const rift = await dial();
      rift.say({ ...HELLO, ...changes });
      const answer = await rift.hear();
      if (answer.type !== "welcome") throw new Error(`No welcome: ${JSON.stringify(answer)}`);
      return rift;
    },
  };
}
