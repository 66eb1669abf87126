/** What a client of the modern era (MCP 2026-07-28) does, driven by `@modelcontextprotocol/client`. @module */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import type { Client } from "@modelcontextprotocol/client";
import { bigText } from "../fixtures/mcp/stress_tools.ts";
import {
  firstText,
  type McpSuiteOptions,
  MODERN_VERSION,
  openModernClient,
  signal,
} from "./mcp_target.ts";

const BIG_CHARS = 5 * 1_024 * 1_024;
const WATCHED = "test://watched-resource";

/** Declares the tests of the modern era. */
export function mcpModernSuite({ name, connectUrl }: McpSuiteOptions): void {
  const modern = (behavior: string, check: (client: Client) => Promise<void>) =>
    test(`${name}: a modern client ${behavior}`, { timeout: 30_000 }, async () => {
      const target = await connectUrl();
      try {
        const client = await openModernClient(target);
        try {
          await check(client);
        } finally {
          await client.close();
        }
      } finally {
        await target.close();
      }
    });

  modern("negotiates the modern revision", async (client) => {
    assert.equal(client.getNegotiatedProtocolVersion(), MODERN_VERSION);
    assert.equal(client.getServerVersion()?.name, "mcptun-conformance-fixture");
  });

  modern("lists and calls tools", async (client) => {
    const { tools } = await client.listTools();
    const result = await client.callTool({ name: "test_simple_text" });

    assert.ok(tools.length > 30, `${tools.length} tools`);
    assert.equal(firstText(result), "This is a simple text response for testing.");
  });

  modern("gets pictures, sound and resources from tools unchanged", async (client) => {
    const image = await client.callTool({ name: "test_image_content" });
    const mixed = await client.callTool({ name: "test_multiple_content_types" });

    assert.equal(image.content[0]?.type, "image");
    assert.deepEqual(mixed.content.map(({ type }) => type), ["text", "image", "resource"]);
  });

  modern("is told when a tool fails", async (client) => {
    const result = await client.callTool({ name: "test_error_handling" });

    assert.equal(result.isError, true);
  });

  modern("reads resources, templates and completions", async (client) => {
    const { resources } = await client.listResources();
    const text = await client.readResource({ uri: "test://static-text" });
    const binary = await client.readResource({ uri: "test://static-binary" });
    const template = await client.readResource({ uri: "test://template/7/data" });
    const { completion } = await client.complete({
      ref: { type: "ref/resource", uri: "test://template/{id}/data" },
      argument: { name: "id", value: "12" },
    });

    assert.ok(resources.some(({ uri }) => uri === WATCHED));
    assert.ok(text.contents[0] !== undefined && "text" in text.contents[0]);
    assert.ok(binary.contents[0] !== undefined && "blob" in binary.contents[0]);
    assert.equal(template.contents[0]?.uri, "test://template/7/data");
    assert.deepEqual(completion.values, ["123", "124"]);
  });

  modern("gets prompts", async (client) => {
    const { prompts } = await client.listPrompts();
    const prompt = await client.getPrompt({
      name: "test_prompt_with_arguments",
      arguments: { arg1: "hello", arg2: "wörld" },
    });

    const [message] = prompt.messages;
    assert.equal(prompts.length, 5);
    assert.ok(message?.content.type === "text");
    assert.equal(message.content.text, "Prompt with arguments: arg1='hello', arg2='wörld'");
  });

  modern("sees progress while a tool runs", async (client) => {
    const seen: number[] = [];
    await client.callTool({ name: "test_tool_with_progress" }, {
      onprogress: ({ progress }) => seen.push(progress),
    });

    assert.deepEqual(seen, [0, 50, 100]);
  });

  modern("answers a question in the middle of a call", async (client) => {
    client.setRequestHandler("elicitation/create", () => ({
      action: "accept",
      content: { name: "Ada" },
    }));
    const result = await client.callTool({ name: "test_input_required_result_elicitation" });

    assert.equal(firstText(result), "Hello, Ada!");
  });

  modern("is told of changes on its subscription, and ends it", async (client) => {
    const updated = signal();
    const toolsChanged = signal();
    client.setNotificationHandler("notifications/resources/updated", ({ params }) => {
      if (params.uri === WATCHED) updated.fire();
    });
    client.setNotificationHandler("notifications/tools/list_changed", () => toolsChanged.fire());

    const subscription = await client.listen({
      toolsListChanged: true,
      resourceSubscriptions: [WATCHED],
    });
    await client.callTool({ name: "test_trigger_resource_update" });
    await client.callTool({ name: "test_trigger_tool_change" });
    await Promise.all([updated.fired, toolsChanged.fired]);
    await subscription.close();

    assert.deepEqual(subscription.honoredFilter.resourceSubscriptions, [WATCHED]);
    assert.equal(await subscription.closed, "local");
  });

  modern("cancels the upstream's work by closing the stream", async (client) => {
    const key = randomUUID();
    const cancel = new AbortController();
    const call = client.callTool({ name: "slow", arguments: { key } }, { signal: cancel.signal });
    const failed = assert.rejects(call);
    await client.callTool({ name: "slow_started", arguments: { key } });

    cancel.abort();
    await failed;
    const ended = await client.callTool({ name: "slow_ended", arguments: { key } });

    assert.equal(firstText(ended), "canceled");
  });

  modern("cancels a stream that is already open", async (client) => {
    const key = randomUUID();
    const cancel = new AbortController();
    const started = signal();
    const call = client.callTool({ name: "slow", arguments: { key } }, {
      signal: cancel.signal,
      onprogress: () => started.fire(),
    });
    const failed = assert.rejects(call);
    await started.fired;

    cancel.abort();
    await failed;
    const ended = await client.callTool({ name: "slow_ended", arguments: { key } });

    assert.equal(firstText(ended), "canceled");
  });

  modern("gets a result of 5 MiB whole", async (client) => {
    const result = await client.callTool({ name: "big_result", arguments: { chars: BIG_CHARS } });

    // Not assert.equal: its message would print both texts.
    assert.ok(firstText(result) === bigText(BIG_CHARS), "the text differs");
  });

  modern("sends an argument of 5 MiB whole", async (client) => {
    const canary = bigText(BIG_CHARS);
    const batch = randomUUID();
    const result = await client.callTool({
      name: "canary",
      arguments: { canary, batch, callers: 1, rank: 0 },
    });

    assert.ok(firstText(result) === canary, "the text differs");
  });
}
