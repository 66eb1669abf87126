/**
 * Speaks MCP over HTTP as clients do: 2026-07-28 first, and 2025-11-25 where a server does not know it.
 *
 * @module
 */

import { DOCTOR_REPLY_BYTES } from "../limits.ts";
import { readChallenges } from "./challenge.ts";
import type { Challenges } from "./challenge.ts";
import { type HttpAnswer, type HttpClient, type HttpFailure, mediaTypeOf } from "./http_client.ts";
import {
  EventScanner,
  isObject,
  responseOfEvents,
  responseOfJson,
  stringsOf,
} from "./mcp_message.ts";
import type { RpcError } from "./mcp_message.ts";

/** The revision without sessions. */
export const MODERN_VERSION = "2026-07-28";
/** The last revision with `initialize` and sessions. */
const LEGACY_VERSION = "2025-11-25";

/** What one question to a server came to. */
export type Reading =
  | {
    readonly kind: "result";
    readonly result: Readonly<Record<string, unknown>>;
    readonly answer: HttpAnswer;
  }
  /** An error of mcptun itself, or of the server. */
  | {
    readonly kind: "error";
    readonly error: RpcError;
    readonly code: string | undefined;
    readonly answer: HttpAnswer;
  }
  | {
    readonly kind: "unauthorized" | "forbidden";
    readonly challenges: Challenges;
    readonly code: string | undefined;
    readonly answer: HttpAnswer;
  }
  | { readonly kind: "redirect"; readonly location: string; readonly answer: HttpAnswer }
  /** Accepted without a body, as notifications are. */
  | { readonly kind: "accepted"; readonly answer: HttpAnswer }
  | { readonly kind: "not_mcp"; readonly answer: HttpAnswer }
  | HttpFailure;

/** A server that has answered, and how it wants to be spoken to. */
export interface Server {
  readonly era: "modern" | "legacy";
  readonly versions: readonly string[];
  readonly name: string;
  readonly version: string;
  readonly sessionId: string | undefined;
}

/** What came of knocking: a server, or the reading that says why not. */
export type Knock = { readonly server: Server } | {
  readonly refused: Exclude<Reading, { kind: "result" }>;
  /** It came after `initialize` had been answered. */
  readonly began?: true;
};

/** Speaks to one URL, with or without a token. */
export class McpClient {
  readonly #http: HttpClient;
  readonly #url: URL;
  readonly #name: { readonly name: string; readonly version: string };
  /** The value of `Authorization`. */
  readonly #authorization: string | undefined;
  #id = 0;

  constructor(options: {
    readonly http: HttpClient;
    readonly url: URL;
    readonly client: { readonly name: string; readonly version: string };
    readonly authorization?: string | undefined;
  }) {
    this.#http = options.http;
    this.#url = options.url;
    this.#name = options.client;
    this.#authorization = options.authorization;
  }

  /** `server/discover` alone. */
  async discover(): Promise<Reading> {
    return await this.#post("server/discover", MODERN_VERSION, undefined);
  }

  /** Asks as a client of both eras does: `server/discover`, and `initialize` where that is not known. */
  async knock(): Promise<Knock> {
    const first = await this.discover();
    if (first.kind === "result") return { server: modernServer(first.result) };
    if (!mayBeLegacy(first)) return { refused: first };
    const second = await this.#initialize();
    // Of two refusals, the one that is about who asks says more; else the first.
    if ("server" in second) return second;
    const { kind } = second.refused;
    return second.began === true || kind === "unauthorized" || kind === "forbidden" ||
        first.kind === "not_mcp" && kind === "error"
      ? second
      : { refused: first };
  }

  /** One request to a server that has answered before. */
  async request(method: string, server: Server): Promise<Reading> {
    return server.era === "modern"
      ? await this.#post(method, MODERN_VERSION, undefined)
      : await this.#post(method, server.versions[0] ?? LEGACY_VERSION, server);
  }

  /** Ends a legacy session, if there is one; whether the server likes it does not matter. */
  async end(server: Server): Promise<void> {
    if (server.sessionId === undefined) return;
    await this.#http.ask({
      method: "DELETE",
      url: this.#url,
      headers: { ...this.#credentials(), ...sessionHeaders(server) },
      maxBytes: DOCTOR_REPLY_BYTES,
    });
  }

  async #initialize(): Promise<Knock> {
    const reading = await this.#send({
      body: {
        method: "initialize",
        params: { protocolVersion: LEGACY_VERSION, capabilities: {}, clientInfo: this.#name },
      },
      headers: {},
    });
    if (reading.kind !== "result") return { refused: reading };
    const { protocolVersion, serverInfo } = reading.result;
    const sessionId = reading.answer.headers.get("mcp-session-id")?.[0];
    const server: Server = {
      era: "legacy",
      versions: [typeof protocolVersion === "string" ? protocolVersion : LEGACY_VERSION],
      ...namesOf(serverInfo),
      // Visible ASCII (2025-11-25, transports, Session Management); anything else is not sent back.
      sessionId: sessionId !== undefined && /^[\x21-\x7e]{1,1024}$/.test(sessionId)
        ? sessionId
        : undefined,
    };
    const said = await this.#send({
      body: { method: "notifications/initialized" },
      headers: sessionHeaders(server),
      notification: true,
    });
    if (said.kind === "accepted" || said.kind === "result") return { server };
    await this.end(server);
    return { refused: said, began: true };
  }

  #post(method: string, version: string, session: Server | undefined): Promise<Reading> {
    if (session !== undefined) {
      return this.#send({ body: { method, params: {} }, headers: sessionHeaders(session) });
    }
    return this.#send({
      body: {
        method,
        params: {
          _meta: {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": this.#name,
          },
        },
      },
      headers: { "MCP-Protocol-Version": version, "Mcp-Method": method },
    });
  }

  async #send(message: {
    readonly body: Readonly<Record<string, unknown>>;
    readonly headers: Readonly<Record<string, string>>;
    readonly notification?: true;
  }): Promise<Reading> {
    const id = ++this.#id;
    const scanner = new EventScanner(id);
    const answer = await this.#http.ask({
      method: "POST",
      url: this.#url,
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json, text/event-stream",
        ...this.#credentials(),
        ...message.headers,
      },
      body: JSON.stringify({
        jsonrpc: "2.0",
        ...(message.notification === true ? {} : { id }),
        ...message.body,
      }),
      maxBytes: DOCTOR_REPLY_BYTES,
      onText: (text) => scanner.push(text),
    });
    return answer.kind === "failed" ? answer : readingOf(answer, id);
  }

  #credentials(): Record<string, string> {
    return this.#authorization === undefined ? {} : { Authorization: this.#authorization };
  }
}

function readingOf(answer: HttpAnswer, id: number): Reading {
  const { status, body } = answer;
  const response = mediaTypeOf(answer) === "text/event-stream"
    ? responseOfEvents(body, id)
    : responseOfJson(body, id);
  const code = response?.error === undefined ? undefined : mcptunCode(response.error.data);
  if (status === 401 || status === 403) {
    const challenges = readChallenges(answer.headers.get("www-authenticate") ?? []);
    // A 403 that is not about scopes, such as a refused origin, is an error like others.
    if (status === 401) return { kind: "unauthorized", challenges, code, answer };
    if (challenges.bearer !== undefined) return { kind: "forbidden", challenges, code, answer };
  }
  if (status >= 300 && status < 400) {
    return { kind: "redirect", location: answer.headers.get("location")?.[0] ?? "", answer };
  }
  if (response?.error !== undefined) return { kind: "error", error: response.error, code, answer };
  if (response?.result !== undefined && status === 200) {
    return { kind: "result", result: response.result, answer };
  }
  if (status === 202 || status === 204) return { kind: "accepted", answer };
  return { kind: "not_mcp", answer };
}

/** The stable code of mcptun's own answers (docs/errors.md). */
function mcptunCode(data: unknown): string | undefined {
  const code = isObject(data) ? data["code"] : undefined;
  return typeof code === "string" && /^[A-Z][A-Z_]{1,39}$/.test(code) ? code : undefined;
}

/**
 * A client of both eras falls back where a 4xx is no modern error (2026-07-28, Streamable HTTP,
 * Backward Compatibility). An error of mcptun's own, 401, 403 and 5xx are never a sign of an era.
 */
function mayBeLegacy(reading: Reading): boolean {
  switch (reading.kind) {
    case "error": {
      const { status } = reading.answer;
      if (reading.code !== undefined || status === 403 || status >= 500) return false;
      if (reading.error.code !== UNSUPPORTED_VERSION) return true;
      const { data } = reading.error;
      return stringsOf(isObject(data) ? data["supported"] : undefined)
        .some((version) => version < MODERN_VERSION);
    }
    case "not_mcp":
      return reading.answer.status >= 400 && reading.answer.status < 500 &&
        reading.answer.status !== 403;
    case "accepted":
      return true;
    case "result":
    case "unauthorized":
    case "forbidden":
    case "redirect":
    case "failed":
      return false;
  }
}

function modernServer(result: Readonly<Record<string, unknown>>): Server {
  const meta = result["_meta"];
  const info = isObject(meta) ? meta["io.modelcontextprotocol/serverInfo"] : undefined;
  return {
    era: "modern",
    versions: stringsOf(result["supportedVersions"]),
    ...namesOf(info ?? result["serverInfo"]),
    sessionId: undefined,
  };
}

function namesOf(info: unknown): { readonly name: string; readonly version: string } {
  const { name, version } = isObject(info) ? info : {};
  return {
    name: typeof name === "string" ? name : "",
    version: typeof version === "string" ? version : "",
  };
}

function sessionHeaders({ sessionId, versions }: Server): Record<string, string> {
  const version = versions[0] ?? "";
  return {
    // A version from outside goes into a header only in the form that versions have.
    "MCP-Protocol-Version": /^[0-9A-Za-z.-]{1,32}$/.test(version) ? version : LEGACY_VERSION,
    ...(sessionId === undefined ? {} : { "Mcp-Session-Id": sessionId }),
  };
}

/** JSON-RPC code of a version that the server does not speak (2026-07-28, Versioning). */
const UNSUPPORTED_VERSION = -32_022;
