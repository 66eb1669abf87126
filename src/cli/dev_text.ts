/** What `mcptun dev` prints: ready to paste, for people and for machines. @module */

import { shownUrl } from "../config/value.ts";
import { quotedName } from "../identity/user_name.ts";
import { inertText } from "./fitted_table.ts";
import { columns } from "./report.ts";

/** The facts of one run. */
export interface DevFacts {
  readonly version: string;
  readonly url: string;
  readonly token: string;
  readonly upstream: string;
  /** True when the private server is the built-in sample. */
  readonly sample: boolean;
  /** Whom the token is for. */
  readonly user: string;
  readonly groups: readonly string[];
  /** The policy file, as it was named and as an absolute path; absent when nothing is judged. */
  readonly policy: { readonly shown: string; readonly path: string } | undefined;
}

/** For people. */
export function devText(facts: DevFacts): string {
  const server = facts.sample ? "built-in sample" : shownUrl(facts.upstream);
  const { user, groups, policy } = facts;
  const of = groups.length === 0 ? "" : ` of ${groups.map(quotedName).join(", ")}`;
  const judged = policy === undefined ? [] : [
    ["User", `${quotedName(user)}${of} (--user, --groups)`],
    ["Policy", `${inertText(policy.shown)}; changes count at once, decisions are printed below`],
  ];
  return `mcptun dev ${facts.version}\n\n` +
    columns([["URL", facts.url], ["Token", facts.token], ["Server", server], ...judged], "  ") +
    `\nEntry for the JSON config of an MCP client:\n\n` +
    `${JSON.stringify(clientConfig(facts), undefined, 2)}\n` +
    `\nTry it:\n\n${curlLine(facts)}\n` +
    (facts.sample ? `\nCall a tool of the sample:\n\n${curlCallLine(facts)}\n` : "") +
    `\nCtrl-C ends everything\n`;
}

/** For machines: exactly one line. */
export function devJson(facts: DevFacts): string {
  const { version, url, token, upstream, user, groups, policy } = facts;
  return `${
    JSON.stringify({
      url,
      token,
      tunnel: "dev",
      upstream: shownUrl(upstream),
      user,
      groups,
      ...(policy === undefined ? {} : { policy: policy.path }),
      version,
      clientConfig: clientConfig(facts),
      curl: curlLine(facts),
      ...(facts.sample ? { curlCall: curlCallLine(facts) } : {}),
    })
  }\n`;
}

/** The entry that MCP clients with a JSON config take. */
function clientConfig({ url, token }: DevFacts): Record<string, unknown> {
  return {
    mcpServers: {
      "mcptun-dev": { type: "http", url, headers: { Authorization: `Bearer ${token}` } },
    },
  };
}

/** One line for a POSIX shell: a legacy `initialize`, which servers of every revision answer. */
function curlLine(facts: DevFacts): string {
  return curlOf(facts, [], {
    jsonrpc: "2.0",
    id: 1,
    method: "initialize",
    params: {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "curl", version: facts.version },
    },
  });
}

/** One line that calls the tool `echo`: of 2026-07-28, which needs no session. */
function curlCallLine(facts: DevFacts): string {
  const version = "2026-07-28";
  const headers = [`MCP-Protocol-Version: ${version}`, "Mcp-Method: tools/call", "Mcp-Name: echo"];
  return curlOf(facts, headers, {
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: {
      name: "echo",
      arguments: { text: "hello" },
      _meta: {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { name: "curl", version: facts.version },
      },
    },
  });
}

function curlOf({ url, token }: DevFacts, headers: readonly string[], body: object): string {
  return [
    "curl -sS",
    shellWord(url),
    `-H 'Authorization: Bearer ${token}'`,
    "-H 'Content-Type: application/json'",
    "-H 'Accept: application/json, text/event-stream'",
    ...headers.map((header) => `-H '${header}'`),
    `-d '${JSON.stringify(body)}'`,
  ].join(" ");
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9:/._-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
