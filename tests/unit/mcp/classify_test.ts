import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";

import {
  MAX_FOLDED_NAME_BYTES,
  MAX_NAMED_CHARS,
  MAX_NAMED_TOTAL_CHARS,
  MAX_TARGETS,
} from "../../../src/limits.ts";
import { classifyRequest } from "../../../src/mcp/classify.ts";
import type { Classified, Refusal, RequestFacts } from "../../../src/mcp/classify.ts";

const MODERN = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": MODERN,
  "io.modelcontextprotocol/clientCapabilities": {},
};
const JSON_TYPE = ["Content-Type", "application/json"];

test("a legacy call is classified with its target, id, token and session", () => {
  const found = accepted(legacy({
    id: "7",
    method: "tools/call",
    params: { name: "search", task: {}, _meta: { progressToken: 3 } },
  }, ["Mcp-Session-Id", "abc", "MCP-Protocol-Version", "2025-11-25"]));

  const [message] = found.messages;
  assert.equal(found.kind, "request");
  assert.equal(found.era, "legacy");
  assert.equal(found.version, "2025-11-25");
  assert.equal(found.sessionId, "abc");
  assert.deepEqual(found.strip, []);
  assert.deepEqual(message?.targets, [{ kind: "tool", name: "search" }]);
  assert.deepEqual(message?.id, { raw: '"7"', key: "s:7" });
});

test("a request without a version header is of the revision that the specification assumes", () => {
  const found = accepted(legacy({ id: 1, method: "ping" }));

  assert.equal(found.version, "2025-03-26");
  assert.deepEqual(found.messages[0]?.targets, []);
});

test("a modern call is classified, and its session header is to be stripped", () => {
  const found = accepted(modern("tools/call", { name: "search" }, "search", [
    "Mcp-Session-Id",
    "abc",
  ]));

  assert.equal(found.era, "modern");
  assert.equal(found.version, MODERN);
  assert.equal(found.sessionId, undefined);
  assert.deepEqual(found.strip, ["mcp-session-id"]);
});

test("every resource, task and unknown family of a subscription is a target", () => {
  const found = accepted(modern("subscriptions/listen", {
    notifications: {
      toolsListChanged: true,
      promptsListChanged: false,
      resourceSubscriptions: ["a:1", "a:{x}"],
      taskIds: ["t"],
      futureChanged: {},
    },
  }));

  const [message] = found.messages;
  assert.deepEqual(message?.targets, [
    { kind: "resource", name: "a:1" },
    { kind: "resource", name: "a:{x}" },
    { kind: "task", name: "t" },
    { kind: "method", name: "subscriptions/listen:futureChanged" },
  ]);
});

test("a completion keeps what its values will be judged with", () => {
  const found = accepted(legacy({
    id: 1,
    method: "completion/complete",
    params: {
      ref: { type: "ref/resource", uri: "file:///{dir}/{name}" },
      argument: { name: "name", value: "a" },
      context: { arguments: { dir: "repo" } },
    },
  }));

  const completion = found.messages[0]?.completion;
  assert.equal(completion?.argument, "name");
  assert.deepEqual([...completion?.values ?? []], [["dir", "repo"]]);
  assert.equal(completion?.ref.name, "file:///{dir}/{name}");
});

test("a completion whose argument or context is written twice in other letters is refused", () => {
  const ref = { type: "ref/prompt", name: "p" };
  const complete = (more: object) =>
    legacy({ id: 1, method: "completion/complete", params: { ref, ...more } });

  assert.equal(
    refusal(complete({ argument: { name: "x", Name: "path", value: "" } })).reason,
    "look_alike",
  );
  assert.equal(
    refusal(complete({ context: { arguments: {}, Arguments: { dir: "a" } } })).reason,
    "look_alike",
  );
  assert.equal(accepted(complete({ context: { arguments: { Name: "a" } } })).kind, "request");
});

test("a response says which request it answers, and a cancellation is a notification", () => {
  const response = accepted(legacy({ id: "r", result: {} }));
  const cancelled = accepted(
    legacy({ method: "notifications/cancelled", params: { requestId: 12 } }),
  );

  assert.equal(response.kind, "response");
  assert.equal(response.messages[0]?.id?.key, "s:r");
  assert.equal(cancelled.kind, "notification");
});

test("a batch is a list of messages, each with its place in the body", () => {
  const body = '[{"jsonrpc":"2.0","id":1,"method":"ping"},' +
    '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}]';
  const facts = post(JSON_TYPE, body);

  const found = accepted(facts);

  assert.equal(found.kind, "batch");
  assert.deepEqual(found.messages.map(({ targets }) => targets), [[], [{
    kind: "tool",
    name: "x",
  }]]);
  assert.equal(found.document?.text(found.messages[0]?.node ?? -1), body.slice(1, 41));
  assert.equal(
    refusal(post([...JSON_TYPE, "MCP-Protocol-Version", "2025-06-18"], body)).reason,
    "batch",
  );
});

test("a refusal has the request's id as its text, and an unsupported version the list of those known", () => {
  const late = refusal(legacy({ id: 1, method: "ping" }, ["MCP-Protocol-Version", "2099-01-01"]));
  const unnamed = refusal(post(
    JSON_TYPE,
    '{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{}}',
  ));

  assert.equal(late.code, -32022);
  assert.equal(late.id, "1");
  assert.deepEqual(late.data, {
    supported: [MODERN, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
    requested: "2099-01-01",
  });
  assert.equal(unnamed.code, -32602);
  assert.equal(unnamed.id, "9007199254740993");
});

test("a modern request of an unknown version is told the modern versions only", () => {
  const { rawHeaders, body, ...rest } = modern("server/discover", {});
  const later = (text: string) => text.replaceAll(MODERN, "v999.0.0");

  const refused = refusal({
    ...rest,
    rawHeaders: rawHeaders.map(later),
    body: Buffer.from(later(Buffer.from(body).toString())),
  });

  assert.equal(refused.httpStatus, 400);
  assert.deepEqual(refused.data, { supported: [MODERN], requested: "v999.0.0" });
});

test("a method that the modern era has not is not found, whatever its parameters", () => {
  const refused = refusal(modern("resources/subscribe", {}));

  assert.equal(refused.httpStatus, 404);
  assert.equal(refused.code, -32601);
});

test("a message names no more and no longer things than the limits say", () => {
  const listen = (count: number) =>
    modern("subscriptions/listen", {
      notifications: { resourceSubscriptions: Array.from({ length: count }, () => "a:1") },
    });
  const call = (length: number) =>
    legacy({ id: 1, method: "tools/call", params: { name: "x".repeat(length) } });

  assert.equal(accepted(listen(MAX_TARGETS)).messages[0]?.targets.length, MAX_TARGETS);
  assert.equal(refusal(listen(MAX_TARGETS + 1)).reason, "params");
  assert.equal(accepted(call(MAX_NAMED_CHARS)).kind, "request");
  assert.equal(refusal(call(MAX_NAMED_CHARS + 1)).reason, "params");
});

test("a message whose names are too long together is refused, and so is a long member of params", () => {
  const uri = `a:${"b".repeat(998)}`;
  const listen = (count: number) =>
    modern("subscriptions/listen", {
      notifications: { resourceSubscriptions: Array.from({ length: count }, () => uri) },
    });
  const fits = Math.floor(MAX_NAMED_TOTAL_CHARS / uri.length);
  const beside = (name: string) =>
    legacy({ id: 1, method: "tools/call", params: { name: "x", [name]: 1 } });

  assert.equal(accepted(listen(fits)).messages[0]?.targets.length, fits);
  assert.equal(refusal(listen(fits + 1)).reason, "params");
  assert.equal(accepted(beside("y".repeat(MAX_FOLDED_NAME_BYTES))).kind, "request");
  assert.equal(refusal(beside("y".repeat(MAX_FOLDED_NAME_BYTES + 1))).reason, "look_alike");
  // Normalizing this one takes seconds.
  const marks = `a${"\u0315".repeat(40_000)}${"\u0300".repeat(40_000)}`;
  assert.equal(refusal(beside(marks)).reason, "look_alike");
});

test("GET and DELETE say which session and event they are about", () => {
  const get = accepted({
    ...post(["Mcp-Session-Id", "s", "Last-Event-ID", "e 1"], ""),
    httpMethod: "GET",
  });
  const remove = accepted({ ...post(["Mcp-Session-Id", "s"], ""), httpMethod: "DELETE" });

  assert.equal(get.kind, "stream");
  assert.equal(get.lastEventId, "e 1");
  assert.deepEqual(get.strip, []);
  assert.equal(remove.kind, "end_session");
  assert.equal(remove.sessionId, "s");
});

function accepted(facts: RequestFacts): Classified {
  const found = classifyRequest(facts);
  assert.equal(found.outcome, "classified", JSON.stringify(found));
  return found as Classified;
}

function refusal(facts: RequestFacts): Refusal {
  const found = classifyRequest(facts);
  assert.equal(found.outcome, "refused");
  return found as Refusal;
}

function post(rawHeaders: readonly string[], body: string): RequestFacts {
  return {
    httpMethod: "POST",
    rawHeaders,
    body: Buffer.from(body),
    maxBytes: 1_000_000,
  };
}

function legacy(message: object, headers: readonly string[] = []): RequestFacts {
  return post([...JSON_TYPE, ...headers], JSON.stringify({ jsonrpc: "2.0", ...message }));
}

function modern(
  method: string,
  params: object,
  name?: string,
  headers: readonly string[] = [],
): RequestFacts {
  const own = ["MCP-Protocol-Version", MODERN, "Mcp-Method", method];
  const named = name === undefined ? [] : ["Mcp-Name", name];
  const body = { jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: META } };
  return post([...JSON_TYPE, ...own, ...named, ...headers], JSON.stringify(body));
}
