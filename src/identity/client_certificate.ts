/**
 * Who a client certificate is about. That it is genuine, TLS has checked.
 *
 * As in Kubernetes: the common name is the user, every organization a group.
 *
 * @module
 */

import { createHash } from "node:crypto";

import { MAX_CACHED_CERTIFICATES, MAX_GROUPS } from "../limits.ts";
import { BoundedCache } from "./bounded_cache.ts";
import { isUserName } from "./user_name.ts";
import { loadX509 } from "./x509_library.ts";

/** Who it is about, or what is wrong; the reason is for the log. */
export type CertificateIdentity =
  | {
    readonly user: string;
    readonly groups: readonly string[];
    /** Wall clock, ms. */
    readonly validUntilMs: number;
  }
  | { readonly problem: string };

/** Reads certificates and remembers the last ones: a connection shows the same with each request. */
export class CertificateReader {
  readonly #known = new BoundedCache<CertificateIdentity>(MAX_CACHED_CERTIFICATES);

  /** @param der The leaf. A promise the first time only. Never throws or rejects. */
  read(der: Uint8Array): CertificateIdentity | Promise<CertificateIdentity> {
    const key = createHash("sha256").update(der).digest("base64");
    const known = this.#known.get(key, 0);
    if (known !== undefined) return known;
    return identityOf(der).then((identity) => {
      this.#known.set(key, identity, Infinity); // a certificate never changes
      return identity;
    });
  }
}

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/**
 * With a parser of names, never from the text of a subject: Deno's writes a line break inside an
 * organization as it is, which makes `O=x` and `CN=admin` of one organization.
 */
async function identityOf(der: Uint8Array): Promise<CertificateIdentity> {
  const users: string[] = [];
  const groups = new Set<string>();
  let validUntilMs: number;
  try {
    const x509 = await loadX509();
    const certificate = new x509.X509Certificate(Uint8Array.from(der));
    // Absent means any use (RFC 5280, 4.2.1.12).
    const usages = certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages;
    if (usages !== undefined && !usages.some((usage) => String(usage) === CLIENT_AUTH)) {
      return { problem: "the certificate is not for TLS clients" };
    }
    validUntilMs = certificate.notAfter.getTime();
    for (const attributes of certificate.subjectName.toJSON()) {
      users.push(...attributes["CN"] ?? []);
      for (const organization of attributes["O"] ?? []) groups.add(organization);
    }
  } catch {
    return { problem: "the certificate cannot be read" }; // the parser's words would quote it
  }
  const [user] = users;
  if (user === undefined || users.length > 1) {
    return { problem: `the certificate has ${users.length} common names instead of one` };
  }
  if (!isPlain(user)) return { problem: "the certificate's common name is not a usable user name" };
  if (groups.size > MAX_GROUPS) {
    return { problem: `the certificate has more than ${MAX_GROUPS} organizations` };
  }
  if (![...groups].every(isPlain)) {
    return { problem: "the certificate has an organization that is not a usable name" };
  }
  if (Number.isNaN(validUntilMs)) return { problem: "the certificate has no end" };
  return { user, groups: [...groups], validUntilMs };
}

/** U+FFFD stands for bytes that are no text, and `#` begins what the parser does not know. */
function isPlain(name: string): boolean {
  return isUserName(name) && !name.includes("\ufffd") && !name.startsWith("#");
}
