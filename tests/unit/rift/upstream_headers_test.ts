import assert from "node:assert/strict";
import { test } from "node:test";

import { upstreamHeaders } from "../../../src/rift/upstream_headers.ts";

const HEAD = {
  tunnel: "t",
  method: "POST",
  target: "",
  publicHost: "mcp.example.com",
  publicScheme: "https",
  clientAddress: "203.0.113.5",
  exchangeId: "x",
} as const;

test("upstreamHeaders() drops Host, Origin and framing even when an edge sends them", () => {
  const headers = [
    "Host",
    "evil",
    "ORIGIN",
    "https://x",
    "Transfer-Encoding",
    "chunked",
    "Connection",
    "close",
    "Upgrade",
    "websocket",
    "Expect",
    "100-continue",
    "Accept",
    "*/*",
  ];

  assert.deepEqual(upstreamHeaders({ ...HEAD, headers }), [
    "Accept",
    "*/*",
    "X-Forwarded-Host",
    "mcp.example.com",
    "X-Forwarded-Proto",
    "https",
    "X-Forwarded-For",
    "203.0.113.5",
  ]);
});

test("upstreamHeaders() appends the client to the chain that the operator's proxy began", () => {
  const headers = ["X-Forwarded-For", "198.51.100.1"];

  assert.deepEqual(upstreamHeaders({ ...HEAD, headers }).slice(-2), [
    "X-Forwarded-For",
    "198.51.100.1, 203.0.113.5",
  ]);
});

test("upstreamHeaders() keeps the order of a chain in several lines: the nearest hop is last", () => {
  const headers = ["X-Forwarded-For", "192.0.2.66", "X-Forwarded-For", "198.51.100.1"];

  assert.deepEqual(upstreamHeaders({ ...HEAD, headers }).slice(-2), [
    "X-Forwarded-For",
    "192.0.2.66, 198.51.100.1, 203.0.113.5",
  ]);
});
