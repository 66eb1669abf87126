/**
 * A peer with a good certificate that speaks as it likes: over real QUIC, beside an honest rift.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";

import { systemClock } from "../../src/clock.ts";
import { derOfPem } from "../../src/transport/pem.ts";
import type { LogFields, Logger } from "../../src/log.ts";
import { silentLogger } from "../../src/log.ts";
import { quicTransport } from "../../src/transport/quic/quic_transport.ts";
import type {
  Connection,
  ConnectionEnd,
  Stream,
  StreamHandler,
  TlsMaterial,
} from "../../src/transport/transport.ts";
import { encodeControl } from "../../src/wire/control.ts";
import type { ControlMessage, Hello } from "../../src/wire/control.ts";
import { ControlReader } from "../../src/wire/control_reader.ts";
import { FRAME, frameText } from "../../src/wire/frame.ts";
import { binary } from "../../src/wire/text.ts";
import { varintText } from "../../src/wire/varint.ts";
import { handler, testPki } from "./connection_pair.ts";
import { ask, startServer } from "./http_probe.ts";
import { makeClient } from "./test_pki.ts";
import type { Bench } from "./tunnel_bench.ts";
import { ANY_RIFT, authorityOf, startBench, WEB_TUNNEL } from "./tunnel_bench.ts";
import { echoBody } from "./tunnel_context.ts";

/** An edge, an honest rift that serves `web`, and a credential that may serve `bad`. */
export interface HostileBench {
  readonly bench: Bench;
  /** URL of the tunnel that the hostile rift serves. */
  readonly badUrl: string;
  readonly logged: readonly string[];
  /** Connects; says nothing yet. */
  connect(): Promise<HostileRift>;
  /** Connects and registers for `bad`; each request is given to `onExchange`. */
  register(
    onExchange: (stream: Stream) => StreamHandler,
    changes?: Partial<Hello>,
  ): Promise<HostileRift>;
  /** The honest rift's tunnel gives the right answer. @throws When it does not. */
  assertHonest(): Promise<void>;
  close(): Promise<void>;
}

/** One hostile connection. */
export class HostileRift {
  readonly connection: Connection;
  readonly control: Stream;
  /** What the edge said on the control stream. */
  readonly heard: ControlMessage[] = [];
  #wake: (() => void) | undefined;
  #ended: ConnectionEnd | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    const reader = new ControlReader();
    this.control = connection.openStream(handler({
      onData: (chunk) => {
        this.heard.push(...reader.push(chunk));
        this.#wake?.();
      },
    }));
    void connection.closed.then((end) => {
      this.#ended = end;
      this.#wake?.();
    });
  }

  /** Sends raw bytes on the control stream; latin1. */
  raw(text: string): void {
    this.control.write(binary(text));
  }

  /** @returns Whether the queue of this side has room for more. */
  say(message: ControlMessage): boolean {
    return this.control.write(encodeControl(message));
  }

  /** Waits for a message of this type. @throws When the connection ends before. */
  async hears(type: ControlMessage["type"]): Promise<ControlMessage> {
    const find = () => this.heard.find((message) => message.type === type);
    await this.until(() => find() !== undefined);
    return find()!;
  }

  /** Waits until it holds; looked at with each message. @throws When the connection ends before. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#ended !== undefined) throw new Error(`Ended: ${JSON.stringify(this.#ended)}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** A hello for the tunnel `bad`. */
export function hello(changes: Partial<Hello> = {}): Hello {
  return {
    type: "hello",
    versions: [1],
    features: [],
    instance: "hostile",
    epoch: 1,
    software: "hostile/1",
    attempt: 0,
    tunnels: [{ name: "bad", protocol: "http" }],
    ...changes,
  };
}

/** A response head frame with anything in it: nothing of it is checked. */
export function anyHead(head: {
  readonly status: number;
  readonly statusText?: string;
  readonly headers?: readonly string[];
  readonly error?: string;
}): string {
  const { status, statusText, headers = [], error } = head;
  const names = headers.filter((_, at) => at % 2 === 0);
  const values = headers.filter((_, at) => at % 2 === 1);
  const lengths = names.map((name, at) => varintText(name.length) + varintText(values[at]!.length));
  const block = varintText(names.length) + lengths.join("") + names.join("") + values.join("");
  const field = (key: number, text: string) => varintText(key) + varintText(text.length) + text;
  return frameText(
    FRAME.responseHead,
    field(1, block) + field(3, varintText(status)) +
      (statusText === undefined ? "" : field(2, statusText)) +
      (error === undefined ? "" : field(4, error)),
  );
}

/** Answers each request with these bytes and the end of the stream. */
export function answering(bytes: () => string): (stream: Stream) => StreamHandler {
  return (stream) =>
    handler({
      onData(_chunk, fin) {
        if (fin) stream.end(binary(bytes()));
      },
    });
}

/** Starts the edge with both rifts' tunnels. */
export async function startHostileBench(): Promise<HostileBench> {
  const pki = await testPki();
  const dayMs = 24 * 60 * 60 * 1_000;
  const validity = { notBeforeMs: Date.now() - dayMs, notAfterMs: Date.now() + dayMs };
  const hostileTls: TlsMaterial = {
    caPem: pki.caPem,
    ...await makeClient(pki.ca, validity, "hostile"),
  };
  const hostileDer = Buffer.from(derOfPem(hostileTls.certPem)[0]!);
  const honest = { ...ANY_RIFT, name: "honest", mayClaim: (name: string) => name === "web" };
  const hostile = {
    ...ANY_RIFT,
    name: "hostile",
    serial: "02",
    mayClaim: (name: string) => name === "bad",
  };
  const logged: string[] = [];
  const upstream = await startServer(echoBody);
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({
        transport: quicTransport(),
        serverTls: pki.server,
        clientTls: pki.client,
      }),
    tunnels: [WEB_TUNNEL, { ...WEB_TUNNEL, name: "bad", path: "/bad" }],
    log: collecting(logged),
    edge: {
      rifts: {
        ...authorityOf(honest),
        verify: (certificates) =>
          Promise.resolve(hostileDer.equals(certificates[0] ?? hostileDer) ? hostile : honest),
        recheck: (rift) => Promise.resolve(rift),
      },
    },
  });
  const rift = bench.rift([{ tunnel: "web", upstream: upstream.url, protocol: "http" }]);
  await rift.ready;
  const controller = new AbortController();
  let asked = 0;

  const connect = async (): Promise<HostileRift> => {
    const connection = await bench.transport.connect({
      ...bench.edge.tunnelAddress,
      serverName: "mcptun-edge",
      tls: hostileTls,
      clock: systemClock,
      log: silentLogger,
      signal: controller.signal,
    });
    return new HostileRift(connection);
  };
  return {
    bench,
    badUrl: bench.edge.tunnelUrl("bad"),
    logged,
    connect,
    async register(onExchange, changes) {
      const peer = await connect();
      peer.connection.accept(onExchange);
      peer.say(hello({ epoch: Date.now(), ...changes }));
      await peer.hears("welcome");
      return peer;
    },
    async assertHonest() {
      const body = `honest ${asked++}`;
      const answer = await ask(`${bench.edge.tunnelUrl("web")}/`, { method: "POST", body });
      assert.equal(answer.status, 200);
      assert.equal(String(answer.body), body);
    },
    async close() {
      controller.abort();
      await bench.close();
      await upstream.close();
    },
  };
}

/** Keeps level and message of everything from `info` on. */
function collecting(lines: string[]): Logger {
  const keep = (level: string) => (message: string, _fields?: LogFields) => {
    lines.push(`${level} ${message}`);
  };
  const log: Logger = {
    debug() {},
    info: keep("info"),
    warn: keep("warn"),
    error: keep("error"),
    child: () => log,
  };
  return log;
}
