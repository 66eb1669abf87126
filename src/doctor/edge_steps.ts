/** Steps between a rift and its edge: the connection, the tunnels, the clocks. @module */

import { randomUUID } from "node:crypto";

import { errorCodeOfQuic, TunnelError } from "../errors.ts";
import type { Credential } from "../identity/credential.ts";
import { SERVER_NAME } from "../identity/tunnel_ca.ts";
import { DOCTOR_CLOCK_SKEW_MS } from "../limits.ts";
import { silentLogger } from "../log.ts";
import type { Connection, Transport } from "../transport/transport.ts";
import type { Refusal, TunnelClaim } from "../wire/control.ts";
import { FEATURES } from "../wire/version.ts";
import { askEdge, type EdgeReply } from "./edge_question.ts";
import { fail, type Finding, note, ok, plain, shown, shownList } from "./finding.ts";
import type { NetworkContext } from "./network_steps.ts";

/** What is needed to reach an edge. */
export interface EdgeContext extends NetworkContext {
  readonly transport: Transport;
  readonly credential: Credential;
  readonly host: string;
  readonly port: number;
  readonly software: string;
}

/** Why an edge cannot be asked, or its first answer. */
export type EdgeContact =
  | { readonly finding: Finding; readonly reply: undefined }
  | { readonly finding: Finding; readonly reply: EdgeReply & { readonly kind: "welcome" } };

/**
 * Connects as a rift would, with both certificates checked, and asks with no tunnel at all whether
 * the edge can check: one that cannot must not take this for a registration.
 */
export async function edgeStep(context: EdgeContext): Promise<EdgeContact> {
  const { host, port, credential } = context;
  const reply = await contact(context, []);
  const target = `${plain(host, 60)}:${port} (UDP)`;
  if ("error" in reply) return { finding: connectFinding(reply.error, target), reply: undefined };
  if (reply.kind !== "welcome") return { finding: replyFinding(reply), reply: undefined };
  const { welcome } = reply;
  const facts = `${target}: connected as ${shown(credential.name)}, edge ${shown(welcome.edge)}`;
  if (!welcome.features.includes(FEATURES.check)) {
    return {
      finding: note([facts, OLDER], "update the edge to check tunnels and clocks too"),
      reply: undefined,
    };
  }
  return { finding: ok(facts, "Both certificates are accepted"), reply };
}

/** Asks which of the tunnels the edge would grant. Registers nothing. */
export async function tunnelsStep(
  context: EdgeContext,
  tunnels: readonly TunnelClaim[],
): Promise<Finding> {
  const reply = await contact(context, tunnels);
  if ("error" in reply) return connectFinding(reply.error, "the edge");
  if (reply.kind !== "welcome") return replyFinding(reply);
  const granted = new Set(reply.welcome.tunnels);
  const lines = tunnels.map(({ name, protocol }) => {
    if (granted.has(name)) return `${plain(name)} (${protocol}): would be granted`;
    const refusal = reply.refusals.find(({ tunnel }) => tunnel === name);
    const reason = refusal === undefined ? "no answer" : plain(refusal.reason, 200);
    return `${plain(name)} (${protocol}): ${reason}`;
  });
  const refused = tunnels.filter(({ name }) => !granted.has(name));
  return refused.length === 0 ? ok(...lines) : fail(
    lines,
    `mend it on the edge, as the reason says: ${shownList(refused.map(({ name }) => name))}`,
  );
}

/** Compares the edge's clock with this one. */
export function judgeClock(edgeWallMs: number | undefined, ownWallMs: number): Finding {
  if (edgeWallMs === undefined) return note("The edge does not tell its time");
  const skewMs = edgeWallMs - ownWallMs;
  const seconds = Math.abs(skewMs) / 1_000;
  if (Math.abs(skewMs) <= DOCTOR_CLOCK_SKEW_MS) {
    return ok(seconds < 1 ? "Less than 1 s apart" : `${seconds.toFixed(1)} s apart`);
  }
  return fail(
    `This host is ${spanText(seconds)} ${skewMs > 0 ? "behind" : "ahead of"} the edge`,
    "set the clock of the host that is wrong (NTP): certificates from the future are refused, and those that have ended too",
  );
}

async function contact(
  context: EdgeContext,
  tunnels: readonly TunnelClaim[],
): Promise<EdgeReply | { readonly error: TunnelError }> {
  const { transport, credential, clock, signal, host, port } = context;
  let connection: Connection;
  const patience = new AbortController();
  const timer = clock.setTimer(context.timeoutMs, () => patience.abort());
  try {
    connection = await transport.connect({
      host,
      port,
      serverName: SERVER_NAME,
      tls: credential.material,
      clock,
      log: silentLogger,
      signal: AbortSignal.any([signal, patience.signal]),
    });
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error;
    if (!patience.signal.aborted) return { error };
    return { error: new TunnelError("HANDSHAKE_TIMEOUT", "No answer in time", { cause: error }) };
  } finally {
    timer.cancel();
  }
  const reply = await askEdge({
    connection,
    tunnels,
    instance: randomUUID(),
    software: context.software,
    clock,
    timeoutMs: context.timeoutMs,
  });
  await connection.closed;
  return reply;
}

function connectFinding(error: TunnelError, target: string): Finding {
  const seen = `${target}: ${plain(error.message, 300)}`;
  switch (error.code) {
    case "HANDSHAKE_TIMEOUT":
      return fail(
        `${target}: no answer over UDP`,
        "open UDP to this port on the way (security group, firewall, a network that drops UDP); is the edge running, and edge.tunnel_address right?",
      );
    case "HANDSHAKE_FAILED":
      return fail(
        seen,
        "the edge does not accept the credential, or is not the edge it is for: compare the clocks, the address, and whether the edge's state_dir was made anew; else issue a new one",
      );
    case "CREDENTIAL_INVALID":
      return fail(seen, 'issue a new credential on the edge: "mcptun token issue"');
    default:
      return fail(seen, "check the network of this host, and the address of the edge");
  }
}

function replyFinding(reply: Exclude<EdgeReply, { kind: "welcome" }>): Finding {
  switch (reply.kind) {
    case "refused":
      return refusalFinding(reply.refusal);
    case "broken":
      return fail(
        `The edge broke the protocol: ${plain(reply.problem)}`,
        "what answers there is no edge, or one of another version: update both sides",
      );
    case "ended": {
      const { end } = reply;
      const code = end.kind === "peer" ? errorCodeOfQuic(end.code) ?? end.code : end.kind;
      return fail(
        `The connection ended before an answer (${code}): ${plain(end.reason)}`,
        end.kind === "idle_timeout"
          ? "the way lets the first packets through, then drops UDP: look at firewalls and NAT"
          : "the edge refuses this certificate (another CA, ended, clocks apart) or is stopping: its log says which",
      );
    }
    case "timeout":
      return fail(
        "The edge has taken the connection, but does not answer",
        "it is overloaded or stopping: look into its log",
      );
  }
}

function refusalFinding({ code, reason }: Refusal): Finding {
  const seen = `The edge refuses: ${plain(reason, 200)}`;
  switch (code) {
    case "credential":
      return fail(seen, 'issue a new credential on the edge: "mcptun token issue"');
    case "version":
      return fail(seen, "update the older of the two sides");
    case "limit":
      // An edge that knows the check does not compare it with running rifts.
      return /newer rift/i.test(reason)
        ? note(
          ["The credential is accepted, and a rift with it is connected", OLDER],
          "update the edge to check tunnels and clocks too",
        )
        : fail(seen, "wait, or raise the limit on the edge");
    case "tunnel_unknown":
    case "tunnel_forbidden":
    case "protocol":
      return fail(seen, "update both sides, and look into the log of the edge");
  }
}

function spanText(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7_200
    ? `${(seconds / 60).toFixed(0)} minutes`
    : `${(seconds / 3_600).toFixed(0)} hours`;
}

const OLDER = "The edge is older than this mcptun and cannot answer checks";
