/** `mcptun edge`: the public role in the foreground. @module */

import { hostname } from "node:os";

import type { Clock, Timer } from "../clock.ts";
import { systemClock } from "../clock.ts";
import { startEdge } from "../edge/edge.ts";
import { TunnelError } from "../errors.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { riftAuthority } from "../identity/rift_authority.ts";
import { openTunnelCa } from "../identity/tunnel_ca.ts";
import { RENEWAL_CHECK_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import { quicTransport } from "../transport/quic/quic_transport.ts";
import { aborted, type Io } from "./io.ts";
import { givenFlags, loadFor } from "./key_option.ts";
import { readProduct } from "./product.ts";
import { readPublicTls } from "./public_tls.ts";
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
  const loaded = loadFor(
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
  const { edge: config, tunnels, log: logConfig } = loaded.config;
  if (tunnels.length === 0) {
    throw new TunnelError(
      "CONFIG_INVALID",
      loaded.file === undefined
        ? 'No tunnel to serve: there is no mcptun.toml here (write one with "mcptun init", or name one with --config)'
        : `No tunnel to serve: ${loaded.file} declares none (add a [[tunnel]] table with a name)`,
    );
  }
  const aware = tunnels.findIndex(({ mode }) => mode === "aware");
  if (aware !== -1) {
    // Without anyone who judges, the tunnel would carry everything.
    throw new TunnelError(
      "CONFIG_INVALID",
      `${loaded.place(["tunnel", aware, "mode"])}: this edge does not judge messages yet ` +
        '(set mode = "transparent" and remove its rules, or remove the tunnel)',
    );
  }
  const log = pinoLogger({ ...logConfig, destination: io.stderr });
  const clock = systemClock;
  const publicTls = readPublicTls(loaded);
  const ca = await openTunnelCa({ stateDir: config.stateDir, clock, log });
  const store = await CredentialStore.open({ stateDir: config.stateDir });
  const life = new AbortController();
  try {
    const edge = await startEdge({
      config,
      tunnels,
      transport: quicTransport(),
      tls: await ca.serverMaterial(),
      rifts: riftAuthority({ ca, store, clock }),
      publicTls,
      clock,
      log,
      signal: life.signal,
      edgeId: hostname(),
    });
    if (logConfig.format === "text") {
      const { host, port } = edge.tunnelAddress;
      io.stdout.write(
        `mcptun edge ${readProduct().version}\n` + columns([
          ["public", edge.url],
          ...(config.hosts.length === 0 ? [] : [["hosts", config.hosts.join(", ")]]),
          ["rifts", `${host}:${port} (UDP)`],
          ...tunnels.map((
            { name, protocol },
          ) => ["tunnel", `${name}  ${protocol}  ${edge.tunnelUrl(name)}`]),
        ], "  "),
      );
    }
    const records = await store.list();
    if (!records.some(({ revoked, expiresAtMs }) => !revoked && expiresAtMs > clock.wallNow())) {
      log.warn('No rift can connect yet: make a credential with "mcptun token issue"');
    }
    const renewal = new Renewal(
      clock,
      log,
      async () => edge.useTunnelTls(await ca.serverMaterial()),
    );
    await aborted(io.signal);
    renewal.stop();
    log.info("Edge is stopping", { drainMs: config.drainMs });
    await edge.close();
  } finally {
    life.abort();
  }
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
