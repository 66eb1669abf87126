/** What the MCP suites are pointed at, and the two official clients that drive it. @module */

import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from "@modelcontextprotocol/client";
import {
  Client as LegacyClient,
  StreamableHTTPClientTransport as LegacyTransport,
} from "./mcp_legacy_sdk.ts";

/** The newest revision of the protocol's modern era. */
export const MODERN_VERSION = "2026-07-28";

/** A reachable MCP endpoint with the conformance fixture behind it. */
export interface McpTarget {
  readonly url: string;
  /** Sent with every request, for example a token. */
  readonly headers: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Where a suite gets its endpoint. */
export interface McpSuiteOptions {
  /** Begins every test name. */
  readonly name: string;
  readonly connectUrl: () => Promise<McpTarget>;
}

/** Connects the official client of the modern era, which then speaks no other. */
export async function openModernClient(target: McpTarget): Promise<ModernClient> {
  const client = new ModernClient({ name: "mcptun-test", version: "1.0.0" }, {
    capabilities: { elicitation: { form: {} } },
    versionNegotiation: { mode: { pin: MODERN_VERSION } },
  });
  const transport = new ModernTransport(new URL(target.url), {
    requestInit: { headers: { ...target.headers } },
  });
  await client.connect(transport);
  return client;
}

/** A connected legacy client. */
export interface LegacySession {
  readonly client: LegacyClient;
  readonly transport: LegacyTransport;
  /** Settles when the server has answered the request for the session's own event stream. */
  readonly listening: Promise<void>;
}

/** Connects the official client of the legacy era. */
export async function openLegacyClient(target: McpTarget): Promise<LegacySession> {
  const listening = signal();
  const client = new LegacyClient({ name: "mcptun-test", version: "1.0.0" }, {
    capabilities: { elicitation: {} },
  });
  const transport = new LegacyTransport(new URL(target.url), {
    requestInit: { headers: { ...target.headers } },
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      if (init?.method === "GET") listening.fire();
      return answer;
    },
  });
  // The class differs from its interface only in optional properties that may hold undefined.
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  return { client, transport, listening: listening.fired };
}

/** Something that happens once. */
export interface Signal {
  readonly fired: Promise<void>;
  fire(): void;
}

/** A signal that has not fired yet. */
export function signal(): Signal {
  let fire = () => {};
  const fired = new Promise<void>((resolve) => fire = resolve);
  return { fired, fire: () => fire() };
}

/** The text of the first content block of a tool result. */
export function firstText(result: unknown): string {
  const { content } = result as { content: { type: string; text?: string }[] }; // a tool result
  const [block] = content;
  if (block?.type !== "text" || block.text === undefined) throw new Error("No text in the result");
  return block.text;
}
