/** Why an edge cannot listen where its configuration says, with the key to change. @module */

import { TunnelError } from "../errors.ts";

/** The same error, or one in words with the key, where the system's own text would be shown. */
export function withListenProblem(error: unknown): unknown {
  if (!(error instanceof TunnelError) || error.code !== "CONFIG_INVALID") return error;
  const reason = REASONS.get((error.cause as NodeJS.ErrnoException | undefined)?.code ?? "");
  const [, place, udp] = /^(Cannot listen on (UDP )?\S+): /.exec(error.message) ?? [];
  if (reason === undefined || place === undefined) return error;
  const key = udp === undefined ? "edge.listen, --listen" : "edge.tunnel_listen, --tunnel-listen";
  return new TunnelError(error.code, `${place}: ${reason} (${key})`, { cause: error.cause });
}

const NO_ADDRESS = "this host has no such address; name one that it has, or 0.0.0.0 for all";
const REASONS: ReadonlyMap<string, string> = new Map([
  ["EADDRNOTAVAIL", NO_ADDRESS],
  ["EINVAL", NO_ADDRESS], // what Deno says
  ["EACCES", "this user may not use this port; name one above 1023, or give the right to"],
]);
