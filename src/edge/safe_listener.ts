/** Where the public listener may be, at the start and when settings change. @module */

import { isLoopback } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import { parseListen } from "./authority.ts";
import type { EdgeOptions } from "./edge_options.ts";

/** What makes a listener safe. */
export type ListenerSettings = Pick<EdgeOptions, "publicTls"> & {
  readonly config: Pick<EdgeOptions["config"], "listen" | "behindProxy">;
};

/** @throws {TunnelError} `CONFIG_INVALID` when tokens would travel in the clear. */
export function requireSafeListener({ config, publicTls }: ListenerSettings): void {
  const { host } = parseListen(config.listen);
  if (publicTls !== undefined || isLoopback(host) || config.behindProxy) return;
  throw new TunnelError(
    "CONFIG_INVALID",
    `Cannot serve plain HTTP on "${config.listen}": set tls_cert and tls_key, ` +
      "listen on a loopback address, or set behind_proxy = true",
  );
}

/**
 * May a running edge take these settings? What its listener is made with cannot change.
 *
 * @throws {TunnelError} `CONFIG_INVALID`.
 */
export function requireSameListener(atStart: ListenerSettings, update: ListenerSettings): void {
  requireSafeListener(update);
  // The listener stays where it was bound at the start, whatever the file says now.
  const { listen } = atStart.config;
  requireSafeListener({ ...update, config: { ...update.config, listen } });
  const problem = (atStart.publicTls === undefined) !== (update.publicTls === undefined)
    ? "TLS of the public listener cannot be switched on or off"
    : (atStart.publicTls?.clientCaPem === undefined) !==
        (update.publicTls?.clientCaPem === undefined)
    ? "client certificates cannot be switched on or off"
    : undefined;
  if (problem === undefined) return;
  throw new TunnelError("CONFIG_INVALID", `Cannot change while running: ${problem}; restart it`);
}
