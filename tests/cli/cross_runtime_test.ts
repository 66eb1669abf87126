// test-timeout: 120s

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { startConformanceServer } from "../fixtures/mcp/conformance_server.ts";
import { bigText } from "../fixtures/mcp/stress_tools.ts";
import type { CliRuntime } from "../support/cli_process.ts";
import { firstText, openLegacyClient, openModernClient } from "../support/mcp_target.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

const BIG_CHARS = 2 * 1_024 * 1_024;
const SIMPLE_TEXT = "This is a simple text response for testing.";

const PAIRS: readonly { edge: CliRuntime; rift: CliRuntime }[] = [
  { edge: "node", rift: "deno" },
  { edge: "deno", rift: "node" },
];

for (const { edge, rift } of PAIRS) {
  test(`an edge on ${edge} and a rift on ${rift} carry both eras, and end in order`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "mcptun-cross-"));
    const life = new AbortController();
    const upstream = await startConformanceServer({ signal: life.signal });
    try {
      const roles = await startRoles({
        folder,
        protocol: "mcp",
        upstream: upstream.url,
        edgeRuntime: edge,
        riftRuntime: rift,
      });
      await useModernClient(roles.url);
      await useLegacyClient(roles.url);
      const [riftEnd, edgeEnd] = await endRoles(roles.rift, roles.edge);

      assert.equal(riftEnd!.code, 0, riftEnd!.stderr);
      assert.equal(edgeEnd!.code, 0, edgeEnd!.stderr);
    } finally {
      life.abort();
      await upstream.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

async function useModernClient(url: string): Promise<void> {
  const client = await openModernClient({ url, headers: {}, close: () => Promise.resolve() });
  const progress: number[] = [];
  const { tools } = await client.listTools();
  const simple = await client.callTool({ name: "test_simple_text" });
  const resource = await client.readResource({ uri: "test://static-text" });
  await client.callTool({ name: "test_tool_with_progress" }, {
    onprogress: (event) => progress.push(event.progress),
  });
  const big = await client.callTool({ name: "big_result", arguments: { chars: BIG_CHARS } });
  await client.close();

  assert.ok(tools.length > 30, `${tools.length} tools`);
  assert.equal(firstText(simple), SIMPLE_TEXT);
  assert.equal(resource.contents[0]?.uri, "test://static-text");
  assert.deepEqual(progress, [0, 50, 100]);
  // Not assert.equal: its message would print both texts.
  assert.ok(firstText(big) === bigText(BIG_CHARS), "the text differs");
}

async function useLegacyClient(url: string): Promise<void> {
  const { client, transport } = await openLegacyClient({
    url,
    headers: {},
    close: () => Promise.resolve(),
  });
  const progress: number[] = [];
  const { tools } = await client.listTools();
  const simple = await client.callTool({ name: "test_simple_text" });
  const resource = await client.readResource({ uri: "test://static-text" });
  await client.callTool({ name: "test_tool_with_progress" }, undefined, {
    onprogress: (event) => progress.push(event.progress),
  });
  const big = await client.callTool({ name: "big_result", arguments: { chars: BIG_CHARS } });
  const { sessionId } = transport;
  await transport.terminateSession();
  await client.close();

  assert.ok(sessionId);
  assert.ok(tools.length > 30, `${tools.length} tools`);
  assert.equal(firstText(simple), SIMPLE_TEXT);
  assert.equal(resource.contents[0]?.uri, "test://static-text");
  assert.deepEqual(progress, [0, 50, 100]);
  assert.ok(firstText(big) === bigText(BIG_CHARS), "the text differs");
}
