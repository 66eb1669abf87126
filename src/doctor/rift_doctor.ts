/**
 * `mcptun doctor --rift`: walks the way of a rift, from its configuration to the edge and to the
 * private servers. Registers nothing and replaces nobody.
 *
 * @module
 */

import { TunnelError } from "../errors.ts";
import type { Credential } from "../identity/credential.ts";
import { DOCTOR_CREDENTIAL_NOTE_MS } from "../limits.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import type { Transport } from "../transport/transport.ts";
import { edgeStep, judgeClock, tunnelsStep } from "./edge_steps.ts";
import { fail, type Finding, note, ok, plain, shownList } from "./finding.ts";
import { HttpClient } from "./http_client.ts";
import { lookupStep, type NetworkContext } from "./network_steps.ts";
import type { StepRunner } from "./step_runner.ts";
import { checkUpstream, UPSTREAM_STEPS } from "./upstream_steps.ts";

/** One tunnel and the private server behind it. */
export interface Expose {
  readonly tunnel: string;
  /** `http:` or `https:`. */
  readonly upstream: string;
  readonly protocol: "mcp" | "http";
  /** Reads the `Authorization` value for the upstream, when the rift adds one. */
  readonly authorization?: (() => Promise<string | { readonly problem: string }>) | undefined;
}

/** What the configuration says. */
export interface RiftSetup {
  /** Where it was read, for people. */
  readonly from: string;
  readonly exposes: readonly Expose[];
  /** Instead of the credential's. */
  readonly edge: { readonly host: string; readonly port: number } | undefined;
  readonly warnings: readonly string[];
}

/** A credential that was read. */
export interface ReadCredential {
  readonly credential: Credential;
  readonly edge: { readonly host: string; readonly port: number };
  readonly warnings: readonly string[];
}

/** What the check is given. */
export interface RiftDoctorOptions extends NetworkContext {
  readonly runner: StepRunner;
  readonly transport: Transport;
  /** @throws {TunnelError} */
  readonly loadSetup: () => RiftSetup;
  /** @throws {TunnelError} */
  readonly readCredential: () => Promise<ReadCredential>;
  readonly roots: readonly string[];
  readonly client: { readonly name: string; readonly version: string };
}

/** Names of the steps, in order; the last three once for each upstream. */
export const RIFT_STEPS = [
  "config",
  "credential",
  "dns",
  "edge",
  "tunnels",
  "clock",
  ...UPSTREAM_STEPS,
] as const;

/** Runs every step that makes sense; what they found is in the runner. */
export async function runRiftDoctor(options: RiftDoctorOptions): Promise<void> {
  const { runner } = options;
  let setup: RiftSetup | undefined;
  await runner.run("config", () =>
    orExpected(() => {
      setup = options.loadSetup();
      return judgeSetup(setup);
    }, 'mend the line that is named; "mcptun config check" shows every value'));
  const exposes = setup?.exposes ?? [];
  if (setup === undefined) {
    return runner.skip(RIFT_STEPS.slice(1), "Needs a configuration");
  }

  let read: ReadCredential | undefined;
  await runner.run("credential", () =>
    orExpected(
      async () => {
        read = await options.readCredential();
        return judgeCredential(read, exposes, options.clock.wallNow());
      },
      'make one on the edge: "mcptun token issue", and give it with --token-file FILE or MCPTUN_TOKEN',
    ));
  if (read === undefined) {
    runner.skip(["dns", "edge", "tunnels", "clock"], "Needs a credential");
  } else {
    await checkEdge(options, read.credential, setup.edge ?? read.edge, exposes);
  }

  const http = new HttpClient({
    ...options,
    redact: runner.redact,
    userAgent: `${options.client.name}/${options.client.version}`,
  });
  for (const expose of exposes) {
    await checkUpstream(expose, { ...options, http });
  }
}

async function checkEdge(
  options: RiftDoctorOptions,
  credential: Credential,
  edge: { readonly host: string; readonly port: number },
  exposes: readonly Expose[],
): Promise<void> {
  const { runner, client } = options;
  const found = await runner.run("dns", async () => (await lookupStep(edge.host, options)).finding);
  if (found.status === "fail") return runner.skip(["edge", "tunnels", "clock"], "Needs an address");
  const context = {
    ...options,
    credential,
    ...edge,
    software: `${client.name}/${client.version}`,
  };
  let contact: Awaited<ReturnType<typeof edgeStep>> | undefined;
  await runner.run("edge", async () => (contact = await edgeStep(context)).finding);
  const reply = contact?.reply;
  if (reply === undefined) {
    return runner.skip(["tunnels", "clock"], "Needs an edge that answers the check");
  }
  if (exposes.length === 0) runner.skip(["tunnels"], "Nothing is exposed");
  else {
    const claims = exposes.map(({ tunnel, protocol }) => ({ name: tunnel, protocol }));
    await runner.run("tunnels", () => tunnelsStep(context, claims));
  }
  await runner.run("clock", () => judgeClock(reply.welcome.timeMs, reply.askedAtMs));
}

function judgeSetup({ from, exposes, warnings }: RiftSetup): Finding {
  if (exposes.length === 0) {
    return fail(
      `${plain(from)}: nothing is exposed`,
      "add a [[rift.expose]] table with tunnel and upstream, or --expose TUNNEL=URL",
    );
  }
  const names = exposes.map(({ tunnel }) => tunnel);
  const fact = `${plain(from)}: exposes ${shownList(names)}`;
  return warnings.length === 0 ? ok(fact) : note([fact, ...warnings]);
}

function judgeCredential(
  { credential, warnings }: ReadCredential,
  exposes: readonly Expose[],
  nowMs: number,
): Finding {
  const { name, tunnels, expiresAtMs } = credential;
  const until = new Date(expiresAtMs).toISOString().slice(0, 16).replace("T", " ");
  const facts = [`${plain(name)}, for ${shownList(tunnels)}, until ${until} UTC`, ...warnings];
  const mayClaim = compileNameGlob(tunnels);
  const uncovered = exposes.filter(({ tunnel }) => !mayClaim(tunnel)).map(({ tunnel }) => tunnel);
  if (uncovered.length > 0) {
    return fail(
      [...facts, `It does not cover ${shownList(uncovered)}`],
      "issue one whose --tunnels covers all that is exposed",
    );
  }
  if (expiresAtMs - nowMs < DOCTOR_CREDENTIAL_NOTE_MS) {
    return note(
      [...facts, `It ends in ${spanOf(expiresAtMs - nowMs)}`],
      "a connected rift renews it by itself; else, on the edge: " +
        `mcptun token rotate ${plain(name)}, and put the new one into the rift's token file`,
    );
  }
  return warnings.length === 0 ? ok(...facts) : note(facts);
}

/** What a command would end with is a finding here. */
async function orExpected(work: () => Finding | Promise<Finding>, hint: string): Promise<Finding> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TunnelError) return fail(error.message.split("\n"), hint);
    throw error;
  }
}

function spanOf(ms: number): string {
  const hours = Math.max(0, ms) / HOUR_MS;
  if (hours < 2) return `${Math.floor(hours * 60)} minutes`;
  return hours < 48 ? `${Math.floor(hours)} hours` : `${Math.floor(hours / 24)} days`;
}

const HOUR_MS = 3_600_000;
