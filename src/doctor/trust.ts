/** The certificates that a client on this host trusts: the runtime's, the system's, and `--ca`. @module */

import * as tls from "node:tls";

import { MAX_PEM_FILE_BYTES } from "../limits.ts";
import { readNamedFile } from "../runtime/named_file.ts";

/** What else is trusted. */
export interface TrustOptions {
  /** PEM certificates of `--ca`. */
  readonly extraPem?: string | undefined;
  /** `NODE_EXTRA_CA_CERTS`, `SSL_CERT_FILE`. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Every trusted root, PEM. */
export function trustedRoots({ extraPem, env }: TrustOptions): string[] {
  const roots = new Set(tls.rootCertificates);
  for (const pem of [...fromRuntime(), ...fromFiles(env), ...certificatesOf(extraPem ?? "")]) {
    roots.add(pem);
  }
  return [...roots];
}

/** The PEM certificates in a text. */
export function certificatesOf(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** From Node 22.15 on and on Deno the runtime knows where the system keeps its own. */
function fromRuntime(): string[] {
  const { getCACertificates } = tls as {
    readonly getCACertificates?: (type: "default" | "system") => string[];
  };
  if (getCACertificates === undefined) return [];
  return [...getCACertificates("default"), ...getCACertificates("system")];
}

function fromFiles(env: TrustOptions["env"]): string[] {
  const system = [env["SSL_CERT_FILE"], ...SYSTEM_BUNDLES]
    .flatMap((path) => path === undefined || path === "" ? [] : read(path))
    .find((pems) => pems.length > 0);
  const extra = env["NODE_EXTRA_CA_CERTS"];
  return [...(system ?? []), ...(extra === undefined ? [] : read(extra).flat())];
}

function read(path: string): string[][] {
  try {
    return [certificatesOf(readNamedFile(path, MAX_PEM_FILE_BYTES).bytes.toString("utf8"))];
  } catch {
    return []; // what is not there is not trusted; the next place is asked
  }
}

/** Debian and Alpine, Fedora, SUSE, macOS and BSD. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
