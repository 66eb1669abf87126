/** Starts the operator's listener of an edge as its configuration says. @module */

import { type AdminListener, startAdmin } from "../admin/admin_listener.ts";
import type { AdminSource } from "../admin/admin_source.ts";
import { adminToken } from "../admin/admin_token.ts";
import type { Clock } from "../clock.ts";
import type { AdminConfig, EdgeConfig } from "../config/config.ts";
import { splitAddress } from "../config/value.ts";
import type { Logger } from "../log.ts";
import { adminSocket } from "./admin_client.ts";
import { readProduct } from "./product.ts";

/** What is needed of a command that runs an edge. */
export interface OpenAdminOptions {
  readonly edge: Pick<EdgeConfig, "stateDir">;
  readonly admin: AdminConfig;
  readonly source: AdminSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Closes it. */
  readonly signal: AbortSignal;
}

/**
 * The socket in the state directory always, the loopback port and its token when configured.
 *
 * @throws {TunnelError} `ADDRESS_IN_USE`, `STATE_UNUSABLE`, `CONFIG_INVALID`.
 */
export async function openAdmin(options: OpenAdminOptions): Promise<AdminListener> {
  const { edge, admin, source, clock, log, signal } = options;
  const { stateDir } = edge;
  return await startAdmin({
    socketPath: adminSocket(stateDir),
    ...(admin.listen === undefined
      ? {}
      : { listen: splitAddress(admin.listen), token: await adminToken({ stateDir }) }),
    source,
    version: readProduct().version,
    clock,
    log,
    signal,
  });
}
