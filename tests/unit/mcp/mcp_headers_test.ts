import assert from "node:assert/strict";
import { test } from "node:test";

import {
  decodeHeaderValue,
  isHeaderProblem,
  readMcpHeaders,
} from "../../../src/mcp/mcp_headers.ts";
import { foldName } from "../../../src/mcp/member_names.ts";

test("a header value decodes as the specification says", () => {
  const cases: readonly (readonly [value: string, text: string | undefined])[] = [
    ["plain", "plain"],
    ["", ""],
    ["=?base64?w6k=?=", "é"],
    ["=?base64??=", ""],
    ["=?base64?=", "=?base64?="],
    ["=?BASE64?w6k=?=", "=?BASE64?w6k=?="],
    ["=?base64?w6k=", "=?base64?w6k="],
    ["=?base64?w6k?=", undefined],
    ["=?base64?w6l=?=", undefined],
    ["=?base64?w 6k=?=", undefined],
    ["=?base64?/w==?=", undefined],
    ["=?base64?-_-_?=", undefined],
  ];
  let count = 0;

  for (const [value, text] of cases) {
    assert.equal(decodeHeaderValue(value), text, value);
    count++;
  }

  assert.equal(count, 12);
});

test("headers are read whatever their case, and parameters are listed", () => {
  const headers = readMcpHeaders([
    "MCP-PROTOCOL-VERSION",
    " 2026-07-28\t",
    "mcp-Name",
    "=?base64?w6k=?=",
    "Mcp-Param-Region",
    "eu",
    "Accept",
    "*/*",
    "Accept",
    "*/*",
  ]);

  assert.ok(!isHeaderProblem(headers));
  assert.equal(headers.version, "2026-07-28");
  assert.equal(headers.name, "é");
  assert.deepEqual(headers.params, ["mcp-param-region"]);
});

test("a header that is there twice is refused, with the status of what it is about", () => {
  const status = (name: string) => {
    const found = readMcpHeaders([name, "a", name.toUpperCase(), "a"]);
    return isHeaderProblem(found) ? [found.httpStatus, found.mismatch] : [];
  };

  assert.deepEqual(status("mcp-method"), [400, true]);
  assert.deepEqual(status("content-type"), [415, false]);
  assert.deepEqual(status("last-event-id"), [400, false]);
});

test("a header that some servers read as one of ours is refused", () => {
  const refused = (name: string) => {
    const found = readMcpHeaders([name, "a"]);
    return isHeaderProblem(found) ? [found.httpStatus, found.mismatch] : [];
  };

  assert.deepEqual(refused("Last_Event_ID"), [400, false]);
  assert.deepEqual(refused("last-event_id"), [400, false]);
  assert.deepEqual(refused("Content_Encoding"), [400, false]);
  assert.deepEqual(refused("CONTENT_TYPE"), [400, false]);
  assert.deepEqual(refused("Mcp_Session-Id"), [400, true]);
  assert.deepEqual(refused("x_request_id"), []);
});

test("names that a lax parser takes for one another fold to one form", () => {
  for (
    const name of [
      "Params",
      "PARAMS",
      "param\u017f",
      "p\u200barams",
      "params\u0000",
      "\uff50arams",
      "\ufeffparams",
      "pa rams",
      "para\u034fms",
    ]
  ) {
    assert.equal(foldName(name), "params", JSON.stringify(name));
  }
  assert.equal(foldName("tas\u212aid"), "taskid");
  assert.equal(foldName("ur\u0130"), "uri");
  assert.notEqual(foldName("param"), "params");
});
