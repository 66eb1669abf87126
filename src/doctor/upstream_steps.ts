/** Steps between a rift and its private servers: the port, HTTP, MCP. @module */

import type { Expose } from "./rift_doctor.ts";
import { fail, type Finding, note, ok, plain } from "./finding.ts";
import type { HttpClient } from "./http_client.ts";
import { McpClient } from "./mcp_client.ts";
import {
  type Address,
  lookupStep,
  type NetworkContext,
  targetOf,
  tcpStep,
} from "./network_steps.ts";
import { describeBody, refusalFinding } from "./refusal.ts";
import type { StepRunner } from "./step_runner.ts";
import { DOCTOR_METADATA_BYTES } from "../limits.ts";

/** What the steps of all upstreams share. */
export interface UpstreamContext extends NetworkContext {
  readonly runner: StepRunner;
  readonly http: HttpClient;
  readonly client: { readonly name: string; readonly version: string };
}

/** Names of the steps, in order. */
export const UPSTREAM_STEPS = ["upstream", "http", "mcp"] as const;

/** Walks to one private server, as far as it goes. */
export async function checkUpstream(expose: Expose, context: UpstreamContext): Promise<void> {
  const { runner, http } = context;
  const url = new URL(expose.upstream); // the configuration has accepted it
  const named = (finding: Finding): Finding => withName(expose.tunnel, finding);
  const reached = await runner.run("upstream", async () => named(await reach(url, context)));
  if (reached.status === "fail") {
    return runner.skip(["http", "mcp"], `${plain(expose.tunnel)}: needs a connection`);
  }
  const spoken = await runner.run("http", async () => named(await askOptions(url, http)));
  if (expose.protocol !== "mcp") return;
  if (spoken.status === "fail") return runner.skip(["mcp"], `${plain(expose.tunnel)}: needs HTTP`);
  await runner.run("mcp", async () => {
    const authorization = expose.authorization === undefined
      ? undefined
      : await expose.authorization();
    if (typeof authorization === "object") {
      return named(fail(authorization.problem, "name a readable file in authorization_file"));
    }
    if (authorization !== undefined) runner.hide(authorization);
    return named(await askMcp(url, { ...context, authorization }));
  });
}

async function reach(url: URL, context: UpstreamContext): Promise<Finding> {
  const { host, port } = targetOf(url);
  const { finding, addresses } = await lookupStep(host, context);
  if (addresses.length === 0) return finding;
  const tried = await tcpStep(addresses satisfies readonly Address[], port, context);
  // "localhost" has two addresses and usually one listener; the rift tries both, too.
  return tried.finding.status === "note" ? ok(...linesOf(tried.finding)) : tried.finding;
}

async function askOptions(url: URL, http: HttpClient): Promise<Finding> {
  const answer = await http.ask({ method: "OPTIONS", url, maxBytes: DOCTOR_METADATA_BYTES });
  if (answer.kind === "failed") return fail(answer.problem, answer.hint);
  // Any status: a server that wants a token, or knows no OPTIONS, is there.
  return ok(`Answers OPTIONS with ${answer.status}`);
}

async function askMcp(
  url: URL,
  { http, client, authorization }: UpstreamContext & { readonly authorization: string | undefined },
): Promise<Finding> {
  const reading = await new McpClient({ http, url, client, authorization }).discover();
  switch (reading.kind) {
    case "result":
      return ok("Speaks MCP 2026-07-28");
    case "unauthorized":
      return authorization === undefined
        ? ok("Wants a token (401), which clients bring, or authorization_file adds")
        : fail(
          "Does not accept what authorization_file holds (401)",
          "put a valid Authorization value there",
        );
    case "error":
      return /invalid host|host.*not allowed/i.test(reading.error.message)
        ? refusalFinding(reading)
        : ok(`Speaks MCP, probably of an older version (${reading.answer.status})`);
    case "forbidden":
      return ok("Answers 403: it wants another token, which clients bring");
    case "accepted":
      return note(`Answers ${reading.answer.status} without a body: an older MCP server may`);
    case "not_mcp": {
      const { status } = reading.answer;
      // Servers of older revisions refuse what they do not know in many ways.
      return [400, 406, 415, 422].includes(status)
        ? note(`Answers ${status}, ${describeBody(reading.answer)}: an older MCP server may`)
        : status === 404
        ? fail(
          `404, ${describeBody(reading.answer)}`,
          "check the path of the upstream's URL: it is the MCP endpoint itself",
        )
        : refusalFinding(reading);
    }
    case "redirect":
    case "failed":
      return refusalFinding(reading);
  }
}

function withName(tunnel: string, finding: Finding): Finding {
  const [first = "", ...rest] = linesOf(finding);
  return { ...finding, detail: [`${plain(tunnel)}: ${first}`, ...rest] };
}

function linesOf({ detail }: Finding): readonly string[] {
  return typeof detail === "string" ? [detail] : detail;
}
