/** The headers of a request as its upstream gets them. Pure. @module */

import type { Secret } from "../runtime/secret.ts";
import type { RequestHead } from "../wire/head.ts";

/**
 * Flat pairs without `Host`, which the client of the upstream sets to the upstream's authority,
 * without `Origin`, which names a page the edge has judged already, and with `X-Forwarded-*`.
 *
 * `authorization` is the rift's own credential for the upstream; what a client sent then stays here.
 *
 * The edge has left out what is hop-by-hop; it is left out again here, since the upstream and its
 * framing are the rift's to protect.
 */
export function upstreamHeaders(head: RequestHead, authorization?: Secret): string[] {
  const headers: string[] = [];
  const forwardedFor: string[] = [];
  for (let index = 0; index < head.headers.length; index += 2) {
    const rawName = head.headers[index]!;
    const value = head.headers[index + 1]!;
    switch (rawName.toLowerCase()) {
      case "host":
      case "origin":
      case "connection":
      case "keep-alive":
      case "proxy-connection":
      case "te":
      case "trailer":
      case "transfer-encoding":
      case "upgrade":
      case "expect":
      case "x-forwarded-host":
      case "x-forwarded-proto":
        continue;
      case "authorization":
        if (authorization === undefined) headers.push(rawName, value);
        continue;
      case "x-forwarded-for":
        // From the operator's own proxy: the edge passes on no other.
        forwardedFor.push(value);
        continue;
      default:
        headers.push(rawName, value);
    }
  }
  if (authorization !== undefined) headers.push("Authorization", authorization.reveal());
  headers.push(
    "X-Forwarded-Host",
    head.publicHost,
    "X-Forwarded-Proto",
    head.publicScheme,
    "X-Forwarded-For",
    [...forwardedFor, head.clientAddress].join(", "),
  );
  return headers;
}
