/** `mcptun edge`: the public role in the foreground. @module */

import { hostname } from "node:os";

import type { Clock } from "../clock.ts";
import { systemClock } from "../clock.ts";
import type { LoadedConfig } from "../config/load.ts";
import { type Edge, startEdge } from "../edge/edge.ts";
import { TunnelError } from "../errors.ts";
import { clientAuthentication } from "../identity/client_auth.ts";
import { isActiveUserToken } from "../identity/user_token_store.ts";
import type { Logger } from "../log.ts";
import { stampFiles } from "../runtime/file_watch.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import { quicTransport } from "../transport/quic/quic_transport.ts";
import { ConfigReload } from "./config_reload.ts";
import { type EdgeAudit, type EdgeAuditOptions, openEdgeAudit } from "./edge_audit.ts";
import { edgePartsOf, filesOf, needRestart } from "./edge_setup.ts";
import { EdgeState } from "./edge_state.ts";
import { aborted, type Io } from "./io.ts";
import { configFiles, givenFlags, loadFor } from "./key_option.ts";
import { withListenProblem } from "./listen_problem.ts";
import { openAdmin } from "./open_admin.ts";
import { readOtlpHeaders } from "./otlp_headers.ts";
import { readProduct } from "./product.ts";
import { warnOfFailedTests } from "./policy_setup.ts";
import { columns } from "./report.ts";

/** What `edge` is told. */
export interface EdgeCommandOptions {
  readonly config?: string | undefined;
  readonly listen?: string | undefined;
  readonly tunnelListen?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly logLevel?: string | undefined;
  readonly logFormat?: string | undefined;
}

/** Serves until `io.signal`, then lets exchanges in flight end. @throws {TunnelError} */
export async function runEdge(io: Io, options: EdgeCommandOptions): Promise<void> {
  const load = (): LoadedConfig =>
    loadFor(
      io,
      options.config,
      givenFlags([
        ["edge.listen", "--listen", options.listen],
        ["edge.tunnel_listen", "--tunnel-listen", options.tunnelListen],
        ["edge.state_dir", "--state-dir", options.stateDir],
        ["log.level", "--log-level", options.logLevel],
        ["log.format", "--log-format", options.logFormat],
      ]),
    );
  // Each file is stamped before it is read: a change during a slow start is not missed.
  const stamps = stampFiles(configFiles(io, options.config));
  const started = load();
  stampFiles(filesOf(started), stamps);
  let loaded = started;
  const { edge: config, log: logConfig } = loaded.config;
  const log = pinoLogger({ ...logConfig, destination: io.stderr });
  const clock = systemClock;
  const { stateDir } = config;
  // Before anything is made on disk: a configuration that serves nothing leaves nothing behind.
  const parts = await edgePartsOf(loaded, { clock });
  const headers = readOtlpHeaders(io, loaded);
  const state = await EdgeState.open({ stateDir, clock, log });
  const audit = await openRecords(
    { stateDir, clock, log, audit: loaded.config.audit, headers },
    state,
    loaded,
  );
  let edge: Edge | undefined;
  const clientAuth = clientAuthentication({
    auth: loaded.config.auth,
    userTokens: state.userTokens,
    resourceOf: (tunnel) => edge!.tunnelUrl(tunnel), // asked for requests, so when there is an edge
    clock,
    log,
  });
  const life = new AbortController();
  const { signal } = life;
  const testPolicy = (policy: typeof parts.policy): Promise<void> => {
    const { file: config, config: { policy: { file } } } = loaded;
    return warnOfFailedTests(policy, { file, config, log, clock, signal });
  };
  try {
    const running = await startEdge({
      ...parts,
      clientAuth,
      transport: quicTransport(),
      tls: await state.ca.serverMaterial(),
      rifts: state.authority(),
      clock,
      log,
      signal,
      edgeId: hostname(),
      audit,
    }).catch((error: unknown) => {
      throw withListenProblem(error);
    });
    edge = running;
    state.follow(running, signal);
    const reload = new ConfigReload({
      reload: async (reads) => {
        const changed = load();
        reads(filesOf(changed));
        const parts = await edgePartsOf(changed, { clock, signal });
        running.update({ ...parts, clientAuth });
        clientAuth.update(changed.config.auth);
        running.recheckClients();
        const restart = needRestart(started, changed);
        if (restart.length > 0) {
          log.warn("Changed, but read at start only: restart the edge", {
            keys: restart.join(" "),
          });
        }
        loaded = changed;
        await testPolicy(parts.policy);
      },
      files: () => filesOf(loaded),
      stamps,
      clock,
      log,
      signal,
    });
    io.onHangup?.(() => {
      void reload.now(); // never rejects
      // Something may have moved the file away: logrotate, for example. Never rejects.
      void audit?.reopen();
    });
    await openAdmin({
      edge: config,
      admin: loaded.config.admin,
      source: {
        status: () => running.status(),
        probe: (tunnel, probing) => running.probe(tunnel, probing),
        reload: () => reload.state,
        audit: () => audit?.status(),
      },
      clock,
      log,
      signal,
    });
    if (logConfig.format === "text") printFacts(io, running, loaded);
    if (audit === undefined && loaded.config.tunnels.some(({ mode }) => mode === "aware")) {
      log.warn("Nothing is on record of what clients do on aware tunnels: set audit.file");
    }
    await warnOfNobody(state, loaded, clock, log);
    await testPolicy(parts.policy);
    await aborted(io.signal);
    log.info("Edge is stopping", { drainMs: loaded.config.edge.drainMs });
    state.note(running);
    await running.close();
  } finally {
    clientAuth.close();
    life.abort();
    await audit?.close();
    await state.close();
  }
}

/** Where records go, when the configuration says so; closes the state when it cannot be opened. */
async function openRecords(
  options: Omit<EdgeAuditOptions, "edgeId" | "version">,
  state: EdgeState,
  { place }: LoadedConfig,
): Promise<EdgeAudit | undefined> {
  try {
    const { version } = readProduct();
    return await openEdgeAudit({ ...options, edgeId: hostname(), version });
  } catch (error) {
    await state.close();
    const { file } = options.audit;
    // The file, or its lock; keys are the state directory's.
    if (
      file !== undefined && error instanceof TunnelError && error.message.includes(`"${file}`)
    ) {
      const text = `${place(["audit", "file"])}: ${error.message}`;
      throw new TunnelError(error.code, text, { cause: error });
    }
    throw error;
  }
}

/** Says what is missing before anybody can use the edge. */
async function warnOfNobody(
  { credentials, userTokens }: EdgeState,
  { config }: LoadedConfig,
  clock: Clock,
  log: Logger,
): Promise<void> {
  const now = clock.wallNow();
  const records = await credentials.list();
  if (!records.some(({ revoked, expiresAtMs }) => !revoked && expiresAtMs > now)) {
    log.warn('No rift can connect yet: make a credential with "mcptun token issue --rift"');
  }
  const { clientCa, userHeader, issuers } = config.auth;
  const hasTokens = userTokens.snapshot.records.some((record) => isActiveUserToken(record, now));
  const others = clientCa !== undefined || userHeader !== undefined || issuers.length > 0;
  if (config.tunnels.some(({ auth }) => auth === "edge") && !hasTokens && !others) {
    log.warn(
      'No client can get in yet: make a token with "mcptun token issue --user", or set [auth]',
    );
  }
}

function printFacts(io: Io, edge: Edge, { config }: LoadedConfig): void {
  const { host, port } = edge.tunnelAddress;
  const { audit, policy, tunnels } = config;
  const isAsked = tunnels.some(({ mode }) => mode === "aware");
  io.stdout.write(
    `mcptun edge ${readProduct().version}\n` + columns([
      ["public", edge.url],
      ...(config.edge.hosts.length === 0 ? [] : [["hosts", config.edge.hosts.join(", ")]]),
      ["rifts", `${host}:${port} (UDP)`],
      ...config.tunnels.map((
        { name, protocol, auth, mode },
      ) => [
        "tunnel",
        `${name}  ${protocol}  ${edge.tunnelUrl(name)}  ${
          mode === "aware"
            ? "aware, clients authenticate here"
            : auth === "edge"
            ? "clients authenticate here"
            : "the private server authenticates"
        }`,
      ]),
      ...(policy.file === undefined || !isAsked ? [] : [["policy", policy.file]]),
      ...(audit.file === undefined ? [] : [["audit", audit.file]]),
    ], "  "),
  );
}
