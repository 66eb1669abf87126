/**
 * Certificates of the tunnel CA: making them and reading them.
 *
 * P-256 with SHA-256 throughout (RFC 5480), because every TLS library takes it. Making uses
 * `@peculiar/x509`; reading uses the runtime's own parser, which is native on Node and on Deno.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  createPrivateKey,
  createPublicKey,
  randomBytes,
  sign,
  verify,
  webcrypto,
  X509Certificate,
} from "node:crypto";

import { derOfPem, pemOfDer } from "./pem.ts";
import { loadX509 } from "./x509_library.ts";

/** A certificate, its key and the only CA trusted for the peer, all PEM; the key in PKCS #8. */
export interface TlsMaterial {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** A certificate and the key it belongs to, PEM; the key in PKCS #8. */
export interface CertifiedKey {
  readonly certPem: string;
  readonly keyPem: string;
}

/** When a certificate is valid, milliseconds since the epoch. Certificates hold whole seconds. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** What a leaf certificate says and may be used for. */
export interface LeafFacts extends Validity {
  readonly commonName: string;
  /** Extended key usage (RFC 5280, 4.2.1.12). */
  readonly usage: "server" | "client";
  /** The DNS subject alternative name, for servers. */
  readonly dnsName?: string;
}

/** What is read of a certificate. */
export interface CertificateFacts extends Validity {
  /** The subject's common name, when the subject is nothing but one. */
  readonly commonName: string | undefined;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly isCa: boolean;
  readonly dnsName: string | undefined;
}

const KEY = { name: "ECDSA", namedCurve: "P-256" } as const;
/** SubjectPublicKeyInfo of P-256 up to the coordinates: `id-ecPublicKey`, `secp256r1`, form 04. */
const P256_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
/** Two coordinates of 32 bytes. */
const P256_POINT_BYTES = 64;
const PROOF = Buffer.from("mcptun: does this key belong to this certificate?");
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;

/** Makes a CA: a self-signed certificate that may sign leaf certificates only (path length 0). */
export async function makeCa(commonName: string, validity: Validity): Promise<CertifiedKey> {
  const x509 = await loadX509();
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: makeSerial(),
    name: [{ CN: [commonName] }],
    notBefore: new Date(validity.notBeforeMs),
    notAfter: new Date(validity.notAfterMs),
    signingAlgorithm: SIGNATURE,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certPem: pemOfCertificate(certificate.rawData),
    keyPem: await pemOfKey(keys.privateKey),
  };
}

/** Makes a key pair and a certificate for it, signed by `ca`. */
export async function makeLeaf(ca: CertifiedKey, facts: LeafFacts): Promise<CertifiedKey> {
  const keys = await generateKeys();
  return {
    certPem: await certify(ca, facts, keys.publicKey),
    keyPem: await pemOfKey(keys.privateKey),
  };
}

/**
 * Makes a certificate for a key that someone else holds, signed by `ca`.
 *
 * @returns PEM.
 * @throws {TypeError} Unless {@link isP256PublicKey} holds for `publicKey`.
 */
export async function makeLeafFor(
  ca: CertifiedKey,
  facts: LeafFacts & { readonly publicKey: Uint8Array },
): Promise<string> {
  if (!isP256PublicKey(facts.publicKey)) {
    throw new TypeError("Cannot make a certificate: the key is not on P-256");
  }
  const spki = Uint8Array.from(facts.publicKey);
  return await certify(
    ca,
    facts,
    await webcrypto.subtle.importKey("spki", spki, KEY, true, ["verify"]),
  );
}

/**
 * Is this the SubjectPublicKeyInfo, DER, of a P-256 key (RFC 5480, 2) with its point uncompressed?
 * There is one spelling of each key, and no other passes.
 */
export function isP256PublicKey(spki: Uint8Array): boolean {
  if (spki.length !== P256_PREFIX.length + P256_POINT_BYTES) return false;
  if (!P256_PREFIX.equals(spki.subarray(0, P256_PREFIX.length))) return false;
  try {
    // Deno's WebCrypto takes points that are not on the curve; this does not, on both runtimes.
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" })
      .asymmetricKeyType === "ec";
  } catch {
    return false; // the point is not on the curve
  }
}

async function certify(
  ca: CertifiedKey,
  facts: LeafFacts,
  publicKey: webcrypto.CryptoKey,
): Promise<string> {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(requireDer("CERTIFICATE", ca.certPem));
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    requireDer("PRIVATE KEY", ca.keyPem),
    KEY,
    false,
    ["sign"],
  );
  const usage = facts.usage === "server"
    ? x509.ExtendedKeyUsage.serverAuth
    : x509.ExtendedKeyUsage.clientAuth;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: makeSerial(),
    subject: [{ CN: [facts.commonName] }],
    issuer: issuer.subjectName,
    notBefore: new Date(facts.notBeforeMs),
    notAfter: new Date(facts.notAfterMs),
    signingAlgorithm: SIGNATURE,
    publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([usage], false),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...(facts.dnsName === undefined
        ? []
        : [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: facts.dnsName }])]),
    ],
  });
  return pemOfCertificate(certificate.rawData);
}

/**
 * Reads a certificate.
 *
 * @param encoded PEM text, or DER bytes.
 * @returns `undefined` when it is not one certificate.
 */
export function readCertificate(encoded: string | Uint8Array): CertificateFacts | undefined {
  const certificate = parseCertificate(encoded);
  if (certificate === undefined) return undefined;
  try {
    return factsOf(certificate);
  } catch {
    return undefined; // Deno parses parts of the certificate only when they are read
  }
}

/** Is the certificate signed by this CA? Says nothing about time. */
export function isIssuedBy(certPem: string, caPem: string): boolean {
  const certificate = parseCertificate(certPem);
  const ca = parseCertificate(caPem);
  if (certificate === undefined || ca === undefined) return false;
  try {
    return ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
  } catch {
    return false; // a part that does not parse, or a key of an unknown kind
  }
}

/** Do a certificate and a PKCS #8 key belong together, and is the key on P-256? */
export function isKeyOf(keyPem: string, certPem: string): boolean {
  const certificate = parseCertificate(certPem);
  if (certificate === undefined) return false;
  try {
    const key = createPrivateKey({ key: keyPem, format: "pem" });
    if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1") return false;
    // A PKCS #8 file repeats the public key, and OpenSSL believes it: only a signature proves the
    // rest.
    const proof = sign("sha256", PROOF, key);
    return verify("sha256", PROOF, certificate.publicKey, proof);
  } catch {
    return false; // the key does not parse, so it belongs to nothing
  }
}

function factsOf(certificate: X509Certificate): CertificateFacts | undefined {
  const notBeforeMs = Date.parse(certificate.validFrom);
  const notAfterMs = Date.parse(certificate.validTo);
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) return undefined;
  return {
    commonName: /^CN=([^\n+]+)$/.exec(certificate.subject)?.[1],
    serial: certificate.serialNumber.toLowerCase(),
    isCa: certificate.ca,
    dnsName: /^DNS:([^,\s]+)$/.exec(certificate.subjectAltName ?? "")?.[1],
    notBeforeMs,
    notAfterMs,
  };
}

function parseCertificate(encoded: string | Uint8Array): X509Certificate | undefined {
  const der = typeof encoded === "string" ? derOfPem("CERTIFICATE", encoded) : encoded;
  if (der === undefined || !isOneDerSequence(der)) return undefined;
  try {
    return new X509Certificate(der);
  } catch {
    return undefined; // the parser throws for every kind of malformed input
  }
}

/**
 * Deno's parser ignores bytes after the certificate. Two length bytes: a P-256 certificate has 256
 * bytes and more.
 */
function isOneDerSequence(der: Uint8Array): boolean {
  const [tag, form, high, low] = der;
  if (high === undefined || low === undefined) return false;
  return tag === 0x30 && form === 0x82 && der.length === 4 + high * 256 + low;
}

/**
 * 126 random bits with a fixed top: positive, and always 32 hexadecimal digits (RFC 5280, 4.1.2.2
 * allows 20 bytes).
 */
function makeSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40; // randomBytes(16) has 16 bytes
  return bytes.toString("hex");
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
}

function pemOfCertificate(der: ArrayBuffer): string {
  return pemOfDer("CERTIFICATE", new Uint8Array(der));
}

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  return pemOfDer("PRIVATE KEY", new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", key)));
}

function requireDer(label: "CERTIFICATE" | "PRIVATE KEY", pem: string): Uint8Array<ArrayBuffer> {
  const der = derOfPem(label, pem);
  if (der === undefined) throw new TypeError(`Cannot sign: the CA has no ${label}`);
  return der;
}
