import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { test } from "node:test";

import fc from "fast-check";

import { TunnelError } from "../../src/errors.ts";
import { MAX_CONTROL_FRAME_BYTES, MAX_HEAD_BYTES } from "../../src/limits.ts";
import { encodeControl } from "../../src/wire/control.ts";
import type { ControlMessage } from "../../src/wire/control.ts";
import { ControlReader } from "../../src/wire/control_reader.ts";
import { FRAME, frameText } from "../../src/wire/frame.ts";
import {
  encodeRequestHead,
  encodeResponseHead,
  requestHeadReader,
  responseHeadReader,
} from "../../src/wire/head.ts";
import type { RequestHead, ResponseHead } from "../../src/wire/head.ts";
import { Cursor, varintText } from "../../src/wire/varint.ts";

// One seed per run, printed, so that a failure can be repeated: MCPTUN_SEED=… runs the same cases.
const SEED = Number(process.env["MCPTUN_SEED"] ?? Date.now() % 2 ** 31);
console.log(`wire property seed ${SEED}`);

/** Room of a partial frame above its payload: two integers of eight bytes. */
const FRAME_HEADER_BYTES = 16;

const tunnelName = fc.stringMatching(/^[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?$/);
const label = fc.stringMatching(/^[\x21-\x7e]{1,20}$/);
const headerPairs = fc.array(
  fc.tuple(
    fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,30}$/),
    fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,90}$/),
  ),
  { maxLength: 20 },
).map((pairs) => pairs.flat());

const requestHead: fc.Arbitrary<RequestHead> = fc.record({
  tunnel: tunnelName,
  method: fc.constantFrom("GET", "POST", "DELETE", "X-custom!"),
  target: fc.stringMatching(/^([/?][\x21-\x7e]{0,80})?$/),
  publicHost: fc.constantFrom("example.com", "[::1]:8080", "127.0.0.1:1"),
  publicScheme: fc.constantFrom("http", "https"),
  clientAddress: label,
  exchangeId: label,
  base: fc.constantFrom(undefined, "origin" as const),
  known: fc.constantFrom(undefined, "user" as const, "edge" as const),
  headers: headerPairs,
}, { noNullPrototype: true });

const responseHead: fc.Arbitrary<ResponseHead> = fc.record({
  status: fc.integer({ min: 200, max: 599 }),
  statusText: fc.constantFrom("", "OK", "Tr\u00e8s bien"),
  headers: headerPairs,
  error: fc.constantFrom("UPSTREAM_UNREACHABLE", "INTERNAL"),
}, { noNullPrototype: true, requiredKeys: ["status", "statusText", "headers"] });

const sequence = fc.maxSafeNat();
const delayMs = fc.integer({ min: 0, max: 86_400_000 });
const prose = fc.string({ unit: "grapheme-ascii", maxLength: 150 });
const names = fc.uniqueArray(tunnelName, { minLength: 1, maxLength: 5 });
const claims = names.map((list) =>
  list.map((name, index) => ({
    name,
    protocol: index % 2 === 0 ? "mcp" as const : "http" as const,
  }))
);
const features = fc.array(fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,10}$/), { maxLength: 4 });
const someBytes = fc.uint8Array({ minLength: 1, maxLength: 512 });
const version = fc.integer({ min: 1, max: 65_535 });

const controlMessage: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({
    type: fc.constant("hello" as const),
    versions: fc.array(version, { minLength: 1, maxLength: 5 }),
    features,
    instance: label,
    epoch: sequence,
    software: prose,
    attempt: sequence,
    tunnels: claims,
    waiting: names,
  }, {
    noNullPrototype: true,
    requiredKeys: [
      "type",
      "versions",
      "features",
      "instance",
      "epoch",
      "software",
      "attempt",
      "tunnels",
    ],
  }),
  record({
    type: fc.constant("welcome" as const),
    version,
    features,
    edge: label,
    tunnels: names,
    heartbeatMs: fc.integer({ min: 100, max: 86_400_000 }),
    timeMs: fc.option(sequence, { nil: undefined }),
  }),
  record({
    type: fc.constant("refusal" as const),
    code: fc.constantFrom("version", "credential", "limit", "protocol"),
    reason: prose,
    retryAfterMs: fc.option(delayMs, { nil: undefined }),
    tunnel: fc.option(tunnelName, { nil: undefined }),
  }),
  record({ type: fc.constant("claim" as const), tunnels: claims }),
  record({ type: fc.constantFrom("claimed", "release"), tunnels: names }),
  record({ type: fc.constantFrom("heartbeat", "heartbeat_ack"), sequence }),
  record({ type: fc.constant("goodbye" as const), reason: prose, deadlineMs: delayMs }),
  record({ type: fc.constant("renew" as const), publicKey: someBytes, proof: someBytes }),
  record({ type: fc.constant("renewed" as const), certificate: someBytes }),
  record({
    type: fc.constant("renew_refused" as const),
    reason: prose,
    retryAfterMs: fc.option(delayMs, { nil: undefined }),
  }),
  record({ type: fc.constant("ending" as const), endsMs: fc.nat(), reason: prose }),
);

const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });

test("an integer is the same after encoding and decoding", () => {
  check(fc.property(fc.maxSafeNat(), (value) => {
    assert.equal(new Cursor(Buffer.from(varintText(value), "latin1")).varint(), value);
  }));
});

test("a request head is the same after any cut of its stream, and the body follows", () => {
  check(fc.property(requestHead, fc.uint8Array({ maxLength: 60 }), cuts, (head, body, sizes) => {
    const found = readHead(requestHeadReader(), join(encodeRequestHead(head), body), sizes);

    assert.deepEqual(found?.head, head);
    assert.deepEqual(found?.body, Buffer.from(body));
  }));
});

test("a response head is the same after any cut of its stream, and the body follows", () => {
  check(fc.property(responseHead, fc.uint8Array({ maxLength: 60 }), cuts, (head, body, sizes) => {
    const found = readHead(responseHeadReader(), join(encodeResponseHead(head), body), sizes);

    assert.deepEqual(found?.head, head);
    assert.deepEqual(found?.body, Buffer.from(body));
  }));
});

test("control messages are the same after any cut of their stream", () => {
  check(fc.property(fc.array(controlMessage, { maxLength: 6 }), cuts, (messages, sizes) => {
    const reader = new ControlReader();
    const bytes = Buffer.concat(messages.map(encodeControl));

    const read = split(bytes, sizes).flatMap((chunk) => reader.push(chunk));

    assert.deepEqual(read, messages);
  }));
});

test("any bytes give a value or PROTOCOL_ERROR, in bounded memory", () => {
  const frameType = fc.constantFrom(...Object.values(FRAME));
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    // Random bytes seldom are a frame: the second half gets past the frame header.
    fc.tuple(frameType, fc.uint8Array({ maxLength: 200 })).map(([type, payload]) =>
      Buffer.from(frameText(type, Buffer.from(payload).toString("latin1")), "latin1")
    ),
  );
  check(fc.property(anyBytes, cuts, (bytes, sizes) => feedAll(bytes, sizes)));
});

test("a changed valid frame gives a value or PROTOCOL_ERROR", () => {
  const frame = fc.oneof(
    requestHead.map(encodeRequestHead),
    responseHead.map(encodeResponseHead),
    controlMessage.map(encodeControl),
  );
  const edits = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 });
  check(fc.property(frame, edits, cuts, (valid, changes, sizes) => {
    const bytes = Buffer.from(valid);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    feedAll(bytes, sizes);
  }));
});

test("a frame that never ends reserves no more than the limit", () => {
  const readers = [
    { reader: new ControlReader(), type: FRAME.goodbye, limit: MAX_CONTROL_FRAME_BYTES },
    { reader: requestHeadReader(), type: FRAME.requestHead, limit: MAX_HEAD_BYTES },
  ];
  let checked = 0;

  for (const { reader, type, limit } of readers) {
    reader.push(Buffer.from(varintText(type) + varintText(limit), "latin1"));
    assert.ok(reader.reservedBytes <= 1_024, "an announced length reserves nothing");
    reader.push(new Uint8Array(limit - 1));
    assert.ok(reader.reservedBytes <= limit + FRAME_HEADER_BYTES);
    checked += 1;
  }

  assert.equal(checked, 2);
});

function feedAll(bytes: Uint8Array, sizes: readonly number[]): void {
  for (const reader of [new ControlReader(), requestHeadReader(), responseHeadReader()]) {
    valueOrProtocolError(() => {
      for (const chunk of split(bytes, sizes)) {
        if (reader instanceof ControlReader) reader.push(chunk);
        else if (reader.push(chunk) !== undefined) return;
        assert.ok(reader.reservedBytes <= 2 * bytes.length + 256);
      }
    });
  }
}

function valueOrProtocolError(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (error instanceof TunnelError && error.code === "PROTOCOL_ERROR") return;
    throw error;
  }
}

interface Reader<T> {
  push(chunk: Uint8Array): { head: T; rest: Uint8Array } | undefined;
}

function readHead<T>(reader: Reader<T>, bytes: Uint8Array, sizes: readonly number[]) {
  const chunks = split(bytes, sizes);
  for (const [index, chunk] of chunks.entries()) {
    const found = reader.push(chunk);
    if (found === undefined) continue;
    return { head: found.head, body: Buffer.concat([found.rest, ...chunks.slice(index + 1)]) };
  }
  return undefined;
}

/** Cuts `bytes` in pieces of `sizes`, over and over. */
function split(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

function check<T>(property: fc.IPropertyWithHooks<T>): void {
  fc.assert(property, { seed: SEED, numRuns: 400 });
}

/** Objects with a prototype, as the decoders make them, so that strict comparison holds. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}
