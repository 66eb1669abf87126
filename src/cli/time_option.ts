/** Moments as people type them: `1h` ago, or a date and time in UTC. @module */

import { parseDuration } from "../config/value.ts";
import { TunnelError } from "../errors.ts";

/**
 * Reads `1h` or `30d` as so long ago, or `2026-11-23`, `2026-11-23T10:00`, `2026-11-23 10:00:00.5`,
 * in UTC unless it ends in a zone such as `+01:00`.
 *
 * @returns ms since 1970, or `undefined` when it is neither.
 */
export function readMoment(text: string, nowMs: number): number | undefined {
  const ago = parseDuration(text, { minMs: 0, maxMs: MAX_AGO_MS });
  if ("value" in ago) return nowMs - ago.value;
  const match = MOMENT.exec(text);
  if (match === null) return undefined;
  const [, date = "", time = "00:00", second = "00", fraction = "", zone = "Z"] = match;
  const iso = `${date}T${time}:${second}.${fraction.padEnd(3, "0").slice(0, 3)}${zone}`;
  const ms = Date.parse(iso);
  // The 31st of a shorter month is read as the 1st of the next one.
  const day = Date.parse(`${date}T00:00:00Z`);
  if (Number.isNaN(ms) || Number.isNaN(day)) return undefined;
  return new Date(day).toISOString().startsWith(date) ? ms : undefined;
}

/** The same for a flag. @throws {TunnelError} `USAGE` */
export function momentOption(flag: string, text: string, nowMs: number): number {
  const ms = readMoment(text, nowMs);
  if (ms !== undefined) return ms;
  throw new TunnelError(
    "USAGE",
    `${flag}: ${
      JSON.stringify(text)
    } is no time (write how long ago, such as 1h or 7d, or a time ` +
      "in UTC, such as 2026-11-23T10:00)",
  );
}

const MAX_AGO_MS = 36_500 * 86_400_000;
const MOMENT =
  /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?)?$/;
