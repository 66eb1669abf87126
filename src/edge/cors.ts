/**
 * Cross-origin answers for the web pages that a tunnel lists in `origins` (Fetch standard, "CORS
 * protocol"). Off for everyone else: the front door has refused their `Origin` by then.
 *
 * @module
 */

import type { TunnelSettings } from "./edge_options.ts";
import { METHODS } from "./front_door.ts";

/** The headers of every answer to a page of this origin. */
export function corsHeaders(origin: string): string[] {
  return [
    "Access-Control-Allow-Origin",
    origin,
    "Access-Control-Expose-Headers",
    EXPOSED,
    "Vary",
    "Origin",
  ];
}

/** The answer to a preflight: 204 and these. */
export function preflightHeaders(
  settings: TunnelSettings,
  origin: string,
  requestedHeaders: string | undefined,
): string[] {
  const headers = [
    ...corsHeaders(origin),
    "Access-Control-Allow-Methods",
    [...METHODS[settings.protocol]].join(", "),
    "Access-Control-Max-Age",
    MAX_AGE_S,
    "Content-Length",
    "0",
  ];
  const allowed = (requestedHeaders ?? "").split(",").map((name) => name.trim()).filter((name) =>
    HEADER_NAME.test(name) && (settings.protocol === "http" || MCP_HEADERS.test(name))
  );
  if (allowed.length > 0) headers.push("Access-Control-Allow-Headers", allowed.join(", "));
  return headers;
}

/** What an MCP client in a page must be able to read. */
const EXPOSED = "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After";
/** What such a client sends (MCP 2026-07-28, transports; the legacy session and resume headers). */
const MCP_HEADERS =
  /^(?:authorization|content-type|accept|mcp-protocol-version|mcp-method|mcp-name|mcp-param-[\w-]{1,64}|mcp-session-id|last-event-id)$/i;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
/** Ten minutes: a changed list of origins is soon in force everywhere. */
const MAX_AGE_S = "600";
