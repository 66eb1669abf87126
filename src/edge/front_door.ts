/**
 * What is checked before anything of a request is forwarded (docs/architecture.md, "Front door").
 *
 * Pure: the head of a request in, a verdict out. Who the client is comes after it
 * (`client_gate.ts`).
 *
 * @module
 */

import type { ErrorCode } from "../errors.ts";
import type { EdgeOptions, EdgeSettings, TunnelSettings } from "./edge_options.ts";
import { type HeaderRules, readRequestHeaders, type RequestHeaders } from "./request_headers.ts";
import type { Route, Router } from "./router.ts";

/** The head of a request, as node gives it, and what is known of its sender's address. */
export interface IncomingHead {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
  /** Is the peer a proxy of the operator? One that is listed may also name a user. */
  readonly peer: "stranger" | "proxy" | "listed_proxy";
}

/** A request that goes on to its tunnel, if its sender may use it. */
export interface Admitted<T> {
  readonly kind: "admitted";
  readonly tunnel: T;
  readonly what: "endpoint" | "well_known";
  readonly target: string;
  readonly headers: RequestHeaders;
  /** Does a body follow, and how is it framed? */
  readonly body: "none" | "sized" | "chunked";
  /** Does the client wait for a 100 before it sends the body? */
  readonly waits: "no" | "for_continue";
}

/** A page asks whether it may ask; answered here, before anyone shows who they are. */
export interface Preflight<T> {
  readonly kind: "preflight";
  readonly tunnel: T;
  readonly origin: string;
  readonly requestedHeaders: string | undefined;
}

/** A question about the tunnel itself: its protected resource metadata. */
export interface MetadataQuestion<T> {
  readonly kind: "metadata";
  readonly tunnel: T;
  readonly origin: string | undefined;
}

/** A request that is answered with an error here. */
export interface Refused<T> {
  readonly kind: "refused";
  readonly code: ErrorCode;
  /** For the client, after the fixed sentence: the limit that was passed, or what is wrong. */
  readonly detail?: string;
  /** For 405. */
  readonly allow?: string;
  /** When it is known which tunnel was meant. */
  readonly tunnel?: T | undefined;
  /** The page that may read the answer. */
  readonly origin?: string | undefined;
}

/** What comes of judging one request. */
export type Verdict<T> = Admitted<T> | Preflight<T> | MetadataQuestion<T> | Refused<T>;

/** The limits and lists of one listener. */
export interface FrontDoorRules<T> {
  readonly router: Router<T & { readonly settings: TunnelSettings }>;
  readonly limits: Pick<EdgeSettings, "maxBodyBytes" | "maxHeaderBytes" | "maxHeaders">;
  readonly proxyHeaders: EdgeOptions["proxyHeaders"];
}

/** Judges requests one by one; keeps nothing between them. */
export class FrontDoor<T extends { readonly settings: TunnelSettings }> {
  readonly #rules: FrontDoorRules<T>;
  readonly #headerRules: Readonly<Record<IncomingHead["peer"], HeaderRules>>;

  constructor(rules: FrontDoorRules<T>) {
    this.#rules = rules;
    const { proxyHeaders } = rules;
    this.#headerRules = {
      stranger: { forwarded: "drop", proxyHeaders, proxyIdentity: "drop" },
      proxy: { forwarded: "trust", proxyHeaders, proxyIdentity: "drop" },
      listed_proxy: { forwarded: "trust", proxyHeaders, proxyIdentity: "trust" },
    };
  }

  /** May a listed proxy name the user? */
  get namesUsers(): boolean {
    return this.#rules.proxyHeaders !== undefined;
  }

  /** In the order: is it HTTP we accept, is it for us, may this page ask, is it too big. */
  judge(head: IncomingHead): Verdict<T> {
    const { limits, router } = this.#rules;
    if (head.httpVersion !== "1.1" && head.httpVersion !== "1.0") {
      return refuse("BAD_REQUEST", "this version of HTTP is not supported");
    }
    const headers = readRequestHeaders(head.rawHeaders, this.#headerRules[head.peer]);
    if (headers.count > limits.maxHeaders) {
      return refuse("HEADERS_TOO_LARGE", `the limit is ${limits.maxHeaders} headers`);
    }
    if (headers.bytes + head.url.length > limits.maxHeaderBytes) {
      return refuse("HEADERS_TOO_LARGE", `the limit is ${limits.maxHeaderBytes} bytes`);
    }
    if (headers.hosts !== 1) return refuse("BAD_REQUEST", "exactly one Host is needed");

    const target = originForm<T>(head.url, headers.host);
    if (typeof target !== "string") return target;
    const route = router.find(headers.host, target);
    if (route === "unknown_host") return refuse("HOST_REFUSED");
    if (route === "unsafe_target") return refuse("BAD_REQUEST", "this target is not allowed");

    const settings = route === "no_tunnel" ? undefined : route.tunnel.settings;
    const page = pageOf(headers, settings);
    if (page === "refused") return refuse("ORIGIN_REFUSED");
    if (route === "no_tunnel") return refuse("NO_ROUTE");
    const verdict = this.#judgeRoute(head, headers, route, page.origin);
    return verdict.kind === "refused"
      ? { ...verdict, tunnel: route.tunnel, origin: page.origin }
      : verdict;
  }

  #judgeRoute(
    head: IncomingHead,
    headers: RequestHeaders,
    route: Route<T>,
    origin: string | undefined,
  ): Verdict<T> {
    const { tunnel, what } = route;
    const { settings } = tunnel;
    if (
      head.method === "OPTIONS" && origin !== undefined && headers.preflightMethod !== undefined
    ) {
      return { kind: "preflight", tunnel, origin, requestedHeaders: headers.preflightHeaders };
    }
    const methods = what === "endpoint" ? METHODS[settings.protocol] : METADATA_METHODS;
    if (!methods.has(head.method)) {
      return { ...refuse<T>("METHOD_REFUSED"), allow: [...methods].join(", ") };
    }
    const broken = framing<T>(headers, head.httpVersion, this.#rules.limits.maxBodyBytes);
    if (broken !== undefined) return broken;
    if (what === "metadata") return { kind: "metadata", tunnel, origin };
    if (settings.auth === "edge" && hasQueryToken(route.target)) {
      return refuse("BAD_REQUEST", "a token belongs in Authorization, never in the URL");
    }
    const body = bodyOf(headers);
    return {
      kind: "admitted",
      tunnel,
      what,
      target: route.target,
      headers,
      body,
      // RFC 9110, 10.1.1: from an HTTP/1.0 client the expectation is ignored. Without a body node
      // still wants it said, or closes behind the answer.
      waits: headers.expect !== undefined && head.httpVersion === "1.1" ? "for_continue" : "no",
    };
  }
}

/** The listed origin of the page behind a request; absent for what is not a page. */
function pageOf(
  headers: RequestHeaders,
  settings: TunnelSettings | undefined,
): { readonly origin: string | undefined } | "refused" {
  const { origin } = headers;
  if (headers.origins === 0) {
    // A page elsewhere that embeds or links to it. No MCP client is one, and few browsers matter
    // that do not say so (Fetch Metadata).
    const isEmbedded = headers.fetchSite === "cross-site" && settings?.protocol === "mcp";
    return isEmbedded ? "refused" : { origin: undefined };
  }
  const listed = headers.origins === 1 && origin !== undefined && origin !== "null" &&
    settings !== undefined && settings.origins.includes(origin);
  return listed ? { origin } : "refused";
}

/** What is wrong with how the message is framed, if anything. */
function framing<T>(
  headers: RequestHeaders,
  httpVersion: string,
  maxBodyBytes: number,
): Refused<T> | undefined {
  const { contentLength, transferEncoding, duplicate, expect, upgrade } = headers;
  if (duplicate !== undefined) return refuse("BAD_REQUEST", "a header is there twice");
  if (expect !== undefined && expect.toLowerCase() !== "100-continue") {
    return refuse("BAD_REQUEST", "this expectation is not supported");
  }
  // Clients offer h2c on every plain request (java.net.http does); not taking it is allowed
  // (RFC 9110, section 7.8). Anything else cannot work without it, so it is refused in words.
  if (upgrade !== undefined && upgrade.toLowerCase() !== "h2c") {
    return refuse("BAD_REQUEST", "upgrades are not supported");
  }
  // The parser has already refused both together and lengths that are not numbers.
  // In HTTP/1.0 there is none, and who sends one is faulty or up to something (RFC 9112, 6.1).
  const isChunked = transferEncoding?.toLowerCase() === "chunked" && httpVersion === "1.1";
  if (transferEncoding !== undefined && !isChunked) {
    return refuse("BAD_REQUEST", "this transfer coding is not supported");
  }
  if (contentLength !== undefined && Number(contentLength) > maxBodyBytes) {
    return refuse("BODY_TOO_LARGE", `the limit is ${maxBodyBytes} bytes`);
  }
  return undefined;
}

/** A target that starts with its path. The absolute form must name the same host as `Host`. */
function originForm<T>(url: string, host: string): string | Refused<T> {
  if (url.startsWith("/")) return url;
  const match = ABSOLUTE_FORM.exec(url);
  if (match === null) return refuse("BAD_REQUEST", "this target is not allowed");
  if (match[1]!.toLowerCase() !== host.toLowerCase()) return refuse("HOST_REFUSED");
  const rest = match[2] ?? "";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** RFC 6750, 2.3 names the parameter; MCP forbids it. URLs end up in logs and histories. */
function hasQueryToken(target: string): boolean {
  const mark = target.indexOf("?");
  if (mark < 0) return false;
  const query = new URLSearchParams(target.slice(mark + 1));
  return [...query].some(([name, value]) =>
    name.toLowerCase() === "access_token" || OUR_TOKEN.test(value)
  );
}

function bodyOf(headers: RequestHeaders): "none" | "sized" | "chunked" {
  if (headers.transferEncoding !== undefined) return "chunked";
  return headers.contentLength !== undefined && Number(headers.contentLength) > 0
    ? "sized"
    : "none";
}

function refuse<T>(code: ErrorCode, detail?: string): Refused<T> {
  return detail === undefined ? { kind: "refused", code } : { kind: "refused", code, detail };
}

/** What a tunnel of each protocol takes. */
export const METHODS: Readonly<Record<TunnelSettings["protocol"], ReadonlySet<string>>> = {
  mcp: new Set(["GET", "POST", "DELETE"]),
  http: new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
};
const METADATA_METHODS: ReadonlySet<string> = new Set(["GET"]);
const ABSOLUTE_FORM = /^https?:\/\/([^/?#@]+)([/?].*)?$/i;
/** A user token of ours, under whatever name. */
const OUR_TOKEN = /mcpu_[A-Za-z0-9_-]{43}/;
