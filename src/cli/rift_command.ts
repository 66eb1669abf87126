/** `mcptun rift`: the private role in the foreground. @module */

import { resolve } from "node:path";

import { systemClock } from "../clock.ts";
import type { ExposeConfig } from "../config/config.ts";
import { shownUrl, splitAddress } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import type { Credential } from "../identity/credential.ts";
import { SERVER_NAME } from "../identity/tunnel_ca.ts";
import { CONFIG_POLL_MS } from "../limits.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import { startRift } from "../rift/rift.ts";
import { stampFiles, watchFiles } from "../runtime/file_watch.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import { quicTransport } from "../transport/quic/quic_transport.ts";
import { credentialKeeper } from "./credential_keeper.ts";
import { credentialFile, readCredential } from "./credential_source.ts";
import { aborted, type Io } from "./io.ts";
import { givenFlags, loadFor } from "./key_option.ts";
import { readProduct } from "./product.ts";
import { columns, timeOf, warn } from "./report.ts";
import { readUpstreamAuthorization } from "./upstream_authorization.ts";

/** What `rift` is told. */
export interface RiftCommandOptions {
  readonly config?: string | undefined;
  readonly protocol?: string | undefined;
  readonly tokenFile?: string | undefined;
  /** `tunnel=url`, each. */
  readonly expose?: readonly string[] | undefined;
  readonly edgeAddress?: string | undefined;
  readonly logLevel?: string | undefined;
  readonly logFormat?: string | undefined;
}

/** Serves until `io.signal` or until the edge refuses for good. @throws {TunnelError} */
export async function runRift(io: Io, options: RiftCommandOptions): Promise<void> {
  const loaded = loadFor(
    io,
    options.config,
    givenFlags([
      ["rift.protocol", "--protocol", options.protocol],
      ["rift.expose", "--expose", options.expose?.map(parseExpose)],
      ["rift.edge_address", "--edge-address", options.edgeAddress],
      ["log.level", "--log-level", options.logLevel],
      ["log.format", "--log-format", options.logFormat],
    ]),
  );
  const { rift: config, log: logConfig } = loaded.config;
  if (config.exposes.length === 0) {
    throw new TunnelError(
      "CONFIG_INVALID",
      "Nothing to expose: add --expose TUNNEL=URL, such as " +
        "--expose code-server=http://127.0.0.1:9090/mcp, or a [[rift.expose]] table",
    );
  }
  const places = {
    flag: options.tokenFile === undefined || options.tokenFile === "-"
      ? options.tokenFile
      : resolve(io.cwd, options.tokenFile),
    configured: config.tokenFile,
  };
  const file = credentialFile(io, places);
  const watched = file === undefined ? [] : [file];
  const stamps = stampFiles(watched); // before it is read
  const credential = await readCredential(io, places);
  requireCovered(io, credential, config.exposes);

  const address = config.edgeAddress ?? credential.address;
  if (logConfig.format === "text") {
    io.stdout.write(
      `mcptun rift ${readProduct().version}\n` + columns([
        ["edge", `${address} (UDP)`],
        ["as", `${credential.name}, until ${timeOf(credential.expiresAtMs)}`],
        ...config.exposes.map((
          { tunnel, upstream, protocol },
        ) => ["tunnel", `${tunnel}  ${protocol}  ${shownUrl(upstream)}`]),
      ], "  "),
    );
  }
  const log = pinoLogger({ ...logConfig, destination: io.stderr });
  const keeper = credentialKeeper({ credential, file, log });
  const life = new AbortController();
  try {
    const rift = startRift({
      transport: quicTransport(),
      address: splitAddress(address),
      serverName: SERVER_NAME,
      tls: credential.material,
      exposes: config.exposes.map(({ authorizationFile, ...expose }, index) => ({
        ...expose,
        authorization: authorizationFile === undefined ? undefined : readUpstreamAuthorization(
          io,
          authorizationFile,
          loaded.place(["rift", "expose", index, "authorization_file"]),
        ),
      })),
      clock: systemClock,
      log,
      signal: life.signal,
      software: `mcptun/${readProduct().version}`,
      upstreamConnectTimeoutMs: config.upstreamConnectTimeoutMs,
      upstreamHeaderTimeoutMs: config.upstreamHeaderTimeoutMs,
      drainMs: config.drainMs,
      onRenewed: keeper.keep,
      freshCredential: keeper.fresh,
    });
    watchFiles({
      paths: watched,
      since: stamps,
      everyMs: CONFIG_POLL_MS,
      clock: systemClock,
      signal: life.signal,
      onChange: () => rift.refresh(),
    });
    const end = await Promise.race([rift.closed, aborted(io.signal)]);
    if (end === undefined) {
      log.info("Rift is stopping", { drainMs: config.drainMs });
      await rift.close();
    } else if (end.reason === "fatal") {
      throw end.error ?? new TunnelError("CONNECTION_LOST", "The rift ended without a reason");
    }
  } finally {
    life.abort();
  }
}

/** `code-server=http://127.0.0.1:9090/mcp` as the table it stands for. @throws {TunnelError} `USAGE` */
export function parseExpose(text: string): { tunnel: string; upstream: string } {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1 || text.slice(0, at).includes("/")) {
    throw new TunnelError(
      "USAGE",
      // Not repeated: the URL in it may hold a password.
      "--expose: not TUNNEL=URL (such as code-server=http://127.0.0.1:9090/mcp)",
    );
  }
  return { tunnel: text.slice(0, at), upstream: text.slice(at + 1) };
}

/** The edge would refuse the same; said here, it is said before anything is dialed. */
function requireCovered(io: Io, credential: Credential, exposes: readonly ExposeConfig[]): void {
  const mayClaim = compileNameGlob(credential.tunnels);
  const refused = exposes.filter(({ tunnel }) => !mayClaim(tunnel)).map(({ tunnel }) => tunnel);
  if (refused.length === 0) return;
  const text = `the credential covers ${credential.tunnels.join(", ")}, not ${refused.join(", ")}`;
  if (refused.length < exposes.length) return warn(io, text);
  throw new TunnelError(
    "CREDENTIAL_INVALID",
    `Nothing to expose: ${text} (issue one with --tunnels ${refused.join(",")})`,
  );
}
