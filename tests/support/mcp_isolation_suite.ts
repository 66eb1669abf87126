/**
 * No answer ever reaches the wrong caller.
 *
 * Every caller sends its own canary while all others wait too, with the same JSON-RPC ids, and the
 * fixture answers in an order that has nothing to do with the order of arrival.
 *
 * @module
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import {
  firstText,
  type McpSuiteOptions,
  type McpTarget,
  MODERN_VERSION,
  openLegacyClient,
  openModernClient,
} from "./mcp_target.ts";

const CALLERS = 100;
const CLIENTS = 10;

/** Calls `canary` and resolves with what came back. */
type Caller = (canary: Canary) => Promise<string>;

/** The arguments of the fixture's tool of this name; a type alias, because the clients want an index signature. */
type Canary = {
  readonly canary: string;
  readonly batch: string;
  readonly callers: number;
  readonly rank: number;
};

/** Declares the tests. */
export function mcpIsolationSuite({ name, connectUrl }: McpSuiteOptions): void {
  const isolated = (behavior: string, check: (target: McpTarget) => Promise<void>) =>
    test(`${name}: ${behavior}`, { timeout: 60_000 }, async () => {
      const target = await connectUrl();
      try {
        await check(target);
      } finally {
        await target.close();
      }
    });

  isolated("100 requests in flight with one JSON-RPC id get their own answers", async (target) => {
    await assertOwnAnswers(() => (canary) => rawCall(target, canary));
  });

  isolated(
    "100 calls of 10 modern clients with colliding ids get their own answers",
    async (target) => {
      const clients = await Promise.all(
        Array.from({ length: CLIENTS }, () => openModernClient(target)),
      );
      try {
        await assertOwnAnswers((index) => async (canary) => {
          const client = clients[index % CLIENTS];
          return firstText(await client?.callTool({ name: "canary", arguments: canary }));
        });
      } finally {
        await Promise.all(clients.map((client) => client.close()));
      }
    },
  );

  isolated(
    "100 calls of 10 legacy clients with colliding ids get their own answers",
    async (target) => {
      const sessions = await Promise.all(
        Array.from({ length: CLIENTS }, () => openLegacyClient(target)),
      );
      try {
        await assertOwnAnswers((index) => async (canary) => {
          const session = sessions[index % CLIENTS];
          return firstText(await session?.client.callTool({ name: "canary", arguments: canary }));
        });
      } finally {
        await Promise.all(sessions.map(({ client }) => client.close()));
      }
    },
  );
}

async function assertOwnAnswers(callerAt: (index: number) => Caller): Promise<void> {
  const batch = randomUUID();
  const canaries = Array.from({ length: CALLERS }, (_, index) => ({
    canary: `canary-${index}-${randomUUID()}`,
    batch,
    callers: CALLERS,
    // 37 and 100 share no factor: every rank once, in an order unlike that of the calls.
    rank: (index * 37) % CALLERS,
  }));

  const answers = await Promise.all(canaries.map((canary, index) => callerAt(index)(canary)));

  assert.deepEqual(answers, canaries.map(({ canary }) => canary));
}

/** One modern request without any client in between; its id is always 1. */
async function rawCall(target: McpTarget, canary: Canary): Promise<string> {
  const answer = await fetch(target.url, {
    method: "POST",
    headers: {
      ...target.headers,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": MODERN_VERSION,
      "mcp-method": "tools/call",
      "mcp-name": "canary",
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: {
        name: "canary",
        arguments: canary,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
          "io.modelcontextprotocol/clientCapabilities": {},
        },
      },
    }),
  });
  assert.equal(answer.status, 200);
  const body = await answer.json() as { id: unknown; result: unknown }; // checked right below
  assert.equal(body.id, 1);
  return firstText(body.result);
}
