/**
 * One pass over the headers of a request: the facts the front door judges, and what is passed on.
 *
 * @module
 */

/** What the front door needs to know, and the headers that travel end to end. */
export interface RequestHeaders {
  readonly hosts: number;
  readonly host: string;
  readonly origins: number;
  readonly origin: string | undefined;
  readonly authorizations: number;
  readonly authorization: string | undefined;
  readonly contentLength: string | undefined;
  readonly transferEncoding: string | undefined;
  readonly expect: string | undefined;
  readonly upgrade: string | undefined;
  /** Asks of a page's preflight (Fetch standard, "CORS protocol"). */
  readonly preflightMethod: string | undefined;
  readonly preflightHeaders: string | undefined;
  /** What the browser says of the page behind the request, when it is one. */
  readonly fetchSite: string | undefined;
  readonly forwardedFor: string | undefined;
  readonly forwardedHost: string | undefined;
  readonly forwardedProto: string | undefined;
  /** Who a proxy of the operator says it is; only when it may, and says it once. */
  readonly proxyUser: string | undefined;
  readonly proxyGroups: string | undefined;
  /** An `Mcp-*` header, or one of the proxy's, that is there twice. */
  readonly duplicate: string | undefined;
  /** Names and values with separators, bytes. */
  readonly bytes: number;
  readonly count: number;
  /** Flat pairs, without those that end at this hop. */
  readonly endToEnd: string[];
}

/** What to leave out besides what always ends here. */
export interface HeaderRules {
  /** `"trust"` from a proxy of the operator: then its `X-Forwarded-For` travels on. */
  readonly forwarded: "drop" | "trust";
  /** Lower-case names of the headers in which such a proxy names a user; never passed on. */
  readonly proxyHeaders:
    | { readonly user: string; readonly groups?: string | undefined }
    | undefined;
  /** Whether this peer may use them. */
  readonly proxyIdentity: "drop" | "trust";
}

/** Reads `rawHeaders` as node gives them. */
export function readRequestHeaders(
  rawHeaders: readonly string[],
  rules: HeaderRules,
): RequestHeaders {
  let hosts = 0;
  let host = "";
  let origins = 0;
  let origin: string | undefined;
  let authorizations = 0;
  let authorization: string | undefined;
  let contentLength: string | undefined;
  let transferEncoding: string | undefined;
  let expect: string | undefined;
  let upgrade: string | undefined;
  let preflightMethod: string | undefined;
  let preflightHeaders: string | undefined;
  let fetchSite: string | undefined;
  let forwardedFor: string | undefined;
  let proxyUser: string | undefined;
  let proxyGroups: string | undefined;
  let forwardedHost: string | undefined;
  let forwardedProto: string | undefined;
  let connection: string | undefined;
  let duplicate: string | undefined;
  let mcpNames: string[] | undefined;
  let bytes = 0;
  const endToEnd: string[] = [];

  for (let index = 0; index < rawHeaders.length; index += 2) {
    const rawName = rawHeaders[index]!;
    const value = rawHeaders[index + 1]!;
    bytes += rawName.length + value.length + LINE_BYTES;
    const name = rawName.toLowerCase();
    switch (name) {
      case "host":
        hosts++;
        host = value;
        continue;
      case "origin":
        origins++;
        origin = value;
        break;
      case "authorization":
        authorizations++;
        authorization = value;
        break;
      case "access-control-request-method":
        preflightMethod = value;
        break;
      case "access-control-request-headers":
        preflightHeaders = value;
        break;
      case "sec-fetch-site":
        fetchSite = value;
        break;
      case "content-length":
        contentLength = value;
        break;
      case "transfer-encoding":
        transferEncoding = transferEncoding === undefined ? value : `${transferEncoding},${value}`;
        continue;
      case "expect":
        expect = value;
        continue;
      case "upgrade":
        upgrade = value;
        continue;
      case "connection":
        connection = connection === undefined ? value : `${connection},${value}`;
        continue;
      case "keep-alive":
      case "proxy-authenticate":
      case "proxy-authorization":
      case "proxy-connection":
      case "te":
      case "trailer":
      case "http2-settings":
      case "forwarded":
      case "x-real-ip":
        continue;
      default:
        if (name.includes("_") && isOurs(name.replaceAll("_", "-"), rules)) continue;
        if (name.startsWith("x-forwarded-")) {
          if (rules.forwarded === "drop") continue;
          if (name === "x-forwarded-host") forwardedHost = value;
          else if (name === "x-forwarded-proto") forwardedProto = value;
          if (name !== "x-forwarded-for") continue;
          forwardedFor = forwardedFor === undefined ? value : `${forwardedFor},${value}`;
        } else if (name.startsWith("mcptun-")) {
          continue;
        } else if (name.startsWith("mcp-")) {
          if (mcpNames === undefined) mcpNames = [name];
          else if (mcpNames.includes(name)) duplicate = name;
          else mcpNames.push(name);
        } else if (name === rules.proxyHeaders?.user) {
          if (proxyUser !== undefined) duplicate = name;
          proxyUser = value;
          continue;
        } else if (name === rules.proxyHeaders?.groups) {
          if (proxyGroups !== undefined) duplicate = name;
          proxyGroups = value;
          continue;
        }
    }
    endToEnd.push(rawName, value);
  }

  return {
    hosts,
    host,
    origins,
    origin,
    authorizations,
    authorization,
    contentLength,
    transferEncoding,
    expect,
    upgrade,
    preflightMethod,
    preflightHeaders,
    fetchSite,
    forwardedFor,
    forwardedHost,
    forwardedProto,
    proxyUser: rules.proxyIdentity === "trust" ? proxyUser : undefined,
    proxyGroups: rules.proxyIdentity === "trust" ? proxyGroups : undefined,
    duplicate,
    bytes,
    count: rawHeaders.length >> 1,
    endToEnd: connection === undefined ? endToEnd : withoutNamed(endToEnd, connection),
  };
}

/**
 * A name that only this side of the edge may set. Many servers make one name of `X_Forwarded_For` and
 * `X-Forwarded-For` (RFC 3875, 4.1.18), so none may come in the other spelling.
 */
function isOurs(name: string, { proxyHeaders }: HeaderRules): boolean {
  return OURS.has(name) || name.startsWith("x-forwarded-") || name.startsWith("mcptun-") ||
    name === proxyHeaders?.user || name === proxyHeaders?.groups;
}

const OURS: ReadonlySet<string> = new Set([
  "content-length",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "transfer-encoding",
  "x-real-ip",
]);

/** What a private server must not say about its tunnel. */
export interface ResponseRules {
  /** `"ours"`: the edge answers pages of other origins itself. */
  readonly cors: "theirs" | "ours";
  /** `"edge"`: the edge asks clients for a token, and no one else may. */
  readonly auth: "edge" | "upstream";
}

/**
 * The headers of a response that travel on: without those of the upstream's own connection.
 *
 * @returns `undefined` when the length is not one plain number: such an answer cannot be framed.
 */
export function readResponseHeaders(
  headers: readonly string[],
  rules: ResponseRules,
): ResponseHeaders | undefined {
  let contentLength: number | undefined;
  let connection: string | undefined;
  let contentType = "";
  let mcpSessionId: string | undefined;
  let encoded = false;
  let hasAccelBuffering = false;
  const endToEnd: string[] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const rawName = headers[index]!;
    const value = headers[index + 1]!;
    const name = rawName.toLowerCase();
    switch (name) {
      case "content-length":
        if (contentLength !== undefined || !LENGTH.test(value)) return undefined;
        contentLength = Number(value);
        break;
      case "content-type":
        contentType = value;
        break;
      case "content-encoding":
        encoded = true;
        break;
      case "mcp-session-id":
        mcpSessionId = value;
        break;
      case "x-accel-buffering":
        hasAccelBuffering = true;
        break;
      case "connection":
        connection = connection === undefined ? value : `${connection},${value}`;
        continue;
      case "keep-alive":
      case "proxy-authenticate":
      case "proxy-connection":
      case "te":
      case "trailer":
      case "transfer-encoding":
      case "upgrade":
        continue;
      case "www-authenticate":
        if (rules.auth === "edge") continue;
        break;
      default:
        if (name.startsWith("mcptun-")) continue;
        if (rules.cors === "ours" && name.startsWith("access-control-")) continue;
    }
    endToEnd.push(rawName, value);
  }
  const isEventStream = EVENT_STREAM.test(contentType);
  // Without it nginx and others in front of the edge hold events back until a buffer is full.
  if (isEventStream && !hasAccelBuffering) endToEnd.push("X-Accel-Buffering", "no");
  return {
    contentLength,
    contentType,
    isEncoded: encoded,
    mcpSessionId,
    eventStream: !isEventStream ? "no" : encoded ? "encoded" : "plain",
    endToEnd: connection === undefined ? endToEnd : withoutNamed(endToEnd, connection),
  };
}

/** The end-to-end headers of a response and what the edge needs to know about its body. */
export interface ResponseHeaders {
  readonly contentLength: number | undefined;
  readonly contentType: string;
  readonly isEncoded: boolean;
  readonly mcpSessionId: string | undefined;
  readonly eventStream: "no" | "plain" | "encoded";
  endToEnd: string[];
}

/** Without one header, given in lower case. */
export function withoutHeader(pairs: readonly string[], name: string): string[] {
  const kept: string[] = [];
  for (let index = 0; index < pairs.length; index += 2) {
    if (pairs[index]!.toLowerCase() !== name) kept.push(pairs[index]!, pairs[index + 1]!);
  }
  return kept;
}

/** Without the headers that `Connection` names (RFC 9110, section 7.6.1). */
function withoutNamed(pairs: string[], connection: string): string[] {
  const plain = connection.toLowerCase();
  if (plain === "keep-alive" || plain === "close") return pairs;
  const named = new Set(plain.split(",").map((token) => token.trim()));
  const kept: string[] = [];
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index]!.toLowerCase();
    // The length frames the message: naming it in `Connection` must not unframe the body.
    if (named.has(name) && name !== "content-length") continue;
    kept.push(pairs[index]!, pairs[index + 1]!);
  }
  return kept;
}

/** `: ` and CRLF. */
const LINE_BYTES = 4;
const LENGTH = /^\d{1,15}$/;
const EVENT_STREAM = /^text\/event-stream(?:[ \t]*;|$)/i;
