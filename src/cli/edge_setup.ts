/** From a configuration to what an edge is started and updated with. @module */

import type { LoadedConfig } from "../config/load.ts";
import type { EdgeUpdate } from "../edge/edge.ts";
import { TunnelError } from "../errors.ts";
import type { SliceOptions } from "../runtime/slices.ts";
import { policyDecider, type TestedDecider } from "./policy_setup.ts";
import { readPublicTls } from "./public_tls.ts";

/**
 * The parts of an edge that a configuration decides and that may change while it runs. Exchanges go
 * on while they are made.
 *
 * @throws {TunnelError} `CONFIG_INVALID` when there is nothing to serve, or a certificate is bad;
 *   the reason of the signal, when it aborts.
 */
export async function edgePartsOf(
  loaded: LoadedConfig,
  slices: SliceOptions,
): Promise<
  Omit<EdgeUpdate, "clientAuth" | "policy"> & { readonly policy: TestedDecider | undefined }
> {
  const { edge, tunnels, auth } = loaded.config;
  if (tunnels.length === 0) {
    throw new TunnelError(
      "CONFIG_INVALID",
      loaded.file === undefined
        ? 'No tunnel to serve: there is no mcptun.toml here (write one with "mcptun init", or name one with --config)'
        : `No tunnel to serve: ${loaded.file} declares none (add a [[tunnel]] table with a name)`,
    );
  }
  return {
    config: edge,
    tunnels,
    policy: await policyDecider(loaded, slices),
    proxyHeaders: auth.userHeader === undefined
      ? undefined
      : { user: auth.userHeader, groups: auth.groupsHeader },
    publicTls: readPublicTls(loaded),
  };
}

/** The files that a configuration was made from, besides those in the state directory. */
export function filesOf({ file, config }: LoadedConfig): string[] {
  const { tlsCert, tlsKey } = config.edge;
  return [file, tlsCert, tlsKey, config.auth.clientCa, config.policy.file].filter((path) =>
    path !== undefined
  );
}

/** Keys that are read at start only and differ between two configurations. */
export function needRestart(running: LoadedConfig, changed: LoadedConfig): string[] {
  const [a, b] = [running.config, changed.config];
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ["edge.listen", a.edge.listen, b.edge.listen],
    ["edge.tunnel_listen", a.edge.tunnelListen, b.edge.tunnelListen],
    ["edge.state_dir", a.edge.stateDir, b.edge.stateDir],
    ["audit", JSON.stringify(a.audit), JSON.stringify(b.audit)],
    ["admin.listen", a.admin.listen, b.admin.listen],
    ["log.level", a.log.level, b.log.level],
    ["log.format", a.log.format, b.log.format],
  ];
  return pairs.flatMap(([key, before, after]) => before === after ? [] : [key]);
}
