/** What a client of the legacy era (MCP 2025-11-25) does, driven by `@modelcontextprotocol/sdk`. @module */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import { bigText } from "../fixtures/mcp/stress_tools.ts";
import {
  ElicitRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "./mcp_legacy_sdk.ts";
import {
  firstText,
  type LegacySession,
  type McpSuiteOptions,
  openLegacyClient,
  signal,
} from "./mcp_target.ts";

const BIG_CHARS = 5 * 1_024 * 1_024;
const WATCHED = "test://watched-resource";

/** Declares the tests of the legacy era. */
export function mcpLegacySuite({ name, connectUrl }: McpSuiteOptions): void {
  const legacy = (behavior: string, check: (session: LegacySession) => Promise<void>) =>
    test(`${name}: a legacy client ${behavior}`, { timeout: 30_000 }, async () => {
      const target = await connectUrl();
      try {
        const session = await openLegacyClient(target);
        try {
          await check(session);
        } finally {
          await session.client.close();
        }
      } finally {
        await target.close();
      }
    });

  legacy("opens a session and ends it", async ({ client, transport }) => {
    assert.ok(transport.sessionId);
    assert.equal(client.getServerVersion()?.name, "mcptun-conformance-fixture");

    await transport.terminateSession();

    await assert.rejects(client.listTools());
  });

  legacy("lists and calls tools", async ({ client }) => {
    const { tools } = await client.listTools();
    const result = await client.callTool({ name: "test_simple_text" });

    assert.ok(tools.length > 30, `${tools.length} tools`);
    assert.equal(firstText(result), "This is a simple text response for testing.");
  });

  legacy("reads resources, templates and completions", async ({ client }) => {
    const { resources } = await client.listResources();
    const text = await client.readResource({ uri: "test://static-text" });
    const template = await client.readResource({ uri: "test://template/7/data" });
    const { completion } = await client.complete({
      ref: { type: "ref/resource", uri: "test://template/{id}/data" },
      argument: { name: "id", value: "12" },
    });

    assert.ok(resources.some(({ uri }) => uri === WATCHED));
    assert.ok(text.contents[0] !== undefined && "text" in text.contents[0]);
    assert.equal(template.contents[0]?.uri, "test://template/7/data");
    assert.deepEqual(completion.values, ["123", "124"]);
  });

  legacy("gets prompts", async ({ client }) => {
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

  legacy("sees progress and log messages while a tool runs", async ({ client }) => {
    const seen: number[] = [];
    const logged: unknown[] = [];
    client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
      logged.push(params.data);
    });
    await client.setLoggingLevel("info");
    await client.callTool({ name: "test_tool_with_progress" }, undefined, {
      onprogress: ({ progress }) => seen.push(progress),
    });
    await client.callTool({ name: "test_tool_with_logging" });

    assert.deepEqual(seen, [0, 50, 100]);
    assert.equal(logged.length, 3);
  });

  legacy("answers a request of the server in the middle of a call", async ({ client }) => {
    client.setRequestHandler(ElicitRequestSchema, () => ({
      action: "accept",
      content: { username: "ada", email: "ada@example.com" },
    }));
    const result = await client.callTool({
      name: "test_elicitation",
      arguments: { message: "Who are you?" },
    });

    assert.match(firstText(result), /action=accept.*ada@example\.com/u);
  });

  legacy("is told of changes on its own event stream", async ({ client, listening }) => {
    const updated = signal();
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
      if (params.uri === WATCHED) updated.fire();
    });
    await listening;
    await client.subscribeResource({ uri: WATCHED });
    await client.callTool({ name: "test_trigger_resource_update" });

    await updated.fired;

    await client.unsubscribeResource({ uri: WATCHED });
  });

  legacy("comes back with Last-Event-ID for an answer it missed", async ({ client }) => {
    const result = await client.callTool({ name: "test_reconnection" });

    assert.equal(firstText(result), "Answered on another stream");
  });

  legacy("cancels the upstream's work with a notification", async ({ client }) => {
    const key = randomUUID();
    const cancel = new AbortController();
    const call = client.callTool({ name: "slow", arguments: { key } }, undefined, {
      signal: cancel.signal,
    });
    const failed = assert.rejects(call);
    await client.callTool({ name: "slow_started", arguments: { key } });

    cancel.abort();
    await failed;
    const ended = await client.callTool({ name: "slow_ended", arguments: { key } });

    assert.equal(firstText(ended), "canceled");
  });

  legacy("gets a result of 5 MiB whole", async ({ client }) => {
    const result = await client.callTool({ name: "big_result", arguments: { chars: BIG_CHARS } });

    // Not assert.equal: its message would print both texts.
    assert.ok(firstText(result) === bigText(BIG_CHARS), "the text differs");
  });
}
