/** What a refusal means and how to mend it: mcptun's own codes, then what proxies and servers say. @module */

import type { ErrorCode } from "../errors.ts";
import { fail, type Finding, plain, shown } from "./finding.ts";
import { headerOf, type HttpAnswer, mediaTypeOf } from "./http_client.ts";
import type { Reading } from "./mcp_client.ts";

/** The finding for a reading that is no result and not about tokens. */
export function refusalFinding(reading: Exclude<Reading, { kind: "result" }>): Finding {
  switch (reading.kind) {
    case "failed":
      return fail(reading.problem, reading.hint);
    case "redirect":
      return fail(
        `${reading.answer.status}: redirected to ${shown(reading.location)} (not followed)`,
        "MCP clients do not repeat a POST elsewhere: give them the final URL, or stop the redirect",
      );
    case "error":
      return reading.code === undefined
        ? serverError(reading.answer.status, reading.error)
        : codeFinding(
          reading.code,
          `${reading.answer.status} ${reading.code}`,
          reading.error.message,
        );
    case "unauthorized":
      return fail("401: a token is wanted", "give one with --token-file FILE or MCPTUN_USER_TOKEN");
    case "forbidden":
      return fail("403: refused", "the log of the server says why");
    case "accepted":
      return fail(
        `${reading.answer.status}: accepted, but not answered`,
        "what answers there takes requests for notifications: is it an MCP server?",
      );
    case "not_mcp":
      return notMcp(reading.answer);
  }
}

/** The finding for an error code of mcptun. */
function codeFinding(code: string, head: string, message: string): Finding {
  return fail(`${head}: ${plain(message)}`, hintOfCode(code));
}

/** How to mend an error of mcptun; a code of a newer version leads to the document. */
export function hintOfCode(code: string): string {
  const hints: Readonly<Record<string, string>> = HINT_OF_CODE;
  return Object.hasOwn(hints, code)
    ? hints[code]!
    : `docs/errors.md says what ${plain(code, 40)} means`;
}

/** What a body that is not MCP is, in a few words: its type, who sends it, how it begins. */
export function describeBody(answer: HttpAnswer): string {
  const type = mediaTypeOf(answer);
  const server = headerOf(answer, "server");
  const title = /<title[^>]*>([^<]{1,200})/i.exec(answer.body)?.[1]?.trim();
  const start = title ?? answer.body.trim().slice(0, 80).replace(/\s+/g, " ");
  return [
    type === "" ? "no content type" : plain(type, 60),
    ...(server === undefined ? [] : [`from ${plain(server, 60)}`]),
    ...(start === "" ? ["empty"] : [shown(start, 80)]),
  ].join(", ");
}

function serverError(status: number, error: { readonly code: number; readonly message: string }) {
  const seen = `${status}: the server answers with error ${error.code} ${shown(error.message)}`;
  if (/invalid host|host.*not allowed/i.test(error.message)) {
    return fail(
      seen,
      "the server does not serve this Host name: add it to what it allows; a rift sends the upstream's own",
    );
  }
  // The edge answers as a server does that has no such method, so that nobody learns what there is.
  if (error.code === NO_METHOD) {
    return fail(
      seen,
      "an aware tunnel answers so to users whom its policy does not allow this: on the edge, " +
        '"mcptun policy explain FILE --user NAME --tunnel NAME --method server/discover --config mcptun.toml" ' +
        "says why; else the server does not know the method: look into its log",
    );
  }
  return fail(seen, "an MCP server is there, but does not accept this request: look into its log");
}

/** JSON-RPC 2.0, 5.1. */
export const NO_METHOD = -32_601;

function notMcp(answer: HttpAnswer): Finding {
  const { status } = answer;
  const seen = `${status}, not MCP: ${describeBody(answer)}`;
  if (answer.cut) {
    return fail(`${seen} (longer than is read)`, "check the URL: this is no MCP endpoint");
  }
  switch (status) {
    case 404:
      return fail(
        seen,
        "check the path: for mcptun it is /<tunnel>/mcp, without a slash at the end",
      );
    case 405:
    case 501:
      return fail(seen, "this path takes no POST, so it is no MCP endpoint: check the path");
    case 403:
      return fail(seen, "a proxy, a firewall or the server refuses: its log says why");
    case 413:
    case 414:
    case 431:
      return fail(seen, "something on the way allows only smaller requests: raise its limit");
    case 421:
      return fail(seen, "what answers does not serve this Host name: check where DNS leads");
    case 429:
      return fail(seen, "too many requests from this address: wait, then run it again");
    case 502:
    case 503:
    case 504:
      return fail(
        seen,
        "a proxy answers in place of the edge: is the edge up, and its address right there?",
      );
    default:
      return fail(
        seen,
        status >= 500
          ? "the server, or a proxy in front of it, fails: look into its log"
          : "another program answers: check host, port and path of the URL",
      );
  }
}

const HINT_OF_CODE = {
  HOST_REFUSED:
    "add the host of this URL to edge.hosts, or to the tunnel's host, and restart the edge",
  NO_ROUTE:
    "check the path: /<tunnel>/mcp exactly, without a slash at the end, or the tunnel's own path",
  METHOD_REFUSED: "this path of the edge takes no POST: check the path",
  ORIGIN_REFUSED: "add the origin to the tunnel's origins; only browsers send one",
  TUNNEL_OFFLINE:
    "no rift serves this tunnel: is it running, and has its private server answered? " +
    'On its host: "mcptun doctor --rift"; on the edge: "mcptun status"',
  UPSTREAM_UNREACHABLE:
    'the rift cannot reach the private server: is it running? On its host: "mcptun doctor --rift"',
  UPSTREAM_FAILED: "the private server broke off its answer: look into its log and the rift's",
  STREAM_LIMIT: "too many exchanges at once on this rift: wait, or start another for other tunnels",
  TOO_MANY_CONNECTIONS: "the edge is full: wait, or raise edge.max_connections",
  TOO_MANY_FROM_ADDRESS:
    "too many connections from this address: wait, or raise edge.max_connections_per_address",
  TOO_MANY_STREAMS: "too many event streams on this tunnel: wait, or raise edge.max_event_streams",
  TOO_MANY_FAILURES:
    "too many failed attempts from this address: wait, and look for what repeats them",
  AUTH_UNAVAILABLE:
    "the edge cannot check tokens now: its log says why; can it reach the issuer's keys (jwks_uri)?",
  AUDIT_UNAVAILABLE:
    "the edge cannot write its audit trail: its log says why; is the disk full, or the file another user's?",
  UNAUTHENTICATED: "give a token of this tunnel with --token-file FILE or MCPTUN_USER_TOKEN",
  INSUFFICIENT_SCOPE: "get a token with the scope that is named, or change the issuer's scopes",
  BAD_REQUEST: "something on the way changes requests: compare with the URL of the edge itself",
  REQUEST_TIMEOUT: "the request took too long to arrive: look for a slow proxy on the way",
  BODY_TOO_LARGE: "raise edge.max_body_bytes",
  HEADERS_TOO_LARGE: "send fewer or shorter headers, or raise edge.max_header_bytes",
  INTERNAL: "the edge has a defect: its log has the details",
} as const satisfies Partial<Record<ErrorCode, string>>;
