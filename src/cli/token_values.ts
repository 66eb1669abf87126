/** What the `token` commands read and show alike. @module */

import type { Config } from "../config/config.ts";
import { nearest } from "../config/nearest.ts";
import { isWildcard, parseDuration, splitAddress } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import { quotedName } from "../identity/user_name.ts";

const MIN_TTL_MS = 60_000;
const MAX_TTL_MS = 3_650 * 86_400_000;
/** Names compared to find the one that was meant: a second's work at most. */
const MAX_COMPARED = 10_000;

/** A lifetime. @throws {TunnelError} `USAGE` */
export function ttlOf(text: string): number {
  return durationOf("--ttl", text, MIN_TTL_MS);
}

/** A duration from `minMs` to ten years. @throws {TunnelError} `USAGE` */
export function durationOf(flag: string, text: string, minMs: number): number {
  const parsed = parseDuration(text, { minMs, maxMs: MAX_TTL_MS });
  if ("problem" in parsed) throw new TunnelError("USAGE", `${flag}: ${parsed.problem}`);
  return parsed.value;
}

/** The address that goes into credentials. @throws {TunnelError} `CONFIG_INVALID` */
export function dialedAddress({ edge: { tunnelAddress } }: Pick<Config, "edge">): string {
  const { host, port } = splitAddress(tunnelAddress);
  if (!isWildcard(host) && port !== 0) return tunnelAddress;
  throw new TunnelError(
    "CONFIG_INVALID",
    `edge.tunnel_address: missing, and nobody can dial ${JSON.stringify(tunnelAddress)} ` +
      '(set the name and UDP port that rifts dial, such as tunnel_address = "mcp.example.com:4443")',
  );
}

/** A name in a table or a sentence: bare when it is plain, else quoted and escaped. */
export function shownName(name: string): string {
  return /^[A-Za-z0-9][A-Za-z0-9._@+-]*$/.test(name) ? name : quotedName(name);
}

/** `(did you mean "laptop"?)`, or else a command that shows all. */
export function nearestHint(name: string, known: Iterable<string>): string {
  const similar = [...new Set(known)]
    .filter((one) => Math.abs(one.length - name.length) <= 2 + name.length / 3)
    .slice(0, MAX_COMPARED);
  const meant = nearest(name, similar);
  return meant === undefined
    ? '("mcptun token list --all" shows every name)'
    : `(did you mean ${quotedName(meant)}?)`;
}

/** How far `atMs` is from now: `in 12 days`, `3 hours ago`. */
export function distanceOf(atMs: number, nowMs: number): string {
  const minutes = Math.abs(atMs - nowMs) / 60_000;
  const amount = minutes < 1
    ? "less than a minute"
    : minutes < 120
    ? counted(minutes, "minute")
    : minutes < 48 * 60
    ? counted(minutes / 60, "hour")
    : counted(minutes / (24 * 60), "day");
  return atMs > nowMs ? `in ${amount}` : `${amount} ago`;
}

function counted(amount: number, unit: string): string {
  const whole = Math.round(amount);
  return `${whole} ${unit}${whole === 1 ? "" : "s"}`;
}
