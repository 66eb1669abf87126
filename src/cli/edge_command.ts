/** `mcptun edge`: the public role in the foreground. @module */

import { hostname } from "node:os";

import type { Clock, Timer } from "../clock.ts";
import { systemClock } from "../clock.ts";
import type { LoadedConfig } from "../config/load.ts";
import { type Edge, startEdge } from "../edge/edge.ts";
import { clientAuthentication } from "../identity/client_auth.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { riftAuthority } from "../identity/rift_authority.ts";
import { openTunnelCa } from "../identity/tunnel_ca.ts";
import { RENEWAL_CHECK_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import { quicTransport } from "../transport/quic/quic_transport.ts";
import { ConfigReload } from "./config_reload.ts";
import { edgeUpdateOf, filesOf, needRestart } from "./edge_setup.ts";
import { aborted, type Io } from "./io.ts";
import { givenFlags, loadFor } from "./key_option.ts";
import { readProduct } from "./product.ts";
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
  const started = load();
  let loaded = started;
  const { edge: config, log: logConfig } = loaded.config;
  const log = pinoLogger({ ...logConfig, destination: io.stderr });
  const clock = systemClock;
  const { stateDir } = config;
  let edge: Edge | undefined;
  const clientAuth = clientAuthentication({
    auth: loaded.config.auth,
    userTokens: { check: () => undefined, isActive: () => false },
    resourceOf: (tunnel) => edge!.tunnelUrl(tunnel), // what throws before that is no answer
    clock,
    log,
  });
  const updateOf = (from: LoadedConfig) => edgeUpdateOf(from, clientAuth);
  const update = updateOf(loaded);
  const ca = await openTunnelCa({ stateDir, clock, log });
  const store = await CredentialStore.open({ stateDir });
  const life = new AbortController();
  try {
    edge = await startEdge({
      ...update,
      transport: quicTransport(),
      tls: await ca.serverMaterial(),
      rifts: riftAuthority({ ca, store, clock }),
      clock,
      log,
      signal: life.signal,
      edgeId: hostname(),
    });
    const running = edge;
    const reload = new ConfigReload({
      reload: () => {
        const changed = load();
        running.update(updateOf(changed));
        clientAuth.update(changed.config.auth);
        const restart = needRestart(started, changed);
        if (restart.length > 0) {
          log.warn("Changed, but read at start only: restart the edge", {
            keys: restart.join(" "),
          });
        }
        loaded = changed;
      },
      files: () => filesOf(loaded),
      clock,
      log,
      signal: life.signal,
    });
    io.onHangup?.(reload.now);
    if (logConfig.format === "text") printFacts(io, running, loaded);
    const records = await store.list();
    if (!records.some(({ revoked, expiresAtMs }) => !revoked && expiresAtMs > clock.wallNow())) {
      log.warn('No rift can connect yet: make a credential with "mcptun token issue"');
    }
    // Issued, revoked, rotated: in force within half a second.
    store.watch({ clock, signal: life.signal, onChange: () => running.recheckRifts() });
    const renewal = new Renewal(
      clock,
      log,
      async () => running.useTunnelTls(await ca.serverMaterial()),
    );
    await aborted(io.signal);
    renewal.stop();
    log.info("Edge is stopping", { drainMs: loaded.config.edge.drainMs });
    await running.close();
  } finally {
    life.abort();
    clientAuth.close();
  }
}

function printFacts(io: Io, edge: Edge, { config }: LoadedConfig): void {
  const { host, port } = edge.tunnelAddress;
  io.stdout.write(
    `mcptun edge ${readProduct().version}\n` + columns([
      ["public", edge.url],
      ...(config.edge.hosts.length === 0 ? [] : [["hosts", config.edge.hosts.join(", ")]]),
      ["rifts", `${host}:${port} (UDP)`],
      ...config.tunnels.map((
        { name, protocol, auth },
      ) => [
        "tunnel",
        `${name}  ${protocol}  ${edge.tunnelUrl(name)}  ${
          auth === "edge" ? "clients authenticate here" : "the private server authenticates"
        }`,
      ]),
    ], "  "),
  );
}

/** Looks now and then whether the tunnel certificate was renewed: it ends before the edge may. */
class Renewal {
  #timer: Timer;

  constructor(clock: Clock, log: Logger, renew: () => Promise<void>) {
    const look = (): void => {
      renew().catch((error: unknown) => {
        log.error("Cannot renew the tunnel certificate", { error: String(error) });
      });
      this.#timer = clock.setTimer(RENEWAL_CHECK_MS, look, "no");
    };
    this.#timer = clock.setTimer(RENEWAL_CHECK_MS, look, "no");
  }

  stop(): void {
    this.#timer.cancel();
  }
}
