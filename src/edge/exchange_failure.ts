/** What failures of an exchange are called: to the client, and in counts. @module */

import { TunnelError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import type { Outcome } from "./served_tunnel.ts";

/** Why no stream could be opened. */
export function openFailure(error: unknown): ErrorCode {
  if (!(error instanceof TunnelError)) return "INTERNAL";
  return error.code === "CONNECTION_CLOSED" ? "TUNNEL_OFFLINE" : error.code;
}

/** A rift may say only what it can know: it must not make the edge ask for tokens, for example. */
export function riftError(code: ErrorCode): ErrorCode {
  switch (code) {
    case "UPSTREAM_UNREACHABLE":
    case "BAD_REQUEST":
    case "STREAM_LIMIT":
    case "TUNNEL_OFFLINE":
      return code;
    default:
      return "UPSTREAM_FAILED";
  }
}

/** A lost connection and an abort by the rift are failures of what is behind the edge. */
export function answerable(code: ErrorCode): ErrorCode {
  switch (code) {
    case "CONNECTION_LOST":
    case "CONNECTION_CLOSED":
    case "ABORTED":
    case "PROTOCOL_ERROR":
    case "REPLACED":
      return "UPSTREAM_FAILED";
    default:
      return code;
  }
}

/** The code as an outcome. */
export function lowerCase(code: ErrorCode): Outcome {
  return code.toLowerCase() as Lowercase<ErrorCode>;
}
