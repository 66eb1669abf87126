/** What went wrong between here and a server, in words, with what to look at. @module */

/** One problem and its remedy. */
export interface NetworkProblem {
  readonly problem: string;
  readonly hint: string;
}

/** Reads the error of a socket, a TLS handshake or an HTTP parser, on Node or on Deno. */
export function networkProblem(error: unknown): NetworkProblem {
  const { code, message } = partsOf(error);
  const known = KNOWN.find(({ pattern }) => pattern.test(`${code} ${message}`));
  if (known !== undefined) {
    return {
      problem: code === "" ? known.problem : `${known.problem} (${code})`,
      hint: known.hint,
    };
  }
  return {
    problem: code === "" ? message : `${code}: ${message}`,
    hint: "look at the network between this host and the server",
  };
}

/** The same error where DNS was asked. */
export function lookupProblem(error: unknown, host: string): NetworkProblem {
  const { code } = partsOf(error);
  if (code === "EAI_AGAIN" || code === "ETIMEOUT") {
    return {
      problem: `No DNS server answers the question for "${host}" (${code})`,
      hint: "check the resolver of this host (/etc/resolv.conf), and its network",
    };
  }
  return {
    problem: `No address is known for "${host}" (${code === "" ? "lookup failed" : code})`,
    hint: "check the name for typing errors, and that it has an A or AAAA record",
  };
}

function partsOf(error: unknown): { code: string; message: string } {
  // Node tries several addresses at once and gathers what each said.
  const inner = error instanceof AggregateError && error.errors.length > 0
    ? error.errors[0] as unknown
    : error;
  const code = (inner as { readonly code?: unknown } | undefined)?.code;
  return {
    code: typeof code === "string" ? code : "",
    message: (inner instanceof Error ? inner.message : String(inner)).split("\n")[0]!,
  };
}

const KNOWN: readonly (NetworkProblem & { readonly pattern: RegExp })[] = [
  {
    pattern: /ECONNREFUSED/,
    problem: "Connection refused",
    hint: "nothing listens on this port: is the program running, and is the port right?",
  },
  {
    pattern: /ETIMEDOUT|ETIMEOUT/,
    problem: "No answer to the connection attempt",
    hint: "a firewall or security group drops it, or the address is wrong",
  },
  {
    pattern: /EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EHOSTDOWN|ENETDOWN/,
    problem: "Unreachable: this host has no route there",
    hint: "check the address, its family (IPv4, IPv6), and the routes of this host",
  },
  {
    pattern: /EACCES|EPERM/,
    problem: "This host does not let the connection out",
    hint: "check its own firewall",
  },
  {
    pattern: /ENOTFOUND|EAI_AGAIN/,
    problem: "The name of the host has no address",
    hint: "check the name, and its A or AAAA record",
  },
  {
    pattern: /WRONG_VERSION_NUMBER|wrong version number|InvalidContentType|packet length too long/i,
    problem: "What answers does not speak TLS",
    hint: "use http:// if this is a plain HTTP port, or put TLS in front of it (edge.tls_cert)",
  },
  {
    pattern: /HANDSHAKE_FAILURE|handshake.failure|PROTOCOL_VERSION|NO_SHARED_CIPHER|NO_CIPHER/i,
    problem: "The server refuses the TLS handshake",
    hint: "it wants a client certificate, an older TLS, or does not know this name (SNI)",
  },
  {
    pattern: /CERTIFICATE_REQUIRED|certificate.required/i,
    problem: "The server wants a client certificate",
    hint: "this check has none to show; look at what asks for it (auth.client_ca, or a proxy)",
  },
  {
    pattern: /UNRECOGNIZED_NAME|unrecognized.name/i,
    problem: "The server does not know this name",
    hint: "add the name to the TLS configuration of what answers there",
  },
  {
    pattern: /^HPE_|Parse Error|invalid HTTP|InvalidData|invalid.*(status line|version|token)/i,
    problem: "What answers does not speak HTTP",
    hint: "the port belongs to another program: check it",
  },
  {
    pattern: /ECONNRESET|EPIPE|socket hang up|UnexpectedEof|connection closed|ECONNABORTED/i,
    problem: "The connection was closed before an answer",
    hint:
      "what answers there may want TLS (https://), or a proxy on the way cuts: look into its log",
  },
  {
    pattern: /CERT|UNABLE_TO|SELF_SIGNED|altnames/,
    problem: "The certificate is not accepted",
    hint: "see the tls step; a private CA is given with --ca FILE",
  },
];
