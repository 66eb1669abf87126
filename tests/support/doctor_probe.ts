/** Servers that answer as a script says, and the doctor run against them. @module */

import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";

import { type Clock, systemClock } from "../../src/clock.ts";
import { stepText } from "../../src/doctor/report.ts";
import { type StepResult, StepRunner } from "../../src/doctor/step_runner.ts";
import { runUrlDoctor } from "../../src/doctor/url_doctor.ts";
import { readBody } from "./http_probe.ts";

/** A request as a script sees it. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The JSON-RPC message of a POST. */
  readonly message: { readonly method?: string; readonly id?: number };
  /** `http://127.0.0.1:PORT`. */
  readonly base: string;
}

/** An answer; `"hang"` begins one and never ends it, `"cut"` breaks it off. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly end?: "hang" | "cut";
}

/** Decides an answer. */
export type Script = (asked: Asked) => Reply;

/** A scripted server. */
export interface ScriptedServer {
  readonly base: string;
  /** `base` and `/mcp`. */
  readonly url: string;
  /** Every request so far. */
  readonly asked: readonly Asked[];
  close(): Promise<void>;
}

/** What a server is made of. */
export interface ScriptedServerOptions {
  readonly tls?: { readonly certPem: string; readonly keyPem: string };
  /** The name in `base`. */
  readonly name?: string;
  /** Called after an answer with `end` has begun. */
  readonly onHang?: () => void;
}

/** Starts a scripted server on loopback. */
export async function startScripted(
  script: Script,
  { tls, name = "127.0.0.1", onHang }: ScriptedServerOptions = {},
): Promise<ScriptedServer> {
  const asked: Asked[] = [];
  let base = "";
  const listener: RequestListener = (request, response) => {
    // Reading cannot fail but by a client that goes away, which then sees no answer.
    void readBody(request).then((bytes) => {
      const text = bytes.toString();
      const one: Asked = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        message: text === "" ? {} : JSON.parse(text) as Asked["message"],
        base,
      };
      asked.push(one);
      const { status, headers = {}, body = "", end } = script(one);
      const json = typeof body !== "string";
      response.writeHead(status, {
        ...(json ? { "Content-Type": "application/json" } : {}),
        ...headers,
      });
      const sent = json ? JSON.stringify(body) : body;
      if (end === undefined) return response.end(sent);
      response.write(sent, () => end === "cut" ? response.destroy() : onHang?.());
    }, () => response.destroy());
  };
  const server: Server = tls === undefined
    ? createHttpServer(listener)
    : createHttpsServer({ cert: tls.certPem, key: tls.keyPem }, listener) as unknown as Server;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has a port
  base = `${tls === undefined ? "http" : "https"}://${name}:${port}`;
  return {
    base,
    url: `${base}/mcp`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What a run of the doctor found. */
export interface Diagnosis {
  readonly steps: readonly StepResult[];
  /** The first step of a name. */
  step(name: string): StepResult;
  /** As a terminal gets it. */
  readonly text: string;
}

/** What a run is given. */
export interface DiagnoseOptions {
  readonly token?: string | undefined;
  readonly roots?: readonly string[];
  readonly clock?: Clock;
  readonly timeoutMs?: number;
}

/** Runs the doctor against a URL. */
export async function diagnose(url: string, options: DiagnoseOptions = {}): Promise<Diagnosis> {
  const { clock = systemClock, timeoutMs = 10_000 } = options;
  const { signal } = new AbortController();
  const runner = new StepRunner({ clock, signal });
  await runUrlDoctor({
    runner,
    urlText: url,
    url: new URL(url),
    token: options.token,
    roots: options.roots ?? [],
    client: { name: "test", version: "1" },
    clock,
    signal,
    timeoutMs,
  });
  return diagnosisOf(runner.results);
}

/** Results with the helpers that tests want. */
export function diagnosisOf(steps: readonly StepResult[]): Diagnosis {
  return {
    steps,
    step(name) {
      const found = steps.find((step) => step.name === name);
      if (found === undefined) throw new Error(`No step ${name}`);
      return found;
    },
    text: steps.map((step) => stepText(step, 10)).join(""),
  };
}

/** The token that {@link oauthServer} accepts. */
export const GOOD_TOKEN = "opaque-token-that-is-good";

/** A server that does all right: challenge, metadata, issuer, MCP 2026-07-28. */
export const oauthServer: Script = ({ method, path, headers, message, base }) => {
  const notFound: Reply = { status: 404 };
  if (method === "GET") {
    switch (path) {
      case "/.well-known/oauth-protected-resource/mcp":
        return {
          status: 200,
          body: {
            resource: `${base}/mcp`,
            authorization_servers: [`${base}/as`],
            scopes_supported: ["mcp"],
            bearer_methods_supported: ["header"],
          },
        };
      case "/.well-known/oauth-authorization-server/as":
        return {
          status: 200,
          body: {
            issuer: `${base}/as`,
            authorization_endpoint: `${base}/as/authorize`,
            token_endpoint: `${base}/as/token`,
            code_challenge_methods_supported: ["S256"],
            client_id_metadata_document_supported: true,
          },
        };
      default:
        return notFound;
    }
  }
  if (path !== "/mcp" || method !== "POST") return notFound;
  if (headers["authorization"] !== `Bearer ${GOOD_TOKEN}`) {
    const error = headers["authorization"] === undefined
      ? ""
      : ', error="invalid_token", error_description="unknown"';
    return {
      status: 401,
      headers: {
        "WWW-Authenticate":
          `Bearer resource_metadata="${base}/.well-known/oauth-protected-resource/mcp", scope="mcp"${error}`,
      },
    };
  }
  return modernAnswer(message);
};

/** An MCP 2026-07-28 server that wants no token. */
export const openServer: Script = ({ method, path, message }) =>
  method === "POST" && path === "/mcp" ? modernAnswer(message) : { status: 404 };

/** What a modern server answers. */
export function modernAnswer({ id, method }: Asked["message"]): Reply {
  const result = method === "server/discover"
    ? {
      supportedVersions: ["2026-07-28"],
      capabilities: {},
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "scripted", version: "1.2.3" } },
    }
    : { tools: [{ name: "alpha" }, { name: "beta" }] };
  return { status: 200, body: { jsonrpc: "2.0", id, result } };
}
