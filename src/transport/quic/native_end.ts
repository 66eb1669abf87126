/** What the native object says of an end: of a connection, or of a stream. @module */

import type { ConnectionEnd } from "../transport.ts";
import type { NativeConnection } from "./native.ts";
import { nameOfTransportError } from "./native.ts";

/** Longest reason text of a close, bytes. */
export const REASON_BYTES = 100;

/** Why a connection ended that the native object calls draining or closed. */
export function endOf(native: NativeConnection, established: boolean): ConnectionEnd {
  const peer = native.peerError();
  if (peer !== null) {
    if (peer.isApp) {
      return { kind: "peer", code: peer.errorCode, reason: printable(peer.reason) };
    }
    const reason = `refused by the peer: ${nameOfTransportError(peer.errorCode)}`;
    return { kind: "transport_error", code: peer.errorCode, reason };
  }
  const local = native.localError();
  if (local !== null) {
    const reason = nameOfTransportError(local.errorCode);
    return { kind: "transport_error", code: local.errorCode, reason };
  }
  if (native.isTimedOut()) {
    const kind = established ? "idle_timeout" : "handshake_timeout";
    return { kind, code: 0, reason: "nothing was heard from the peer" };
  }
  return { kind: "transport_error", code: 0, reason: "the connection ended" };
}

/** The number in a native error such as `StreamReset(7)`; 0 when there is none. */
export function codeIn(error: unknown, name: string): number {
  const match = new RegExp(`${name}\\((\\d+)\\)`).exec((error as Error).message);
  return match === null ? 0 : Number(match[1]);
}

/** Text from a peer, bounded and without control characters. */
function printable(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes.subarray(0, REASON_BYTES));
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}
