/**
 * The keys of `mcptun.toml`: form, default, unit and meaning, one entry per key.
 *
 * Types, defaults, the refusal of unknown keys, `config.example.toml`, the table in
 * `docs/configuration.md` and the help of the flags all come from here.
 *
 * @module
 */

import * as v from "valibot";

import { AUDIT_ARGUMENTS_BYTES, MAX_LIST_PATTERNS } from "../limits.ts";
import type { PatternLanguage } from "../policy/pattern_problem.ts";
import { FAMILIES } from "../mcp/methods.ts";
import * as value from "./value.ts";

/** What people read about one key. `example` is TOML for a key that has no default. */
export interface KeyFacts {
  readonly doc: string;
  readonly example?: string;
}

/** What people read about the form of a value; `path` values resolve against the file's folder. */
export interface FormFacts {
  readonly form: string;
  readonly unit?: "size";
  readonly path?: true;
}

const TEXT = v.pipe(v.string(), v.nonEmpty("must not be empty"));
const PATH = v.pipe(
  TEXT,
  v.rawTransform(parsing(value.parsePath)),
  v.metadata({ form: "path", path: true }),
);
const FLAG = v.pipe(v.boolean(), v.metadata({ form: "true or false" }));
const PROTOCOL = v.pipe(
  v.picklist(["mcp", "http"]),
  v.metadata({ form: '"mcp" or "http"' }),
);
const LISTEN = text("host:port", (text) => address(text, "any"));
const DIAL = text("host:port", (text) => address(text, "dialable"));
const HOST = text("host[:port]", value.parseHost);
const HOSTS = list(value.parseHost, "hosts");
const ORIGINS = list(value.parseOrigin, "origins");
const NETWORKS = list(value.parseNetwork, "addresses or networks");
const ISSUER_URL = text("https URL", value.parseIssuerUrl);
const GLOBS = list(value.parseNameGlob, "name globs");
const WORDS = list(value.parseScope, "words");
const HEADER_NAME = text("header name", value.parseHeaderName);
const CLAIM = text("claim name", value.parseClaim);
const COLLECTOR = text("https URL", value.parseCollectorUrl);
const UPSTREAM = text("http or https URL", value.parseUpstream);
const ROUTE = text("path", value.parseRoutePath);
const NAME = text("name", value.parseName);
const NAME_PATTERNS = patterns("name", "name patterns");
const URI_PATTERNS = patterns("uri", "URI patterns");
const SECOND = 1_000;
const DAY = 86_400 * SECOND;
/** Signatures with public keys only: a shared secret would let every edge forge tokens (RFC 8725, 3.1). */
const JWT_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

/** `[edge]` */
export const EdgeSchema = v.strictObject({
  listen: key(LISTEN, "127.0.0.1:8080", {
    doc: "Address of the public HTTP listener. Anything but loopback needs TLS or behind_proxy.",
  }),
  tunnel_listen: key(LISTEN, "0.0.0.0:4443", {
    doc: "UDP address that rifts dial.",
  }),
  tunnel_address: optionalKey(DIAL, {
    doc: "What a rift dials, as written into its credential. Default: tunnel_listen, which must " +
      "then name one host.",
    example: '"mcp.example.com:4443"',
  }),
  hosts: key(HOSTS, [], {
    doc: "Host values accepted for tunnels matched by path. On a loopback listener, loopback " +
      "names with its port are always accepted.",
    example: '["mcp.example.com"]',
  }),
  public_url: optionalKey(text("scheme://host[:port]", value.parseOrigin), {
    doc:
      "Where clients reach this edge, when that is not where it listens. Names the resource that " +
      "tokens must be for. Default: from hosts, TLS and listen.",
    example: '"https://mcp.example.com"',
  }),
  behind_proxy: key(FLAG, false, {
    doc: "A proxy you run ends TLS in front of this edge. Allows plain HTTP beyond loopback.",
  }),
  trusted_proxies: key(NETWORKS, [], {
    doc:
      "Addresses of that proxy: from others, X-Forwarded-* and user headers are dropped. Empty " +
      "with behind_proxy: every peer is taken for the proxy.",
    example: '["10.0.0.0/8", "127.0.0.1"]',
  }),
  tls_cert: optionalKey(PATH, {
    doc: "PEM certificate chain of the public listener. Needs tls_key.",
    example: '"/etc/mcptun/fullchain.pem"',
  }),
  tls_key: optionalKey(PATH, {
    doc: "PEM private key of the public listener. Needs tls_cert.",
    example: '"/etc/mcptun/privkey.pem"',
  }),
  state_dir: key(PATH, "mcptun-state", {
    doc: "Folder for the tunnel CA and the list of credentials; made at first start, mode 0700.",
  }),
  max_body_bytes: key(size(1, 1_073_741_824), "16MiB", {
    doc: "Largest request body. Above it: 413.",
  }),
  max_header_bytes: key(size(1_024, 32_768), "16KiB", {
    doc: "Largest request header block. Above it: 431.",
  }),
  max_headers: key(count(10, 200), 100, {
    doc: "Most header fields in a request. Above it: 431.",
  }),
  header_timeout: key(duration({ minMs: 100, maxMs: DAY }), "15s", {
    doc: "Time a client has for its request headers. After it: 408.",
  }),
  body_timeout: key(duration({ minMs: 100, maxMs: DAY }), "60s", {
    doc: "Time without progress of a request body. After it: 408.",
  }),
  max_connections: key(count(1, 1_000_000), 4_096, {
    doc: "Most client connections at a time. Above it: closed or 503.",
  }),
  max_connections_per_address: key(count(1, 1_000_000), 256, {
    doc:
      "Most client connections of one address at a time; not for trusted proxies. Above it: 429.",
  }),
  max_exchanges: key(count(1, 10_000), 1_000, {
    doc: "Most exchanges in flight per tunnel. Above it: 503.",
  }),
  max_event_streams: key(count(1, 10_000), 256, {
    doc: "Most event streams of one user at a time, or of one address where the private server " +
      "authenticates. Above it: 429.",
  }),
  drain: key(duration({ minMs: 0, maxMs: DAY }), "10s", {
    doc: "Time that exchanges in flight get to end when the edge is told to stop.",
  }),
});

/** `[[tunnel]]` */
export const TunnelSchema = v.strictObject({
  name: v.pipe(
    NAME,
    v.metadata({
      doc: "Name of the tunnel: a-z, 0-9, - and _. A rift claims it by this name. Required.",
      example: '"code-server"',
    }),
  ),
  host: optionalKey(HOST, {
    doc: "Match the tunnel by this Host instead of by path on the edge's hosts.",
    example: '"code.example.com"',
  }),
  path: optionalKey(ROUTE, {
    doc: "Route: exact for mcp, a prefix for http. Default: /<name>/mcp for mcp, /<name> for " +
      "http; with host: /mcp and /.",
    example: '"/code-server/mcp"',
  }),
  protocol: key(PROTOCOL, "mcp", {
    doc: "mcp: GET, POST and DELETE on one path. http: any HTTP service below a prefix.",
  }),
  auth: optionalKey(
    v.pipe(
      v.picklist(["edge", "upstream"]),
      v.metadata({ form: '"edge" or "upstream"' }),
    ),
    {
      example: '"edge"',
      doc: "Who authenticates clients: edge (user tokens and [auth]), or upstream, the private " +
        "server by itself. Default: upstream; edge on an aware tunnel, which allows nothing else.",
    },
  ),
  forward_authorization: key(FLAG, true, {
    doc: 'Pass the client\'s Authorization on to the private server. With auth = "edge" it never ' +
      "is.",
  }),
  origins: key(ORIGINS, [], {
    doc:
      "Origin values accepted from browsers, with CORS headers for them. Requests without Origin " +
      "always pass.",
    example: '["https://app.example.com"]',
  }),
  sse_keepalive: key(duration({ minMs: SECOND, maxMs: DAY, off: true }), "off", {
    doc: "Send an SSE comment between events after this silence. Off: bytes stay untouched.",
  }),
  mode: optionalKey(
    v.pipe(
      v.picklist(["transparent", "aware"]),
      v.metadata({ form: '"transparent" or "aware"' }),
    ),
    {
      doc:
        "transparent: messages are not read. aware: each one is judged by the rules below and by " +
        'policy.file; needs protocol = "mcp". Default: transparent.',
      example: '"aware"',
    },
  ),
  default: optionalKey(
    v.pipe(v.picklist(["deny", "allow"]), v.metadata({ form: '"deny" or "allow"' })),
    {
      doc: "What this tunnel says to kinds that none of its lists is about. Default: deny.",
      example: '"deny"',
    },
  ),
  on_deny: optionalKey(
    v.pipe(v.picklist(["hide", "explain"]), v.metadata({ form: '"hide" or "explain"' })),
    {
      doc:
        "What a denied client sees: hide, as if it did not exist; explain, which layer and kind " +
        "of rule denied. Default: hide.",
      example: '"explain"',
    },
  ),
  allow_tools: optionalKey(NAME_PATTERNS, {
    doc: "Tools that may be called and are listed. Empty: none.",
    example: '["read_file", "search_*"]',
  }),
  deny_tools: optionalKey(NAME_PATTERNS, {
    doc: "Tools that may not, whatever allows them.",
    example: '["execute_command"]',
  }),
  allow_resources: optionalKey(URI_PATTERNS, {
    doc: "Resources that may be read and are listed. Empty: none.",
    example: '["file:///repo/**"]',
  }),
  deny_resources: optionalKey(URI_PATTERNS, {
    doc: "Resources that may not, whatever allows them.",
    example: '["file:///repo/.git/**"]',
  }),
  allow_prompts: optionalKey(NAME_PATTERNS, {
    doc: "Prompts that may be used and are listed. Empty: none.",
    example: '["review_*"]',
  }),
  deny_prompts: optionalKey(NAME_PATTERNS, {
    doc: "Prompts that may not, whatever allows them.",
    example: '["admin_*"]',
  }),
  server_requests: optionalKey(
    v.pipe(v.array(v.picklist(FAMILIES)), v.metadata({ form: "list of families" })),
    {
      doc:
        "What the private server may ask of clients: sampling, elicitation, roots. The others are " +
        "taken out of the capabilities that it sees. Default: all.",
      example: '["elicitation"]',
    },
  ),
  allow_methods: optionalKey(NAME_PATTERNS, {
    doc: "Further methods that may be called, such as those of extensions.",
    example: '["logging/setLevel"]',
  }),
  deny_methods: optionalKey(NAME_PATTERNS, {
    doc: "Methods that may not, also those that need no rule.",
    example: '["completion/*"]',
  }),
  audit_arguments: optionalKey(
    v.pipe(
      v.union([v.picklist(["none", "all", "digest"]), v.array(TEXT)]),
      v.metadata({ form: '"none", "all", "digest" or list of names' }),
    ),
    {
      doc:
        "What the audit trail keeps of the arguments of calls: nothing, all, a keyed digest, or " +
        "the members with these names. Default: none.",
      example: '["path", "branch"]',
    },
  ),
  audit_arguments_bytes: optionalKey(size(64, AUDIT_ARGUMENTS_BYTES), {
    doc: "Most that is kept of them, as JSON; longer ones are cut. Default: 4KiB.",
    example: '"4KiB"',
  }),
});

/** `[audit]` */
export const AuditSchema = v.strictObject({
  file: optionalKey(PATH, {
    doc:
      "File of the audit trail: one line for each exchange, mode 0600. Without it there is none.",
    example: '"/var/log/mcptun/audit.jsonl"',
  }),
  on_failure: optionalKey(
    v.pipe(v.picklist(["block", "continue"]), v.metadata({ form: '"block" or "continue"' })),
    {
      doc: "While records cannot be written: block refuses new exchanges with 503, continue lets " +
        "them go on. Default: block when a tunnel is aware, else continue.",
      example: '"block"',
    },
  ),
  sync: key(
    v.pipe(v.picklist(["batch", "always"]), v.metadata({ form: '"batch" or "always"' })),
    "batch",
    {
      doc:
        "batch: written within 100 ms, on the disk within two seconds. always: on the disk at once, " +
        "many records in one go; with intent, before the request goes on.",
    },
  ),
  intent: key(FLAG, false, {
    doc:
      "Write a record before a request goes to the private server too, so that not even a crash " +
      "leaves a call without one.",
  }),
  rotate_bytes: key(size(65_536, 17_179_869_184), "128MiB", {
    doc: "Largest file; before it grows above this, the next one is begun.",
  }),
  rotate_every: key(duration({ minMs: 60 * SECOND, maxMs: 366 * DAY, off: true }), "24h", {
    doc: "Age at which the next file is begun. Off: at no age, by size alone.",
  }),
  keep_files: key(count(0, 100_000), 90, {
    doc: "Most files kept besides the current one; the oldest is removed. 0: all.",
  }),
  keep_for: key(duration({ minMs: 3_600 * SECOND, maxMs: 36_600 * DAY, off: true }), "off", {
    doc: "Time that a file is kept after its end. Off: for ever.",
  }),
  checkpoint_records: key(count(1, 100_000), 1_000, {
    doc: "Records after which a signature is written; after a minute there is one anyway.",
  }),
  otlp_endpoint: optionalKey(COLLECTOR, {
    doc:
      "Where records go as OpenTelemetry logs (OTLP over HTTP, JSON), with audit.file or without. " +
      "It never holds up an exchange: what cannot be sent is counted.",
    example: '"https://collector.example.com:4318/v1/logs"',
  }),
  otlp_headers_file: optionalKey(PATH, {
    doc:
      "File with headers for it, one a line, such as Authorization: Bearer and a token. Read at " +
      "start.",
    example: '"/etc/mcptun/otlp.headers"',
  }),
});

/** `[policy]` */
export const PolicySchema = v.strictObject({
  file: optionalKey(PATH, {
    doc: "File with the rules per user that all aware tunnels ask as well: mcptun policy check.",
    example: '"user.toml"',
  }),
});

/** `[[auth.issuer]]` */
export const IssuerSchema = v.strictObject({
  issuer: v.pipe(
    ISSUER_URL,
    v.metadata({
      doc: "Issuer identifier, exactly as tokens have it in iss. Required.",
      example: '"https://login.example.com"',
    }),
  ),
  jwks_uri: optionalKey(ISSUER_URL, {
    doc: "Where its keys are. Default: from the issuer's own metadata (RFC 8414, OpenID Connect).",
    example: '"https://login.example.com/keys"',
  }),
  tunnels: key(GLOBS, ["*"], {
    doc: "Tunnels whose clients it may vouch for.",
    example: '["team-a-*"]',
  }),
  audiences: key(list(value.parseClaim, "strings"), [], {
    doc: "Accepted values of aud. Empty: the tunnel's public URL alone, as MCP asks.",
    example: '["api://mcp"]',
  }),
  algorithms: key(
    v.pipe(
      v.array(v.picklist(JWT_ALGORITHMS)),
      v.metadata({ form: "list of algorithms" }),
    ),
    ["RS256", "PS256", "ES256", "EdDSA"],
    { doc: "Accepted signature algorithms; never none, never one with a shared secret." },
  ),
  user_claim: key(CLAIM, "sub", { doc: "Claim that names the user." }),
  groups_claim: key(CLAIM, "groups", { doc: "Claim that lists the user's groups." }),
  scopes: key(WORDS, [], {
    doc: "Scopes that a token must have, told to clients that ask for one.",
    example: '["mcp"]',
  }),
});

/** `[auth]` */
export const AuthSchema = v.strictObject({
  client_ca: optionalKey(PATH, {
    doc:
      "PEM certificates of the CAs whose client certificates are accepted: the common name is the " +
      "user, organizations are groups. Needs tls_cert.",
    example: '"/etc/mcptun/client-ca.pem"',
  }),
  user_header: optionalKey(HEADER_NAME, {
    doc: "Header in which a trusted proxy names the user. Needs trusted_proxies.",
    example: '"X-Auth-User"',
  }),
  groups_header: optionalKey(HEADER_NAME, {
    doc:
      "Header in which a trusted proxy lists the groups, separated by commas. Needs user_header.",
    example: '"X-Auth-Groups"',
  }),
  issuer: v.optional(v.array(IssuerSchema), []),
});

/** `[admin]` */
export const AdminSchema = v.strictObject({
  listen: optionalKey(LISTEN, {
    doc: "Loopback address for health checks, metrics and status over TCP, besides admin.sock in " +
      "state_dir. Status and metrics ask for the token in admin.token there.",
    example: '"127.0.0.1:9464"',
  }),
});

/** `[[rift.expose]]` */
export const ExposeSchema = v.strictObject({
  tunnel: v.pipe(
    NAME,
    v.metadata({
      doc: "Name of a tunnel that the edge declares. Required.",
      example: '"code-server"',
    }),
  ),
  upstream: v.pipe(
    UPSTREAM,
    v.metadata({
      doc: "URL of the private server, as this host reaches it. Required.",
      example: '"http://127.0.0.1:9090/mcp"',
    }),
  ),
  protocol: optionalKey(PROTOCOL, {
    doc: "mcp or http. Default: rift.protocol.",
    example: '"mcp"',
  }),
  authorization_file: optionalKey(PATH, {
    doc:
      "File whose text becomes the Authorization header for the private server, such as Bearer " +
      "and a token. Replaces what a client sent. Used only on requests of users whom the edge " +
      'has proved, so with auth = "edge" on the tunnel: else a stranger would get in with it.',
    example: '"/etc/mcptun/upstream.auth"',
  }),
});

/** `[rift]` */
export const RiftSchema = v.strictObject({
  token_file: optionalKey(PATH, {
    doc: 'File with the credential that "mcptun token issue" printed. Else: MCPTUN_TOKEN.',
    example: '"/etc/mcptun/rift.token"',
  }),
  protocol: key(PROTOCOL, "mcp", {
    doc: "Protocol of every exposed tunnel that does not name its own.",
  }),
  edge_address: optionalKey(DIAL, {
    doc: "Dial this address instead of the one in the credential.",
    example: '"mcp.example.com:4443"',
  }),
  upstream_connect_timeout: key(duration({ minMs: 100, maxMs: DAY }), "5s", {
    doc: "Time to connect to a private server. After it: 502.",
  }),
  upstream_header_timeout: key(duration({ minMs: 100, maxMs: DAY, off: true }), "off", {
    doc: "Time a private server has for its response headers. After it: 502.",
  }),
  drain: key(duration({ minMs: 0, maxMs: DAY }), "10s", {
    doc: "Time that exchanges in flight get to end when the rift is told to stop.",
  }),
  expose: v.optional(v.array(ExposeSchema), []),
});

/** `[log]` */
export const LogSchema = v.strictObject({
  level: key(
    v.pipe(
      v.picklist(["debug", "info", "warn", "error"]),
      v.metadata({ form: '"debug", "info", "warn" or "error"' }),
    ),
    "info",
    { doc: "Least severity that is written." },
  ),
  format: key(
    v.pipe(v.picklist(["text", "json"]), v.metadata({ form: '"text" or "json"' })),
    "text",
    { doc: "text for people, json (one object per line) for machines. Both go to stderr." },
  ),
});

/** The whole file. */
export const FileSchema = v.strictObject({
  edge: v.optional(EdgeSchema, {}),
  tunnel: v.optional(v.array(TunnelSchema), []),
  auth: v.optional(AuthSchema, {}),
  policy: v.optional(PolicySchema, {}),
  audit: v.optional(AuditSchema, {}),
  admin: v.optional(AdminSchema, {}),
  rift: v.optional(RiftSchema, {}),
  log: v.optional(LogSchema, {}),
});

/** The file's content with defaults filled and units converted, still with the file's key names. */
export type FileValue = v.InferOutput<typeof FileSchema>;

function key<S extends v.GenericSchema, const D extends v.InferInput<S>>(
  schema: S,
  fallback: D,
  facts: KeyFacts,
) {
  return v.pipe(v.optional(schema, fallback), v.metadata({ ...facts }));
}

function optionalKey<S extends v.GenericSchema>(schema: S, facts: KeyFacts) {
  return v.pipe(v.optional(schema), v.metadata({ ...facts }));
}

function text<T>(form: string, parse: (text: string) => value.Parsed<T>) {
  return v.pipe(TEXT, v.rawTransform(parsing(parse)), v.metadata({ form }));
}

function duration(range: value.DurationRange) {
  return v.pipe(
    TEXT,
    v.rawTransform(parsing((text: string) => value.parseDuration(text, range))),
    v.metadata({ form: 'duration with a unit, such as "10s"' }),
  );
}

function size(minBytes: number, maxBytes: number) {
  const range = `from ${value.formatSize(minBytes)} to ${value.formatSize(maxBytes)}`;
  return v.pipe(
    v.union([v.string(), v.number()]),
    v.rawTransform(parsing((written: string | number) => {
      const parsed = typeof written === "string" ? value.parseSize(written) : { value: written };
      if ("problem" in parsed) return parsed;
      const fits = Number.isSafeInteger(parsed.value) && parsed.value >= minBytes &&
        parsed.value <= maxBytes;
      return fits ? parsed : value.refuse(`${JSON.stringify(written)} is out of range`, range);
    })),
    v.metadata({ form: 'size with a unit, such as "16MiB", or bytes', unit: "size" }),
  );
}

function count(min: number, max: number) {
  return v.pipe(
    v.number(),
    v.check(
      (number) => Number.isInteger(number) && number >= min && number <= max,
      (issue) => `${issue.received} is out of range (a whole number from ${min} to ${max})`,
    ),
    v.metadata({ form: "whole number" }),
  );
}

function list(parse: (text: string) => value.Parsed<string>, noun: string) {
  const item = v.pipe(v.string(), v.rawTransform(parsing(parse)), v.metadata({ form: "string" }));
  return v.pipe(v.array(item), v.metadata({ form: `list of ${noun}` }));
}

/** The patterns of one list of rules. */
function patterns(language: PatternLanguage, noun: string) {
  const item = v.pipe(
    v.string(),
    v.rawTransform(parsing((text: string) => value.parsePattern(text, language))),
    v.metadata({ form: "string" }),
  );
  return v.pipe(
    v.array(item),
    v.maxLength(
      MAX_LIST_PATTERNS,
      ({ received }) => `${received} patterns in one list (at most ${MAX_LIST_PATTERNS})`,
    ),
    v.metadata({ form: `list of ${noun}` }),
  );
}

function address(text: string, ports: "any" | "dialable"): value.Parsed<string> {
  const parsed = value.parseAddress(text, ports);
  return "problem" in parsed ? parsed : { value: value.joinAddress(parsed.value) };
}

/** Adapts a parse function to what valibot calls in a pipe. */
function parsing<I, T>(parse: (input: I) => value.Parsed<T>) {
  return ({ dataset, addIssue, NEVER }: v.RawTransformContext<I>): T => {
    const parsed = parse(dataset.value);
    if ("value" in parsed) return parsed.value;
    addIssue({ message: parsed.problem });
    return NEVER;
  };
}
