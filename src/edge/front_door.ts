/**
 * What is checked before anything of a request is forwarded (docs/architecture.md, "Front door").
 *
 * Pure: the head of a request in, a verdict out.
 *
 * @module
 */

import type { ErrorCode } from "../errors.ts";
import type { EdgeSettings, TunnelSettings } from "./edge_options.ts";
import { type HeaderRules, readRequestHeaders, type RequestHeaders } from "./request_headers.ts";
import type { Router } from "./router.ts";

/** The head of a request, as node gives it. */
export interface IncomingHead {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
}

/** A request that may be forwarded. */
export interface Admitted<T> {
  readonly admitted: true;
  readonly tunnel: T;
  readonly target: string;
  readonly headers: RequestHeaders;
  /** Does a body follow? */
  readonly body: "none" | "follows";
  /** Does the client wait for a 100 before it sends the body? */
  readonly waits: "no" | "for_continue";
}

/** A request that is answered here. */
export interface Refused {
  readonly admitted: false;
  readonly code: ErrorCode;
  /** For the client, after the fixed sentence: the limit that was passed, or what is wrong. */
  readonly detail?: string;
  /** For 405. */
  readonly allow?: string;
}

/** The limits and lists of one listener. */
export interface FrontDoorRules<T> {
  readonly router: Router<T & { readonly settings: TunnelSettings }>;
  readonly limits: Pick<EdgeSettings, "maxBodyBytes" | "maxHeaderBytes" | "maxHeaders">;
  readonly behindProxy: boolean;
}

/** Judges requests one by one; keeps nothing between them. */
export class FrontDoor<T extends { readonly settings: TunnelSettings }> {
  readonly #rules: FrontDoorRules<T>;
  readonly #headerRules: HeaderRules;

  constructor(rules: FrontDoorRules<T>) {
    this.#rules = rules;
    this.#headerRules = {
      authorization: "pass",
      forwarded: rules.behindProxy ? "trust" : "drop",
    };
  }

  /** In the order: is it HTTP we accept, is it for us, may this page ask, who asks, is it too big. */
  judge(head: IncomingHead): Admitted<T> | Refused {
    const { limits, router } = this.#rules;
    const headers = readRequestHeaders(head.rawHeaders, this.#headerRules);
    if (headers.count > limits.maxHeaders) {
      return refuse("HEADERS_TOO_LARGE", `the limit is ${limits.maxHeaders} headers`);
    }
    if (headers.bytes + head.url.length > limits.maxHeaderBytes) {
      return refuse("HEADERS_TOO_LARGE", `the limit is ${limits.maxHeaderBytes} bytes`);
    }
    if (headers.hosts !== 1) return refuse("BAD_REQUEST", "exactly one Host is needed");

    const target = originForm(head.url, headers.host);
    if (typeof target !== "string") return target;
    const route = router.find(headers.host, target);
    if (route === "unknown_host") return refuse("HOST_REFUSED");
    if (route === "unsafe_target") return refuse("BAD_REQUEST", "this target is not allowed");

    // Before the route is told apart from "none": who has no token learns no path.
    const settings = route === "no_tunnel" ? undefined : route.tunnel.settings;
    if (headers.origins > 0) {
      const { origin } = headers;
      const listed = headers.origins === 1 && origin !== undefined && origin !== "null" &&
        settings !== undefined && settings.origins.includes(origin);
      if (!listed) return refuse("ORIGIN_REFUSED");
    }
    if (route === "no_tunnel") return refuse("NO_ROUTE");

    const { protocol } = route.tunnel.settings;
    const methods = METHODS[protocol];
    if (!methods.has(head.method)) {
      return { ...refuse("METHOD_REFUSED"), allow: [...methods].join(", ") };
    }
    return framing(headers, limits.maxBodyBytes) ?? {
      admitted: true,
      tunnel: route.tunnel,
      target: route.target,
      headers,
      body: hasBody(headers) ? "follows" : "none",
      waits: headers.expect !== undefined && hasBody(headers) ? "for_continue" : "no",
    };
  }
}

/** What is wrong with how the message is framed, if anything. */
function framing(headers: RequestHeaders, maxBodyBytes: number): Refused | undefined {
  const { contentLength, transferEncoding, duplicate, expect, upgrade } = headers;
  if (duplicate !== undefined) return refuse("BAD_REQUEST", "an Mcp header is there twice");
  if (expect !== undefined && expect.toLowerCase() !== "100-continue") {
    return refuse("BAD_REQUEST", "this expectation is not supported");
  }
  // Clients offer h2c on every plain request (java.net.http does); not taking it is allowed
  // (RFC 9110, section 7.8). Anything else cannot work without it, so it is refused in words.
  if (upgrade !== undefined && upgrade.toLowerCase() !== "h2c") {
    return refuse("BAD_REQUEST", "upgrades are not supported");
  }
  // The parser has already refused both together and lengths that are not numbers.
  if (transferEncoding !== undefined && transferEncoding.toLowerCase() !== "chunked") {
    return refuse("BAD_REQUEST", "this transfer coding is not supported");
  }
  if (contentLength !== undefined && Number(contentLength) > maxBodyBytes) {
    return refuse("BODY_TOO_LARGE", `the limit is ${maxBodyBytes} bytes`);
  }
  return undefined;
}

/** A target that starts with its path. The absolute form must name the same host as `Host`. */
function originForm(url: string, host: string): string | Refused {
  if (url.startsWith("/")) return url;
  const match = ABSOLUTE_FORM.exec(url);
  if (match === null) return refuse("BAD_REQUEST", "this target is not allowed");
  if (match[1]!.toLowerCase() !== host.toLowerCase()) return refuse("HOST_REFUSED");
  const rest = match[2] ?? "";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

function hasBody(headers: RequestHeaders): boolean {
  return headers.transferEncoding !== undefined ||
    (headers.contentLength !== undefined && Number(headers.contentLength) > 0);
}

function refuse(code: ErrorCode, detail?: string): Refused {
  return detail === undefined ? { admitted: false, code } : { admitted: false, code, detail };
}

const METHODS: Readonly<Record<TunnelSettings["protocol"], ReadonlySet<string>>> = {
  mcp: new Set(["GET", "POST", "DELETE"]),
  http: new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
};
const ABSOLUTE_FORM = /^https?:\/\/([^/?#@]+)([/?].*)?$/i;
