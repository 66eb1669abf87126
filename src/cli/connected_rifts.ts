/** Which credentials are in use now, as a running edge says. @module */

import type { EdgeConfig } from "../config/config.ts";
import { askAdmin } from "./admin_client.ts";
import type { Io } from "./io.ts";
import { warn } from "./report.ts";

/** Serial numbers of the credentials that rifts are connected with; `undefined`: it cannot be told. */
export async function connectedRifts(
  io: Io,
  edge: Pick<EdgeConfig, "stateDir">,
): Promise<ReadonlySet<string> | undefined> {
  let status: unknown;
  try {
    status = await askAdmin(edge, "/status");
  } catch (error) {
    warn(io, `who is connected is not known: ${error instanceof Error ? error.message : "?"}`);
    return undefined;
  }
  if (status === undefined) return undefined; // no edge runs
  const serials = connectedSerials(status);
  if (serials === undefined) {
    warn(
      io,
      "who is connected is not known: the running edge answers in another way " +
        "(run the same version of mcptun)",
    );
  }
  return serials;
}

/** The serial numbers in what should be an `EdgeStatus`; `undefined` when it is something else. */
export function connectedSerials(status: unknown): ReadonlySet<string> | undefined {
  const tunnels = listIn(status, "tunnels");
  if (tunnels === undefined) return undefined;
  const serials = new Set<string>();
  // An edge that lists no rifts of its own is older: it tells only those that serve a tunnel.
  const all = listIn(status, "rifts") === undefined ? tunnels : [status, ...tunnels];
  for (const holder of all) {
    const rifts = listIn(holder, "rifts");
    if (rifts === undefined) return undefined;
    for (const rift of rifts) {
      if (typeof rift !== "object" || rift === null) return undefined;
      const { serial } = rift as { readonly serial?: unknown };
      if (typeof serial !== "string") return undefined;
      serials.add(serial);
    }
  }
  return serials;
}

function listIn(value: unknown, key: string): readonly unknown[] | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  const list: unknown = (value as Readonly<Record<string, unknown>>)[key];
  return Array.isArray(list) ? list : undefined;
}
