import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import { TunnelError } from "../../../src/errors.ts";
import { MAX_EVENT_LINES } from "../../../src/limits.ts";
import { EventRefusal, type EventRoom, EventStreamFilter } from "../../../src/mcp/sse.ts";
import type { EventVerdict } from "../../../src/mcp/sse.ts";

/** Data that begins with "no" goes, "big" grows; everything else passes. */
function judge(data: Buffer): EventVerdict {
  const text = data.toString();
  if (text.startsWith("no")) return "drop";
  if (text === "end") return Buffer.from("x\u2028y");
  return text.startsWith("big") ? Buffer.from("x\ny\r\nz") : "pass";
}

test("events pass as the bytes they are, and only what must changes", () => {
  const cases: readonly (readonly [name: string, input: string, output: string])[] = [
    ["LF", "data: a\n\n", "data: a\n\n"],
    ["CRLF", "data: a\r\n\r\n", "data: a\r\n\r\n"],
    ["several", "data: a\n\ndata: b\n\n", "data: a\n\ndata: b\n\n"],
    ["a comment", ": hello\n\n", ":\n\n"],
    ["comment lines alone", ":\r\n:\r\n:\n", ":\n:\n:\n"],
    ["a comment that some readers take for events", ": \v\vdata: {}\v\v\n", ":\n"],
    ["a comment in an event", "data: a\n: \u2028data: b\u2028\n\n", "data: a\n\n"],
    ["a comment after an id", "id: 1\n:\u0085\n\n", "id: 1\n\n"],
    [
      "line ends of other readers in data",
      "data: a\u2028b\u2029c\u0085d\u2019e\u00c2\n\n",
      "data: a\\u2028b\\u2029c\\u0085d\u2019e\u00c2\n\n",
    ],
    ["the same where data is rewritten", "data: end\n\n", "data: x\\u2028y\n\n"],
    ["the same in an id", "id: a\u2028data: b\ndata: a\n\n", "data: a\n\n"],
    ["a control in retry", "retry: 1\x1cdata: b\nid: 2\n\n", "id: 2\n\n"],
    ["a control in a type", "event: message\v\ndata: b\nid: 2\n\n", "id: 2\n\n"],
    ["a control in a type alone", "event: \x1edata: b\n\n", ""],
    ["a priming event", "id: 1\ndata: \n\n", "id: 1\ndata: \n\n"],
    ["a priming event without data", "id: 1\nretry: 5\n\n", "id: 1\nretry: 5\n\n"],
    ["data without a colon", "data\n\n", "data\n\n"],
    ["several data lines", 'data: {"a":\ndata:1}\n\n', 'data: {"a":\ndata:1}\n\n'],
    ["the type message", "event: message\ndata: a\n\n", "event: message\ndata: a\n\n"],
    ["blank lines", "\n\n\ndata: a\n\n\n", "\n\n\ndata: a\n\n\n"],
    ["a dropped event", "data: no\n\ndata: a\n\n", "data: a\n\n"],
    ["a dropped event with an id", "event: message\nid: 7\ndata: no\n\n", "id: 7\n\n"],
    [
      "a rewritten event",
      "id: 1\ndata: big\nretry: 2\n\n",
      "id: 1\ndata: x\ndata: y\ndata: z\nretry: 2\n\n",
    ],
    ["a rewritten event of two lines", "data: big\ndata: x\n\n", "data: x\ndata: y\ndata: z\n\n"],
    ["a rewritten event with CRLF", "data: big\r\n\r\n", "data: x\ndata: y\ndata: z\n\n"],
    ["another type", "event: endpoint\ndata: /x\n\n", ""],
    ["another type with an id", "event: endpoint\nid: 1\ndata: /x\n\n", "id: 1\n\n"],
    ["an unknown field", "Data: b\ndata: a\n\n", "data: a\n\n"],
    ["only unknown fields", "Data: b\n\n", ""],
    ["an id with NUL", "id: \u0000\ndata: a\n\n", "data: a\n\n"],
    ["CR", "data: a\r\rdata: b\r\r", "data: a\n\ndata: b\n\n"],
    ["a blank line of CR", "data: a\n\rdata: b\n\n", "data: a\n\r\ndata: b\n\n"],
    ["CR in a comment", ":a\rdata: b\n\n", ":\ndata: b\n\n"],
    ["a byte order mark", "\ufeffdata: a\n\n", "data: a\n\n"],
    ["a byte order mark later", "data: a\n\n\ufeffdata: b\n\n", "data: a\n\n"],
    ["an end without a blank line", "data: a\n\ndata: b\n", "data: a\n\n"],
    ["an end within a line", "data: a\n\ndata: b", "data: a\n\n"],
    ["non-ASCII", "data: é😀\n\n", "data: é😀\n\n"],
    ["a colon in the data", "data: a: b\n\n", "data: a: b\n\n"],
    ["nothing", "", ""],
  ];
  let count = 0;

  for (const [name, input, output] of cases) {
    const bytes = Buffer.from(input);
    for (let size = 1; size <= Math.max(1, bytes.length); size++) {
      assert.equal(run(bytes, size).output.toString(), output, `${name}, in chunks of ${size}`);
      count++;
    }
  }

  assert.equal(count, 682);
});

test("the callback is given the data that a client would read", () => {
  const input = Buffer.from('data: {"a":\r\ndata:  1\r\ndata:}\r\n\r\ndata:x\n\ndata: \n\n');
  let count = 0;

  for (let size = 1; size <= input.length; size++) {
    assert.deepEqual(run(input, size).data, ['{"a":\n 1\n}', "x"]);
    count++;
  }

  assert.equal(count, input.length);
});

test("whole events of a chunk pass in one piece, as a view of the chunk", () => {
  const chunk = Buffer.from("data: a\n\n:\n\ndata: b\n\n");
  const emitted: Buffer[] = [];
  const filter = new EventStreamFilter({
    maxEventBytes: 100,
    inspect: () => "pass",
    emit: (bytes) => emitted.push(bytes),
  });

  filter.push(chunk);

  assert.equal(emitted.length, 1);
  assert.equal(emitted[0]?.buffer, chunk.buffer);
});

test("an event passes with its last byte, and a comment with its line", () => {
  const emitted: string[] = [];
  const filter = new EventStreamFilter({
    maxEventBytes: 100,
    inspect: () => "pass",
    emit: (bytes) => emitted.push(bytes.toString()),
  });

  for (const text of [":keep", "-alive\n", "data: a\r\n", "\r", "\ndata: b\n", "\n"]) {
    filter.push(Buffer.from(text));
  }

  assert.deepEqual(emitted, [":\n", "data: a\r\n\r\n", "data: b\n\n"]);
});

test("an event above the limit cuts the stream, however it is chunked", () => {
  const fits = Buffer.from(`data: ${"x".repeat(12)}\n\n`);
  const input = Buffer.from(`data: a\n\ndata: ${"x".repeat(13)}\n\ndata: b\n\n`);
  let count = 0;

  assert.equal(run(fits, 3, 20).output.length, 20);
  for (let size = 1; size <= input.length; size++) {
    const emitted: Buffer[] = [];
    const filter = new EventStreamFilter({
      maxEventBytes: 20,
      inspect: () => "pass",
      emit: (bytes) => emitted.push(Buffer.from(bytes)),
    });
    const push = () => {
      for (let at = 0; at < input.length; at += size) filter.push(input.subarray(at, at + size));
    };
    assert.throws(
      push,
      (error) => error instanceof TunnelError && error.code === "UPSTREAM_FAILED",
    );
    assert.throws(() => filter.push(Buffer.from("data: c\n\n")), TunnelError);
    assert.ok("data: a\n\n".startsWith(Buffer.concat(emitted).toString()));
    count++;
  }

  assert.equal(count, input.length);
});

test("an event of too many lines cuts the stream", () => {
  const event = (lines: number) => Buffer.from(`${"data:\n".repeat(lines)}\n`);
  const filter = () =>
    new EventStreamFilter({ maxEventBytes: 1_000_000, inspect: () => "pass", emit: () => {} });

  // The blank line counts.
  filter().push(event(MAX_EVENT_LINES - 1));
  assert.throws(
    () => filter().push(event(MAX_EVENT_LINES)),
    (error) => error instanceof TunnelError && error.code === "UPSTREAM_FAILED",
  );
});

test("the end of a stream says how much of an event was left out", () => {
  const filter = new EventStreamFilter({ maxEventBytes: 100, inspect: judge, emit: () => {} });

  filter.push(Buffer.from("data: a\n\ndata: b\n"));

  assert.equal(filter.end(), 8);
  assert.equal(filter.end(), 0);
});

test("an event takes room in few large steps, and gives all of it back when it is written", () => {
  const { room, taken, steps } = countedRoom(1_000_000);
  const options = { maxEventBytes: 500_000, inspect: judge, emit: () => {}, room };
  const filter = new EventStreamFilter(options);
  const piece = Buffer.from("x".repeat(1_000));

  filter.push(Buffer.from("data: "));
  for (let count = 0; count < 30; count++) filter.push(piece);
  const small = taken();
  for (let count = 0; count < 400; count++) filter.push(piece);
  const large = taken();
  filter.push(Buffer.from("\n\n"));
  const whole = taken();
  filter.written();
  const written = taken();
  filter.push(Buffer.from("data: "));
  for (let count = 0; count < 100; count++) filter.push(piece);
  const again = taken();
  filter.end();
  filter.end();

  assert.equal(small, 0);
  assert.ok(large >= 430_000 && large <= 500_000, String(large));
  assert.equal(whole, large);
  assert.equal(written, 0);
  assert.ok(again >= 100_000, String(again));
  assert.equal(taken(), 0);
  assert.ok(steps() < 16, String(steps()));
});

test("an event that there is no room for cuts the stream, and holds nothing", () => {
  const { room, taken } = countedRoom(200_000);
  const options = { maxEventBytes: 1_000_000, inspect: judge, emit: () => {}, room };
  const [one, other] = [new EventStreamFilter(options), new EventStreamFilter(options)];

  one.push(Buffer.from(`data: ${"x".repeat(70_000)}`));
  one.push(Buffer.from("\n\n"));

  assert.throws(
    () => other.push(Buffer.from(`data: ${"x".repeat(70_000)}`)),
    (error) => error instanceof EventRefusal && error.reason === "no_room",
  );
  other.end();
  one.end();
  assert.equal(taken(), 0);
});

function countedRoom(mostBytes: number) {
  let taken = 0;
  let steps = 0;
  const room: EventRoom = {
    take: (bytes) => {
      steps++;
      if (taken + bytes > mostBytes) return false;
      taken += bytes;
      return true;
    },
    give: (bytes) => void (taken -= bytes),
  };
  return { room, taken: () => taken, steps: () => steps };
}

function run(input: Buffer, size: number, maxEventBytes = 1_000) {
  const data: string[] = [];
  const output: Buffer[] = [];
  const filter = new EventStreamFilter({
    maxEventBytes,
    inspect: (bytes) => {
      data.push(bytes.toString());
      return judge(bytes);
    },
    emit: (bytes) => output.push(Buffer.from(bytes)),
  });
  for (let at = 0; at < input.length; at += size) filter.push(input.subarray(at, at + size));
  filter.end();
  return { data, output: Buffer.concat(output) };
}
