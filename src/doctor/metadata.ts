/**
 * Fetches and judges what OAuth clients read: the metadata of a protected resource (RFC 9728) and of
 * its authorization servers (RFC 8414, OpenID Connect Discovery).
 *
 * Every URL here came from outside. It is fetched only over https, or over http on loopback when
 * the checked URL is there too, and never with a token.
 *
 * @module
 */

import { isLoopback } from "../config/value.ts";
import { DOCTOR_METADATA_BYTES } from "../limits.ts";
import { fail, type Finding, note, ok, plain, shown, shownList } from "./finding.ts";
import { bareHost, headerOf, type HttpClient, mediaTypeOf } from "./http_client.ts";
import { isObject, parseJson, stringsOf } from "./mcp_message.ts";
import { describeBody } from "./refusal.ts";

/** What the protected resource metadata says, as far as later steps need it. */
export interface ResourceMetadata {
  readonly resource: string;
  readonly authorizationServers: readonly string[];
  readonly scopes: readonly string[];
}

/** What {@link resourceStep} is given. */
export interface ResourceStepOptions {
  readonly http: HttpClient;
  /** As the user wrote it: it is compared byte by byte. */
  readonly urlText: string;
  readonly url: URL;
  /** `resource_metadata` of the challenge. */
  readonly announced: string | undefined;
  /** Did the server ask for a token? */
  readonly wantsToken: boolean;
}

/** Finds the metadata where clients look for it, in their order, and judges it. */
export async function resourceStep(
  options: ResourceStepOptions,
): Promise<{ readonly finding: Finding; readonly metadata: ResourceMetadata | undefined }> {
  const { http, url, announced, wantsToken } = options;
  const [byPath, atRoot] = wellKnownOfResource(url);
  const places = [
    ...(announced === undefined ? [] : [announced]),
    byPath,
    ...(atRoot === byPath ? [] : [atRoot]),
  ];
  const seen: string[] = [];
  for (const place of new Set(places)) {
    const fetched = await fetchDocument(http, place, url);
    if ("document" in fetched) {
      return judgeResource(fetched.document, { ...options, place, remarks: fetched.remarks });
    }
    const line = `${shown(place, 200)}: ${fetched.problem}`;
    // What the challenge announces is what clients take; the other places are for those without one.
    if (place === announced) {
      return {
        finding: fail(
          [line, "It is where the challenge (resource_metadata) sends clients"],
          fetched.hint,
        ),
        metadata: undefined,
      };
    }
    seen.push(line);
  }
  if (!wantsToken) {
    return { finding: ok("None, and none needed: no token is asked for"), metadata: undefined };
  }
  return {
    finding: note(
      ["None: clients cannot find out where to get a token", ...seen],
      'give each client its token by hand, or declare an [[auth.issuer]] (auth = "edge"); with auth = "upstream" the private server has to serve it',
    ),
    metadata: undefined,
  };
}

function judgeResource(
  document: Readonly<Record<string, unknown>>,
  context: ResourceStepOptions & {
    readonly place: string;
    readonly remarks: readonly string[];
  },
): { readonly finding: Finding; readonly metadata: ResourceMetadata | undefined } {
  const { urlText, url, place, remarks } = context;
  const { resource } = document;
  const bad = (detail: readonly string[], hint: string) => ({
    finding: fail([`From ${shown(place, 200)}`, ...detail], hint),
    metadata: undefined,
  });
  if (typeof resource !== "string") {
    return bad(["It has no resource"], "add resource, the URL that clients use (RFC 9728, 2)");
  }
  const authorizationServers = stringsOf(document["authorization_servers"]);
  const metadata = {
    resource,
    authorizationServers,
    scopes: stringsOf(document["scopes_supported"]),
  };
  if (resource !== urlText && resource !== url.href) {
    return {
      finding: fail([
        `From ${shown(place, 200)}`,
        `resource   ${shown(resource, 200)}`,
        `this URL   ${shown(urlText, 200)}`,
        "They differ, so clients refuse to go on (RFC 9728, 3.3)",
      ], mendResource(url)),
      metadata,
    };
  }
  if (authorizationServers.length === 0) {
    return bad(
      ["authorization_servers is missing or empty"],
      "name at least one issuer (MCP, Authorization Server Location): [[auth.issuer]] on the edge",
    );
  }
  const methods = document["bearer_methods_supported"];
  if (methods !== undefined && !stringsOf(methods).includes("header")) {
    return bad(
      ["bearer_methods_supported has no header"],
      'add "header": MCP clients send tokens in no other way',
    );
  }
  const facts = [
    `resource is this URL; issuers: ${shownList(authorizationServers, 3)}`,
    ...(metadata.scopes.length === 0 ? [] : [`scopes: ${shownList(metadata.scopes)}`]),
  ];
  return {
    finding: remarks.length === 0 ? ok(...facts) : note([...facts, ...remarks]),
    metadata,
  };
}

function mendResource(url: URL): string {
  return `with auth = "edge" set edge.public_url to ${plain(url.origin)}; with auth = "upstream" ` +
    "set the public URL of the private server to this URL; or use the URL that resource names";
}

/** What an authorization server says of itself. */
export async function issuerStep(http: HttpClient, issuer: string, checked: URL): Promise<Finding> {
  const head = `Issuer ${shown(issuer, 200)}`;
  const refusal = refusalOfUrl(issuer, checked);
  if (refusal !== undefined) {
    return fail([head, refusal], "name an issuer with an https URL in authorization_servers");
  }
  const seen: string[] = [];
  for (const place of wellKnownOfIssuer(new URL(issuer))) {
    const fetched = await fetchDocument(http, place, checked);
    if ("document" in fetched) return judgeIssuer(fetched.document, issuer, place);
    seen.push(`${shown(place, 200)}: ${fetched.problem}`);
  }
  return fail(
    [head, "No metadata where clients look for it", ...seen],
    "check the issuer's URL, byte by byte, and that it can be reached from where clients are",
  );
}

function judgeIssuer(
  document: Readonly<Record<string, unknown>>,
  issuer: string,
  place: string,
): Finding {
  const head = `Issuer ${shown(issuer, 200)}`;
  const named = document["issuer"];
  if (named !== issuer) {
    return fail([
      `From ${shown(place, 200)}`,
      `issuer     ${typeof named === "string" ? shown(named, 200) : "missing"}`,
      `expected   ${shown(issuer, 200)}`,
      "They differ, so clients refuse it (RFC 8414, 3.3)",
    ], "write the issuer exactly as it names itself: [[auth.issuer]], or authorization_servers");
  }
  const missing = ["authorization_endpoint", "token_endpoint"]
    .filter((name) => typeof document[name] !== "string");
  if (missing.length > 0) {
    return fail(
      [head, `Its metadata lacks ${missing.join(", ")}`],
      "look at the issuer's settings",
    );
  }
  if (!stringsOf(document["code_challenge_methods_supported"]).includes("S256")) {
    return fail(
      [head, "code_challenge_methods_supported has no S256"],
      "MCP clients refuse an issuer that does not announce PKCE: turn it on there",
    );
  }
  const byUrl = document["client_id_metadata_document_supported"] === true;
  const dynamic = typeof document["registration_endpoint"] === "string";
  const ways = [...(byUrl ? ["a client id URL"] : []), ...(dynamic ? ["registration"] : [])];
  if (ways.length > 0) return ok(`${head}: PKCE S256; new clients by ${ways.join(" or ")}`);
  return note(
    `${head}: PKCE S256; no way for new clients to introduce themselves`,
    "register each client at the issuer, and give it its client id",
  );
}

/** Where clients look for a resource's metadata: below its path, then at the root (RFC 9728, 3.1). */
export function wellKnownOfResource(url: URL): readonly [byPath: string, atRoot: string] {
  const root = `${url.origin}/.well-known/oauth-protected-resource`;
  return [`${root}${url.pathname === "/" ? "" : url.pathname}${url.search}`, root];
}

/** Where clients look for an issuer's metadata, in the order of MCP (Authorization Server Metadata Discovery). */
export function wellKnownOfIssuer(issuer: URL): readonly string[] {
  const { origin } = issuer;
  const path = issuer.pathname.replace(/\/$/, "");
  const inserted = [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}/.well-known/openid-configuration${path}`,
  ];
  return path === ""
    ? inserted
    : [...inserted, `${origin}${path}/.well-known/openid-configuration`];
}

type Fetched =
  | { readonly document: Readonly<Record<string, unknown>>; readonly remarks: readonly string[] }
  | { readonly problem: string; readonly hint: string };

async function fetchDocument(http: HttpClient, place: string, checked: URL): Promise<Fetched> {
  const refusal = refusalOfUrl(place, checked);
  if (refusal !== undefined) {
    return { problem: `${refusal}; not fetched`, hint: "announce an https URL" };
  }
  const answer = await http.ask({
    method: "GET",
    url: new URL(place),
    headers: { Accept: "application/json" },
    maxBytes: DOCTOR_METADATA_BYTES,
  });
  if (answer.kind === "failed") return answer;
  if (answer.status >= 300 && answer.status < 400) {
    return {
      problem: `${answer.status}, redirected to ${
        shown(headerOf(answer, "location") ?? "nowhere", 200)
      } (not followed)`,
      hint: "serve the document where clients ask for it: many do not follow redirects",
    };
  }
  if (answer.status !== 200) {
    return {
      // Not there is not there; who says so in which words does not matter.
      problem: answer.status === 404 ? "404" : `${answer.status}, ${describeBody(answer)}`,
      hint:
        "let the path through to where the document is: a proxy in front may keep /.well-known to itself",
    };
  }
  if (answer.cut) {
    return {
      problem: `longer than ${DOCTOR_METADATA_BYTES} bytes`,
      hint: "this is no metadata document: check what answers there",
    };
  }
  const document = parseJson(answer.body);
  if (!isObject(document)) {
    return {
      problem: `no JSON object: ${describeBody(answer)}`,
      hint: "something else answers at this path: a proxy in front, or a page for every path",
    };
  }
  const type = mediaTypeOf(answer);
  return {
    document,
    remarks: type === "application/json"
      ? []
      : [`Its content type is ${type === "" ? "missing" : plain(type, 60)}, not application/json`],
  };
}

/** Why a URL from outside is not fetched. */
function refusalOfUrl(text: string, checked: URL): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "not a URL"; // `URL.canParse` is missing in early Node 20
  }
  if (url.username !== "" || url.password !== "") return "the URL carries credentials";
  if (url.protocol === "https:") return undefined;
  if (url.protocol !== "http:") return `not an https URL (${plain(url.protocol, 20)})`;
  if (!isLoopback(bareHost(url))) return "http: it must be https";
  // A server elsewhere has no business sending this host to its own loopback.
  return isLoopback(bareHost(checked)) ? undefined : "http on this host's loopback";
}
