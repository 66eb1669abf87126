/**
 * The smuggling corpus against a running edge, with private servers that say what they really ran:
 * one reads JSON as JavaScript does, one as Python does.
 *
 * @module
 */
// test-timeout: 240s

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

import type { PolicyDecider } from "../../src/edge/edge_options.ts";
import { FAMILIES } from "../../src/mcp/methods.ts";
import { ORDINARY_METHODS } from "../../src/policy/methods.ts";
import { memoryTransport } from "../../src/transport/memory/memory_transport.ts";
import { repositoryRoot } from "../support/cli_process.ts";
import { ask, readBody, startServer } from "../support/http_probe.ts";
import { RawClient } from "../support/raw_http.ts";
import {
  bodyOf,
  isAllowed,
  SMUGGLING_MAX_BYTES,
  type SmugglingCase,
  smugglingCases,
} from "../support/mcp_smuggling.ts";
import { oneUser } from "../support/one_user.ts";
import { type Bench, MCP_TUNNEL, startBench } from "../support/tunnel_bench.ts";

const NO_TLS = { caPem: "", certPem: "", keyPem: "" };
/** Sessions and the event that cases use; the client of the test got them. */
const SESSIONS = ["3f0c", "a", "abc", "b", "a b"];

/** The policy of the corpus, as the edge asks it. Tasks are owned, not judged by it. */
const POLICY: PolicyDecider = {
  version: "test",
  decide: (_tunnel, _principal, target) =>
    target.kind === "method" && ORDINARY_METHODS.has(target.name) || isAllowed(target)
      ? { allowed: true, reason: "allow_rule", layer: "test" }
      : { allowed: false, reason: "not_in_allow_list", layer: "test" },
};

/** What a private server has seen of one request. */
interface Seen {
  readonly body: string;
  /** Method and name of everything it would run. */
  readonly targets: readonly (readonly [string, unknown])[];
}

interface Upstream {
  readonly url: string;
  /** What came since the last call. */
  take(): Promise<Seen[]>;
  close(): Promise<void>;
}

const UPSTREAMS: readonly { readonly name: string; readonly start: () => Promise<Upstream> }[] = [
  { name: "JavaScript", start: startJavaScript },
  { name: "Python", start: startPython },
];

for (const { name, start } of UPSTREAMS) {
  const skip = name === "Python" && spawnSync("python3", ["--version"]).status !== 0
    ? "there is no python3 here"
    : false;
  test(
    `nothing denied is run by a private server in ${name}, whatever is sent`,
    { skip },
    async () => {
      const upstream = await start();
      const bench = await startAwareEdge(upstream.url);
      try {
        await openSessions(bench);
        await upstream.take();
        const cases = smugglingCases();
        let sent = 0;
        let forwarded = 0;
        for (const one of cases) {
          // On the wire these are two headers, or none: the HTTP corpus has them.
          if (one.headers.some((text) => /[\r\n\0]|[^\x00-\xff]/.test(text))) continue;
          sent++;
          const client = await RawClient.open(bench.edge.url);
          client.socket.write(requestOf(one, new URL(bench.edge.url).host));
          const answer = await client.answer().catch(() => undefined);
          client.destroy();
          const seen = await upstream.take();
          check(one, answer?.status, seen);
          forwarded += seen.length;
        }
        assert.ok(sent >= cases.length - 10 && sent >= 500, `${sent} of ${cases.length} were sent`);
        assert.ok(forwarded >= 80, `${forwarded} were forwarded`);
      } finally {
        await bench.close();
        await upstream.close();
      }
    },
  );
}

function check(one: SmugglingCase, status: number | undefined, seen: readonly Seen[]): void {
  for (const { targets } of seen) {
    for (const [method, target] of targets) {
      const kind = method === "tools/call"
        ? "tool"
        : method === "prompts/get"
        ? "prompt"
        : "resource";
      const ran = { kind, name: String(target) } as const;
      const isPromptRef = method === "completion/complete" && isAllowed({ ...ran, kind: "prompt" });
      assert.ok(isAllowed(ran) || isPromptRef, `${one.name}: ${method} ${String(target)} was run`);
    }
  }
  if (one.verdict.outcome !== "allowed") {
    assert.equal(seen.length, 0, `${one.name}: reached the private server`);
    // An answer to HEAD has a length and no body, which the bare client waits for.
    if (one.httpMethod !== "HEAD") assert.ok(status !== undefined && status >= 200, one.name);
    return;
  }
  // What HTTP itself refuses, or nobody owns, does not get there either.
  if (seen.length === 0) return;
  assert.equal(seen.length, 1, one.name);
  assert.equal(seen[0]?.body, bodyOf(one).toString("latin1"), `${one.name}: other bytes`);
}

/** A request as bytes: what a client library would not send. */
function requestOf(one: SmugglingCase, host: string): Buffer {
  const body = bodyOf(one);
  const lines = [`${one.httpMethod ?? "POST"} /code/mcp HTTP/1.1`, `Host: ${host}`];
  for (let index = 0; index < one.headers.length; index += 2) {
    lines.push(`${one.headers[index]}: ${one.headers[index + 1]}`);
  }
  if (body.length > 0) lines.push(`Content-Length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), body]);
}

async function startAwareEdge(upstream: string): Promise<Bench> {
  const bench = await startBench({
    makeTransport: () =>
      Promise.resolve({ transport: memoryTransport(), serverTls: NO_TLS, clientTls: NO_TLS }),
    tunnels: [{ ...MCP_TUNNEL, auth: "edge", mode: "aware", serverRequests: FAMILIES }],
    config: { maxBodyBytes: SMUGGLING_MAX_BYTES, maxHeaders: 200 },
    edge: {
      policy: POLICY,
      clientAuth: oneUser("alice"),
    },
  });
  await bench.rift([{ tunnel: "code", upstream: `${upstream}/mcp`, protocol: "mcp" }]).ready;
  return bench;
}

/** Makes the sessions of the cases the client's own. */
async function openSessions({ edge }: Bench): Promise<void> {
  for (const session of SESSIONS) {
    const answer = await ask(edge.tunnelUrl("code"), {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "x-give-session": session,
      },
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "initialize",
        params: {
          protocolVersion: "2025-11-25",
          capabilities: {},
          clientInfo: { name: "test", version: "1" },
        },
      }),
    });
    assert.equal(answer.status, 200);
  }
}

async function startJavaScript(): Promise<Upstream> {
  const seen: Seen[] = [];
  const server = await startServer((request, response) => {
    readBody(request).then((body) => {
      if (request.method !== "OPTIONS") {
        seen.push({ body: body.toString("latin1"), targets: targetsOf(body.toString("utf8")) });
      }
      const session = request.headers["x-give-session"];
      if (session !== undefined) response.setHeader("Mcp-Session-Id", session);
      response.setHeader("content-type", "application/json");
      response.end('{"jsonrpc":"2.0","id":1,"result":{}}');
    }, () => response.destroy());
  });
  return {
    url: server.url,
    take: () => Promise.resolve(seen.splice(0)),
    close: () => server.close(),
  };
}

/** What a server written in JavaScript would run. */
function targetsOf(text: string): [string, unknown][] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // An empty body, of GET and DELETE; anything else was refused before.
    return text === "" ? [] : [["unreadable", text]];
  }
  const messages = (Array.isArray(value) ? value : [value]) as {
    method?: string;
    params?: { name?: unknown; uri?: unknown; ref?: { name?: unknown; uri?: unknown } };
  }[]; // only read, with every member optional
  return messages.flatMap(({ method, params }) =>
    [params?.name, params?.uri, params?.ref?.name, params?.ref?.uri]
      .filter((name) => name !== undefined)
      .map((name): [string, unknown] => [String(method), name])
  );
}

async function startPython(): Promise<Upstream> {
  const script = join(repositoryRoot(), "tests", "fixtures", "python", "upstream.py");
  const child: ChildProcess = spawn("python3", [script], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  let onText = (): void => {};
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    onText();
  });
  const port = await new Promise<string>((resolve) => {
    onText = () => {
      const end = text.indexOf("\n");
      if (end < 0) return;
      resolve(text.slice(0, end));
      text = text.slice(end + 1);
      onText = () => {};
    };
  });
  return {
    url: `http://127.0.0.1:${port}`,
    take: async () => {
      const { body } = await ask(`http://127.0.0.1:${port}/seen`);
      return JSON.parse(String(body)) as Seen[]; // from the script beside this test
    },
    close: () => {
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.kill("SIGKILL");
      return ended;
    },
  };
}
