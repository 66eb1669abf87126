/** Tools of the sample server that know the time. @module */

import type { Clock } from "../clock.ts";
import { objectSchema, type Registrar } from "./schema.ts";
import { toolError, valueResult } from "./text_tools.ts";

const ZONE = {
  type: "string",
  maxLength: 64,
  description: 'An IANA time zone, for example "Europe/Berlin"; UTC when absent',
} as const;

/** The tools `now` and `convert_time`. */
export function timeTools(clock: Clock): Registrar {
  const nowSchema = objectSchema<{ zone?: string }>({ zone: ZONE }, []);
  const convertSchema = objectSchema<{ instant: string; zone?: string }>({
    instant: {
      type: "string",
      maxLength: 64,
      description: 'ISO 8601 with an offset, for example "2026-07-28T12:00:00+02:00"',
    },
    zone: ZONE,
  }, ["instant"]);

  return (server) => {
    server.registerTool("now", {
      title: "Now",
      description: "Tells the date and time in a time zone.",
      inputSchema: nowSchema,
      annotations: { readOnlyHint: true },
    }, ({ zone = "UTC" }) => timeResult(clock.wallNow(), zone));

    server.registerTool("convert_time", {
      title: "Convert time",
      description: "Tells what an instant is called in another time zone.",
      inputSchema: convertSchema,
      annotations: { readOnlyHint: true },
    }, ({ instant, zone = "UTC" }) => {
      // Without an offset the answer would depend on where this server runs.
      const isInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/u.test(
        instant,
      );
      const timeMs = isInstant ? Date.parse(instant) : Number.NaN;
      return Number.isNaN(timeMs)
        ? toolError("Cannot convert the instant: it is not ISO 8601 with an offset")
        : timeResult(timeMs, zone);
    });
  };
}

function timeResult(timeMs: number, zone: string) {
  try {
    const local = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      dateStyle: "full",
      timeStyle: "long",
    }).format(timeMs);
    return valueResult({ zone, local, utc: new Date(timeMs).toISOString() });
  } catch {
    // Intl throws a RangeError for a time zone it does not know, and for nothing else here.
    return toolError(`Cannot tell the time: no time zone is called "${zone}"`);
  }
}
