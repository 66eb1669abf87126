/**
 * `mcptun doctor --url`: walks the way of an MCP client, from the name in the URL to the list of tools.
 *
 * @module
 */

import { DOCTOR_ISSUERS } from "../limits.ts";
import { fail, type Finding, note, ok, plain, shown, shownList, skip } from "./finding.ts";
import { HttpClient } from "./http_client.ts";
import { type Knock, McpClient, MODERN_VERSION, type Reading, type Server } from "./mcp_client.ts";
import { isObject } from "./mcp_message.ts";
import { issuerStep, type ResourceMetadata, resourceStep } from "./metadata.ts";
import {
  judgeUrl,
  lookupStep,
  type NetworkContext,
  targetOf,
  tcpStep,
  tlsStep,
} from "./network_steps.ts";
import { hintOfCode, NO_METHOD, refusalFinding } from "./refusal.ts";
import type { StepRunner } from "./step_runner.ts";
import { readToken, type TokenReading } from "./token.ts";

/** What the check is given. */
export interface UrlDoctorOptions extends NetworkContext {
  readonly runner: StepRunner;
  /** As the user wrote it. */
  readonly urlText: string;
  /** The same; http or https. */
  readonly url: URL;
  /** Without white space around it. */
  readonly token: string | undefined;
  /** Trusted certificates, PEM. */
  readonly roots: readonly string[];
  readonly client: { readonly name: string; readonly version: string };
}

/** Names of the steps, in order. */
export const URL_STEPS = [
  "url",
  "dns",
  "tcp",
  "tls",
  "challenge",
  "metadata",
  "issuer",
  "token",
  "request",
  "server",
  "tools",
] as const;

/** Runs every step that makes sense; what they found is in the runner. */
export async function runUrlDoctor(options: UrlDoctorOptions): Promise<void> {
  const { runner, token } = options;
  if (token !== undefined) runner.hide(token);
  const address = await reach(options);
  if (address === undefined) return;
  const http = new HttpClient({
    ...options,
    redact: runner.redact,
    userAgent: `${options.client.name}/${options.client.version}`,
  });
  http.pin(targetOf(options.url).host, address);
  await new EndpointCheck(options, http).run();
}

/** The steps below HTTP. Gives the address that answers, or nothing when the check is over. */
async function reach(options: UrlDoctorOptions): Promise<string | undefined> {
  const { runner, url, urlText } = options;
  const { host, port } = targetOf(url);
  const skipAfter = (name: typeof URL_STEPS[number], reason: string): undefined => {
    runner.skip(URL_STEPS.slice(URL_STEPS.indexOf(name) + 1), reason);
    return undefined;
  };
  const judged = judgeUrl(urlText, url);
  await runner.run("url", () => judged.finding);
  if (judged.stop) return skipAfter("url", "Nothing is sent to this URL");

  let addresses: Awaited<ReturnType<typeof lookupStep>>["addresses"] = [];
  await runner.run("dns", async () => {
    const found = await lookupStep(host, options);
    addresses = found.addresses;
    return found.finding;
  });
  if (addresses.length === 0) return skipAfter("dns", "Needs an address");

  let address: string | undefined;
  await runner.run("tcp", async () => {
    const tried = await tcpStep(addresses, port, options);
    address = tried.address;
    return tried.finding;
  });
  if (address === undefined) return skipAfter("tcp", "Needs a connection");

  const reached = address;
  const tls = await runner.run(
    "tls",
    () =>
      url.protocol === "https:"
        ? tlsStep({ ...options, host, port, address: reached })
        : skip("The URL is http"),
  );
  return tls.status === "fail" ? skipAfter("tls", "Needs a trusted connection") : address;
}

/** The steps from HTTP on. */
class EndpointCheck {
  readonly #options: UrlDoctorOptions;
  readonly #http: HttpClient;
  /** What the server asks for in its challenge. */
  #wantsToken = false;
  #announced: string | undefined;
  #scope: string | undefined;
  #metadata: ResourceMetadata | undefined;

  constructor(options: UrlDoctorOptions, http: HttpClient) {
    this.#options = options;
    this.#http = http;
  }

  async run(): Promise<void> {
    const { runner, token } = this.#options;
    const open = await this.#challenge();
    if (open === "refused") {
      runner.skip(["metadata", "issuer"], "Needs an endpoint that answers");
      await this.#token();
      return runner.skip(["request", "server", "tools"], "Needs an endpoint that answers");
    }
    let { client, server } = open;
    try {
      await this.#resource();
      await this.#issuers();
      const reading = await this.#token();
      if (token === undefined) {
        await runner.run(
          "request",
          () => this.#wantsToken ? skip("Needs a token") : skip("The same as without a token"),
        );
      } else if (reading?.usable !== true) {
        runner.skip(["request"], "The token is not sent");
        if (this.#wantsToken) server = undefined;
      } else {
        if (server !== undefined) await client.end(server);
        client = this.#client(token);
        server = await this.#request(client, reading);
      }
      if (server === undefined) {
        return runner.skip(["server", "tools"], "Needs a request that is accepted");
      }
      await runner.run("server", () => serverFinding(server!)); // checked above
      await runner.run("tools", () => toolsStep(client, server!));
    } finally {
      if (server !== undefined) await client.end(server);
    }
  }

  #client(token: string | undefined): McpClient {
    const { url, client } = this.#options;
    const authorization = token === undefined ? undefined : `Bearer ${token}`;
    return new McpClient({ http: this.#http, url, client, authorization });
  }

  /** The first request, without a token. */
  async #challenge(): Promise<
    { readonly client: McpClient; readonly server: Server | undefined } | "refused"
  > {
    const client = this.#client(undefined);
    let knock: Knock | undefined;
    const finding = await this.#options.runner.run("challenge", async () => {
      knock = await client.knock();
      return this.#judgeChallenge(knock);
    });
    const server = knock !== undefined && "server" in knock ? knock.server : undefined;
    return server === undefined && !this.#wantsToken && finding.status === "fail"
      ? "refused"
      : { client, server };
  }

  #judgeChallenge(knock: Knock): Finding {
    if ("server" in knock) {
      return note(
        "200 without a token: no authentication asked",
        'if this should not be open to everyone: auth = "edge" on the tunnel, or tokens in the private server',
      );
    }
    const { refused } = knock;
    if (refused.kind !== "unauthorized") return refusalFinding(refused);
    this.#wantsToken = true;
    const { schemes, bearer } = refused.challenges;
    if (bearer === undefined) {
      return fail(
        schemes.length === 0
          ? "401 without a WWW-Authenticate header"
          : `401, but no Bearer challenge (${shownList(schemes)})`,
        "MCP clients need WWW-Authenticate: Bearer (RFC 9110, 15.5.2): a proxy in front may strip it, or ask for a password of its own",
      );
    }
    this.#announced = bearer.resourceMetadata;
    this.#scope = bearer.scope;
    const details = [
      ...(bearer.resourceMetadata === undefined
        ? []
        : [`resource_metadata ${shown(bearer.resourceMetadata, 200)}`]),
      ...(bearer.scope === undefined ? [] : [`scope ${shown(bearer.scope)}`]),
      ...(bearer.error === undefined
        ? []
        : [`error ${shown(bearer.error)} ${plain(bearer.errorDescription ?? "")}`.trimEnd()]),
    ];
    return ok("401 with a Bearer challenge: a token is wanted", ...details);
  }

  async #resource(): Promise<void> {
    const { runner, url, urlText } = this.#options;
    await runner.run("metadata", async () => {
      const { finding, metadata } = await resourceStep({
        http: this.#http,
        url,
        urlText,
        announced: this.#announced,
        wantsToken: this.#wantsToken,
      });
      this.#metadata = metadata;
      return finding;
    });
  }

  async #issuers(): Promise<void> {
    const { runner, url } = this.#options;
    const issuers = this.#metadata?.authorizationServers ?? [];
    if (issuers.length === 0) return runner.skip(["issuer"], "The metadata names none");
    for (const issuer of issuers.slice(0, DOCTOR_ISSUERS)) {
      await runner.run("issuer", () => issuerStep(this.#http, issuer, url));
    }
    if (issuers.length > DOCTOR_ISSUERS) {
      runner.skip(["issuer"], `${issuers.length - DOCTOR_ISSUERS} more are not looked at`);
    }
  }

  /** What the token looks like; `undefined` when there is none. */
  async #token(): Promise<TokenReading | undefined> {
    const { runner, token, clock, urlText, url } = this.#options;
    let reading: TokenReading | undefined;
    await runner.run("token", () => {
      if (token === undefined) {
        return this.#wantsToken
          ? note(
            "None given, so the rest is not checked",
            "give one with --token-file FILE, or in MCPTUN_USER_TOKEN",
          )
          : skip("None given");
      }
      reading = readToken(token, {
        nowMs: clock.wallNow(),
        urlText,
        metadata: this.#metadata,
        wantedScope: this.#scope,
      });
      if (reading.usable && judgeUrl(urlText, url).finding.status === "fail") {
        reading = { ...reading, usable: false };
        const { detail } = reading.finding;
        const lines = typeof detail === "string" ? [detail] : detail;
        return skip(...lines, "Not sent: the URL is not encrypted");
      }
      return reading.finding;
    });
    return reading;
  }

  /** The first request again, with the token. */
  async #request(client: McpClient, token: TokenReading): Promise<Server | undefined> {
    let server: Server | undefined;
    await this.#options.runner.run("request", async () => {
      const knock = await client.knock();
      if ("refused" in knock) return this.#judgeRefusal(knock.refused, token);
      server = knock.server;
      return this.#wantsToken
        ? ok("200: the token is accepted")
        : note("200 with the token, as without one: it may not even be looked at");
    });
    return server;
  }

  #judgeRefusal(refused: Exclude<Reading, { kind: "result" }>, token: TokenReading): Finding {
    if (refused.kind !== "unauthorized" && refused.kind !== "forbidden") {
      return refusalFinding(refused);
    }
    const { bearer } = refused.challenges;
    const said = [
      ...(bearer?.error === undefined ? [] : [plain(bearer.error, 60)]),
      ...(bearer?.errorDescription === undefined ? [] : [shown(bearer.errorDescription)]),
      ...(bearer?.scope === undefined ? [] : [`scope ${shown(bearer.scope)}`]),
    ].join(", ");
    const head = `${refused.answer.status}: ${said === "" ? "no reason given" : said}`;
    if (refused.kind === "forbidden") {
      return fail(
        head,
        bearer?.error === "insufficient_scope"
          ? "get a token with all scopes that are named, or change what the resource asks for"
          : refused.code === undefined
          ? "the log of the server says why"
          : hintOfCode(refused.code),
      );
    }
    const doubts = token.doubts.length === 0 ? "" : `; what stands out: ${token.doubts.join("; ")}`;
    switch (token.kind) {
      case "user":
        return fail(
          head,
          "the edge does not know this token: was it revoked, has it ended, is it of another edge (mcptun dev makes a new one at each start)?",
        );
      case "jwt":
        return fail(head, `the log of the edge names the reason${doubts}`);
      case "opaque":
      case "wrong":
        return fail(head, "get a new token from the issuer; is it for this resource?");
    }
  }
}

function serverFinding({ era, name, version, versions }: Server): Finding {
  const who = name === "" ? "A server without a name" : `${plain(name, 60)} ${plain(version, 40)}`;
  const speaks = `${who.trimEnd()}, MCP ${
    versions.length === 0 ? "(no versions named)" : shownList(versions)
  }`;
  if (era === "legacy") return ok(`${speaks}, with sessions (before ${MODERN_VERSION})`);
  return versions.includes(MODERN_VERSION) ? ok(speaks) : note(
    `${speaks}: it answered ${MODERN_VERSION}, but does not name it`,
    "supportedVersions of server/discover should name every version that is spoken",
  );
}

async function toolsStep(client: McpClient, server: Server): Promise<Finding> {
  const reading = await client.request("tools/list", server);
  if (reading.kind === "error" && reading.code === undefined && reading.error.code === NO_METHOD) {
    return note("The server has no tools, or the policy of its tunnel hides them from this user");
  }
  if (reading.kind !== "result") return refusalFinding(reading);
  const { tools, nextCursor } = reading.result;
  if (!Array.isArray(tools)) {
    return fail(
      "The answer to tools/list has no tools",
      "the server does not keep to MCP: look into it",
    );
  }
  const names = tools.flatMap((tool: unknown) =>
    isObject(tool) && typeof tool["name"] === "string" ? [tool["name"]] : []
  );
  const count = tools.length === 1 ? "1 tool" : `${tools.length} tools`;
  const more = nextCursor === undefined ? "" : " on the first page";
  if (names.length === 0) return note(`${count}${more}: none for this user, or none at all`);
  return ok(`${count}${more}: ${shownList(names)}`);
}
