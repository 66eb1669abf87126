import assert from "node:assert/strict";
import { test } from "node:test";

import { readRequestHeaders, readResponseHeaders } from "../../../src/edge/request_headers.ts";

const PASS = { forwarded: "drop", proxyHeaders: undefined, proxyIdentity: "drop" } as const;
const THEIRS = { cors: "theirs", auth: "upstream" } as const;

test("readRequestHeaders() keeps order and case of what travels on", () => {
  const pairs = ["Host", "h", "X-B", "1", "x-a", "2", "X-B", "3", "Accept", "*/*"];

  const { endToEnd, host, hosts, count } = readRequestHeaders(pairs, PASS);

  assert.deepEqual(endToEnd, ["X-B", "1", "x-a", "2", "X-B", "3", "Accept", "*/*"]);
  assert.deepEqual([host, hosts, count], ["h", 1, 5]);
});

test("readRequestHeaders() leaves out what Connection names, but never the length", () => {
  const pairs = ["Connection", "X-A, content-length", "x-a", "1", "Content-Length", "3"];

  const { endToEnd } = readRequestHeaders(pairs, PASS);

  assert.deepEqual(endToEnd, ["Content-Length", "3"]);
});

test("readRequestHeaders() finds an Mcp header that is there twice", () => {
  const pairs = ["Mcp-Name", "a", "Mcp-Method", "b", "mcp-name", "c"];

  assert.equal(readRequestHeaders(pairs, PASS).duplicate, "mcp-name");
});

test("readResponseHeaders() refuses lengths that cannot frame an answer", () => {
  const cases = [
    ["Content-Length", "1", "content-length", "1"],
    ["Content-Length", "-1"],
    ["Content-Length", "1, 1"],
    ["Content-Length", ""],
  ];

  for (const headers of cases) assert.equal(readResponseHeaders(headers, THEIRS), undefined);
  assert.equal(cases.length, 4);
});

test("readResponseHeaders() asks proxies not to buffer events, unless the upstream has spoken", () => {
  const plain = readResponseHeaders(["Content-Type", "Text/Event-Stream; charset=utf-8"], THEIRS);
  const spoken = readResponseHeaders([
    "Content-Type",
    "text/event-stream",
    "X-Accel-Buffering",
    "yes",
  ], THEIRS);

  assert.equal(plain?.eventStream, "plain");
  assert.deepEqual(plain?.endToEnd.slice(2), ["X-Accel-Buffering", "no"]);
  assert.equal(spoken?.endToEnd.length, 4);
});
