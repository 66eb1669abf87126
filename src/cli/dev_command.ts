/** `mcptun dev`: edge, rift and a private server in one process, over real QUIC on loopback. @module */

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";

import { type Clock, delay, systemClock } from "../clock.ts";
import type { LogConfig } from "../config/config.ts";
import { loadConfig, type LoadedConfig } from "../config/load.ts";
import { parseUpstream, shownUrl } from "../config/value.ts";
import { type Edge, startEdge } from "../edge/edge.ts";
import type { JudgedMessage, PolicyDecider } from "../edge/edge_options.ts";
import { TunnelError } from "../errors.ts";
import { type Credential, issueRiftCredential } from "../identity/credential.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { clientAuthentication } from "../identity/client_auth.ts";
import { riftAuthority } from "../identity/rift_authority.ts";
import { openTunnelCa, SERVER_NAME } from "../identity/tunnel_ca.ts";
import { areGroups, isUserName, quotedName } from "../identity/user_name.ts";
import { issueUserToken } from "../identity/user_token_issue.ts";
import { UserTokenStore } from "../identity/user_token_store.ts";
import type { Logger } from "../log.ts";
import { reasonText } from "../policy/explain.ts";
import type { Rift } from "../rift/rift_options.ts";
import { startRift } from "../rift/rift.ts";
import { stampFiles } from "../runtime/file_watch.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import { startSampleServer } from "../sample/sample_server.ts";
import { quicTransport } from "../transport/quic/quic_transport.ts";
import { ConfigReload } from "./config_reload.ts";
import { type DevFacts, devJson, devText } from "./dev_text.ts";
import { edgePartsOf, filesOf } from "./edge_setup.ts";
import { inertText } from "./fitted_table.ts";
import { aborted, type Io } from "./io.ts";
import { policyDecider } from "./policy_setup.ts";
import { readProduct } from "./product.ts";
import { warn } from "./report.ts";

/** What `dev` is told. */
export interface DevCommandOptions {
  readonly upstream?: string | undefined;
  readonly port: string;
  readonly json?: true | undefined;
  /** Policy file: the tunnel is then an aware one. */
  readonly policy?: string | undefined;
  /** Who the token of the run is for. */
  readonly user: string;
  /** Separated by commas. */
  readonly groups?: string | undefined;
}

/** Serves until `io.signal`; then everything is gone within 2 s, also the state folder. @throws {TunnelError} */
export async function runDev(io: Io, options: DevCommandOptions): Promise<void> {
  const port = parsePort(options.port);
  const upstream = options.upstream === undefined ? undefined : requireUpstream(options.upstream);
  const policy = options.policy === undefined ? undefined : resolve(io.cwd, options.policy);
  const user = requireUser(options);
  // Before anything starts: a policy with a mistake in it is the first thing to hear of.
  const load = (): LoadedConfig => devConfig(port, policy);
  const warnOfNobody = (decider: PolicyDecider | undefined): void => {
    if (appliesTo(decider, user)) return;
    warn(io, nobodyText(user, options.policy!)); // there is a decider with a policy only
  };
  warnOfNobody(await policyDecider(load(), { clock: systemClock }));
  const log = pinoLogger({ ...devLog(io), destination: io.stderr });
  const life = new AbortController();
  const stateDir = mkdtempSync(join(tmpdir(), "mcptun-dev-"));
  // It holds the key of a CA: also an exit that does not wait, such as a second signal, removes it.
  const removeState = (): void => rmSync(stateDir, { recursive: true, force: true });
  process.once("exit", removeState);
  const running: Running = {};
  try {
    const context: DevContext = {
      port,
      upstream,
      load,
      user,
      onJudged: policy === undefined || options.json === true
        ? undefined
        : (judged) => void io.stdout.write(judgedLine(judged)),
      onReloaded: (decider) => {
        if (policy === undefined) return;
        if (options.json !== true) io.stdout.write(reloadedLine(options.policy!));
        warnOfNobody(decider);
      },
      onHangup: policy === undefined ? undefined : io.onHangup,
      policy: policy === undefined ? undefined : { shown: options.policy!, path: policy },
      stateDir,
      log,
      clock: systemClock,
      life,
      // What npm calls the script that it runs: there need be no "mcptun" on the path.
      typed: io.env["npm_lifecycle_event"] === "start" ? "npm start --" : "mcptun dev",
    };
    const facts = await startAll(context, running);
    const online = await isOnline(running.edge!, io.signal, systemClock);
    if (!io.signal.aborted) {
      io.stdout.write(options.json === true ? devJson(facts) : devText(facts));
      if (!online) warn(io, `${shownUrl(facts.upstream)} does not answer yet; still trying`);
    }
    const end = await Promise.race([running.rift!.closed, aborted(io.signal)]);
    if (end?.error !== undefined) throw end.error;
  } finally {
    await stopAll(running, life);
    removeState();
    process.removeListener("exit", removeState);
  }
  if (options.json !== true) io.stdout.write("\nStopped, nothing left behind\n");
}

interface DevContext {
  readonly port: number;
  readonly upstream: string | undefined;
  readonly load: () => LoadedConfig;
  readonly user: { readonly user: string; readonly groups: readonly string[] };
  readonly onJudged: ((judged: JudgedMessage) => void) | undefined;
  /** The policy file was read again and is in force. */
  readonly onReloaded: (decider: PolicyDecider | undefined) => void;
  readonly onHangup: Io["onHangup"];
  /** As it was named; absolute for machines, who need not know the folder. */
  readonly policy: { readonly shown: string; readonly path: string } | undefined;
  readonly stateDir: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly life: AbortController;
  /** How flags are added to the command that started this run. */
  readonly typed: string;
}

/** Filled while starting, so that a failure half-way stops what runs. */
interface Running {
  edge?: Edge;
  rift?: Rift;
}

async function startAll(context: DevContext, running: Running): Promise<DevFacts> {
  const { load, user, onJudged, stateDir, log, clock, life } = context;
  const signal = life.signal;
  const ca = await openTunnelCa({ stateDir, clock, log });
  const store = await CredentialStore.open({ stateDir });
  const userTokens = await UserTokenStore.open({ stateDir });
  const issued = await issueUserToken({ store: userTokens, ...user, ttlMs: undefined, clock });
  const loaded = load();
  const stamps = stampFiles(filesOf(loaded));
  const clientAuth = clientAuthentication({
    auth: { issuers: [] },
    userTokens,
    resourceOf: () => "",
    clock,
    log,
  });
  const transport = quicTransport();
  const edge = await startEdge({
    ...await edgePartsOf(loaded, { clock, signal }),
    onJudged,
    transport,
    tls: await ca.serverMaterial(),
    rifts: riftAuthority({ ca, store, clock, log }),
    clientAuth,
    clock,
    log,
    signal,
    edgeId: "dev",
  }).catch(async (error: unknown) => {
    throw await withFreePort(error, context);
  });
  running.edge = edge;
  const reload = new ConfigReload({
    reload: async () => {
      const parts = await edgePartsOf(load(), { clock, signal });
      edge.update({ ...parts, clientAuth });
      context.onReloaded(parts.policy);
    },
    files: () => filesOf(loaded),
    stamps,
    clock,
    log,
    signal,
  });
  context.onHangup?.(() => void reload.now()); // never rejects
  const upstream = context.upstream ?? (await startSampleServer({ log, signal, clock })).url;
  const credential: Credential = await issueRiftCredential({
    ca,
    store,
    name: "dev",
    tunnels: [TUNNEL],
    ttlMs: CREDENTIAL_TTL_MS,
    address: `127.0.0.1:${edge.tunnelAddress.port}`,
    clock,
  });
  running.rift = startRift({
    transport,
    address: { host: "127.0.0.1", port: edge.tunnelAddress.port },
    serverName: SERVER_NAME,
    tls: credential.material,
    exposes: [{ tunnel: TUNNEL, upstream, protocol: "mcp" }],
    clock,
    log,
    signal,
    software: `mcptun/${readProduct().version}`,
    drainMs: 0,
  });
  return {
    version: readProduct().version,
    url: edge.tunnelUrl(TUNNEL),
    token: issued.token.reveal(),
    upstream,
    sample: context.upstream === undefined,
    ...user,
    policy: context.policy,
  };
}

async function stopAll({ edge, rift }: Running, life: AbortController): Promise<void> {
  const orderly = Promise.all([rift?.close(), edge?.close()]);
  const patience = new AbortController();
  await Promise.race([orderly, delay(systemClock, STOP_MS, patience.signal)]);
  patience.abort();
  life.abort();
}

/** True once the tunnel serves; false when it does not within a second. */
async function isOnline(edge: Edge, stop: AbortSignal, clock: Clock): Promise<boolean> {
  const patience = new AbortController();
  const timer = clock.setTimer(PATIENCE_MS, () => patience.abort());
  try {
    await edge.waitForTunnel(TUNNEL, AbortSignal.any([stop, patience.signal]));
    return true;
  } catch (error) {
    if (patience.signal.aborted || stop.aborted) return false;
    throw error;
  } finally {
    timer.cancel();
  }
}

/** The schema's defaults, on loopback, on ports of this run's own; with a policy an aware tunnel. */
function devConfig(port: number, policy: string | undefined): LoadedConfig {
  const tunnel = policy === undefined
    ? { name: TUNNEL, auth: "edge" }
    : { name: TUNNEL, mode: "aware", default: "allow", on_deny: "explain" };
  return loadConfig({
    flags: [
      { key: "edge.listen", flag: "--port", value: `127.0.0.1:${port}` },
      { key: "edge.tunnel_listen", flag: "--port", value: "127.0.0.1:0" },
      { key: "edge.drain", flag: "--port", value: "0s" },
      { key: "tunnel", flag: "--port", value: [tunnel] },
      ...(policy === undefined ? [] : [{ key: "policy.file", flag: "--policy", value: policy }]),
    ],
  });
}

function requireUser({ user, groups }: DevCommandOptions): DevContext["user"] {
  const list = groups === undefined ? [] : groups.split(",").map((group) => group.trim());
  if (isUserName(user) && areGroups(list)) return { user, groups: list };
  throw new TunnelError(
    "USAGE",
    "--user, --groups: a name has 1 to 256 visible characters and no comma",
  );
}

/** One line for people: who asked for what, and what came of it. */
function judgedLine({ principal, method, target, decision }: JudgedMessage): string {
  const what = target.kind === "method" ? method : `${method} ${quotedName(target.name)}`;
  const rule = reasonText({
    ...decision,
    decision: decision.allowed ? "allow" : "deny",
    tunnel: TUNNEL,
  });
  const word = decision.allowed ? "allowed" : "DENIED ";
  const layer = decision.layer === undefined ? "" : `${decision.layer} layer: `;
  return `${word}  ${quotedName(principal.user)}  ${what}  ${layer}${rule}\n`;
}

/** Is there a policy that names the user on the tunnel of `dev`, or no policy at all? */
function appliesTo(decider: PolicyDecider | undefined, user: DevContext["user"]): boolean {
  const principal = { ...user, how: "user_token" } as const;
  const asked = { kind: "method", name: "initialize" } as const;
  return decider?.decide(TUNNEL, principal, asked).reason !== "no_policy";
}

function nobodyText({ user, groups }: DevContext["user"], file: string): string {
  const of = groups.length === 0 ? "" : ` of ${groups.map(quotedName).join(", ")}`;
  return `no [[policy]] of ${inertText(file)} applies to user ${quotedName(user)}${of} on tunnel ` +
    `"${TUNNEL}", so everything is denied (the tunnel of this run is "${TUNNEL}": a policy with ` +
    `tunnels must name it; --user and --groups say who asks)`;
}

/** One line for people: a change of the policy file counts from now on. */
function reloadedLine(file: string): string {
  return `policy   ${inertText(file)}  read again, in force from the next request on\n`;
}

/** Only what goes wrong, so that the facts stay in sight; the environment may ask for more. */
function devLog(io: Io): LogConfig {
  const { config, origins } = loadConfig({
    env: {
      MCPTUN_LOG_LEVEL: io.env["MCPTUN_LOG_LEVEL"],
      MCPTUN_LOG_FORMAT: io.env["MCPTUN_LOG_FORMAT"],
    },
  });
  return origins.has("log.level") ? config.log : { ...config.log, level: "warn" };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new TunnelError("USAGE", `--port: ${JSON.stringify(text)} is not a port (0 to 65535)`);
}

function requireUpstream(text: string): string {
  const parsed = parseUpstream(text);
  if ("value" in parsed) return parsed.value;
  throw new TunnelError("USAGE", `--upstream: ${parsed.problem}`);
}

async function withFreePort(
  error: unknown,
  { port, typed }: Pick<DevContext, "port" | "typed">,
): Promise<unknown> {
  if (!(error instanceof TunnelError) || error.code !== "ADDRESS_IN_USE") return error;
  const free = await nextFreePort(port + 1);
  return new TunnelError(
    "ADDRESS_IN_USE",
    `Port ${port} is in use: try "${typed} --port ${free}", which is free now`,
    { cause: error },
  );
}

/** The first free loopback port from `from` on, or 0, which means any. */
async function nextFreePort(from: number): Promise<number> {
  for (let port = from; port < Math.min(from + PORTS_TRIED, 65_536); port++) {
    if (await isFree(port)) return port;
  }
  return 0;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

const TUNNEL = "dev";
const CREDENTIAL_TTL_MS = 30 * 86_400_000;
/** How long `dev` waits for its own tunnel before it prints the facts regardless, ms. */
const PATIENCE_MS = 1_200;
/** How long an orderly stop may take, ms; everything is cut after it. */
const STOP_MS = 1_200;
const PORTS_TRIED = 100;
