import assert from "node:assert/strict";
import { test } from "node:test";

import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";

import type { Target } from "../../../src/mcp/client_message.ts";
import { batchDenialAnswer, denialAnswer, refusalAnswer } from "../../../src/mcp/errors.ts";
import type { Era } from "../../../src/mcp/methods.ts";

const REQUEST = {
  kind: "request",
  id: { raw: "9007199254740993", key: "n:9007199254740993" },
} as const;

test("a hidden denial looks like a thing that does not exist, in each era", () => {
  const cases: readonly (readonly [Era, Target["kind"], number, number])[] = [
    ["legacy", "tool", 200, -32602],
    ["modern", "tool", 200, -32602],
    ["legacy", "prompt", 200, -32602],
    ["modern", "prompt", 200, -32602],
    ["legacy", "resource", 200, -32002],
    ["modern", "resource", 200, -32602],
    ["legacy", "task", 200, -32602],
    ["modern", "task", 200, -32602],
    ["legacy", "method", 200, -32601],
    ["modern", "method", 404, -32601],
  ];
  let count = 0;

  for (const [era, kind, httpStatus, code] of cases) {
    const answer = denialAnswer({ era, message: REQUEST, target: { kind, name: "x:y" } });
    const body = JSON.parse(answer.body.toString()) as { error: { code: number; data?: unknown } };
    assert.equal(answer.httpStatus, httpStatus);
    assert.equal(answer.code, code);
    assert.equal(body.error.code, code);
    assert.doesNotMatch(answer.body.toString(), /den(y|ied)|polic|rule/i);
    assert.deepEqual(body.error.data, kind === "resource" ? { uri: "x:y" } : undefined);
    count++;
  }

  assert.equal(count, 10);
});

test("a hidden denial has the status, code and data of the official server for what it lacks", async () => {
  const handler = createMcpHandler(() => {
    const server = new McpServer({ name: "test", version: "1" });
    server.registerTool("a", { description: "a" }, () => ({ content: [] }));
    server.registerPrompt("a", { description: "a" }, () => ({ messages: [] }));
    server.registerResource("a", "file:///a", {}, () => ({ contents: [] }));
    return server;
  });
  const cases: readonly (readonly [Target["kind"], string, Record<string, string>])[] = [
    ["tool", "tools/call", { name: "x" }],
    ["prompt", "prompts/get", { name: "x" }],
    ["resource", "resources/read", { uri: "file:///x" }],
    ["method", "x/unknown", {}],
  ];
  let count = 0;

  for (const [kind, method, params] of cases) {
    const name = params["name"] ?? params["uri"];
    const official = await handler.fetch(modernRequest(method, params));
    const expected = await official.json() as { error: { code: number; data?: unknown } };
    const ours = denialAnswer({
      era: "modern",
      message: REQUEST,
      target: { kind, name: name ?? method },
    });
    const { error } = JSON.parse(ours.body.toString()) as typeof expected;
    assert.equal(ours.httpStatus, official.status, method);
    assert.deepEqual([error.code, error.data], [expected.error.code, expected.error.data], method);
    count++;
  }

  await handler.close();
  assert.equal(count, 4);
});

function modernRequest(method: string, params: Record<string, string>): Request {
  const name = params["name"] ?? params["uri"];
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
  };
  return new Request("http://localhost/mcp", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(name === undefined ? {} : { "mcp-name": name }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } }),
  });
}

test("the id is echoed as the text it came as", () => {
  const { body } = denialAnswer({
    era: "modern",
    message: REQUEST,
    target: { kind: "tool", name: 'a"b' },
  });

  assert.equal(
    body.toString(),
    '{"jsonrpc":"2.0","id":9007199254740993,"error":{"code":-32602,"message":"Unknown tool: a\\"b"}}',
  );
});

test("an explained denial names the layer and the rule, with the same code and status", () => {
  const { httpStatus, body } = denialAnswer({
    era: "modern",
    message: REQUEST,
    target: { kind: "resource", name: "file:///etc" },
    explain: { layer: "user", rule: "no allow_resources matches" },
  });

  const { error } = JSON.parse(body.toString()) as {
    error: { code: number; message: string; data: unknown };
  };
  assert.equal(httpStatus, 200);
  assert.equal(error.code, -32602);
  assert.match(error.message, /^Denied by the user layer \(no allow_resources matches\): /);
  assert.deepEqual(error.data, {
    uri: "file:///etc",
    denied: { layer: "user", rule: "no allow_resources matches" },
  });
});

test("an explained denial that no layer decided names none", () => {
  const { body } = denialAnswer({
    era: "modern",
    message: REQUEST,
    target: { kind: "tool", name: "x" },
    explain: { layer: "no", rule: "target_refused" },
  });

  const { error } = JSON.parse(body.toString()) as { error: { message: string } };
  assert.equal(error.message, 'Denied (target_refused): tool "x"');
});

test("a denied notification is answered with 403 and a body without an id", () => {
  const { httpStatus, body } = denialAnswer({
    era: "legacy",
    message: { kind: "notification", id: undefined },
    target: { kind: "method", name: "notifications/x" },
  });

  assert.equal(httpStatus, 403);
  assert.equal(Object.hasOwn(JSON.parse(body.toString()) as object, "id"), false);
});

test("a batch of which something was denied is answered request by request", () => {
  const other = { kind: "request", id: { raw: '"b"', key: "s:b" } } as const;
  const notice = { kind: "notification", id: undefined } as const;
  const denial = { era: "legacy", message: REQUEST, target: { kind: "tool", name: "rm" } } as const;

  const mixed = batchDenialAnswer([
    { message: REQUEST, denial },
    { message: other, denial: undefined },
    { message: notice, denial: undefined },
  ]);
  const silent = batchDenialAnswer([{ message: notice, denial: { ...denial, message: notice } }]);

  const errors = JSON.parse(mixed.body.toString()) as { id: unknown; error: { code: number } }[];
  assert.equal(mixed.httpStatus, 200);
  assert.deepEqual(errors.map(({ error }) => error.code), [-32602, -32600]);
  assert.equal(errors[1]?.id, "b");
  assert.match(mixed.body.toString(), /"id":9007199254740993/);
  assert.equal(silent.httpStatus, 403);
});

test("a refusal becomes its status and error", () => {
  const refused = refusalAnswer({
    outcome: "refused",
    httpStatus: 400,
    code: -32022,
    message: "Unsupported protocol version",
    id: '"a"',
    data: { supported: ["2026-07-28"], requested: "x" },
    reason: "version",
  });

  assert.equal(refused.httpStatus, 400);
  assert.deepEqual(JSON.parse(refused.body.toString()), {
    jsonrpc: "2.0",
    id: "a",
    error: {
      code: -32022,
      message: "Unsupported protocol version",
      data: { supported: ["2026-07-28"], requested: "x" },
    },
  });
});
