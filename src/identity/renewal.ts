/**
 * Renewal of a rift's certificate over its own tunnel: the rift's new key and its proof, the edge's
 * look at the proof, and the rift's look at the certificate. The private key never travels.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";

import {
  type CertifiedKey,
  isIssuedBy,
  isKeyOf,
  isP256PublicKey,
  readCertificate,
  type TlsMaterial,
} from "./certificate.ts";
import { pemOfDer } from "./pem.ts";

/** A key that waits for its certificate. */
export interface RenewalKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** PKCS #8, PEM. */
  readonly keyPem: string;
  /**
   * Shows that the private key is here, for the renewal of one credential only.
   *
   * @param serial Of the certificate in use, lower-case hexadecimal.
   */
  prove(serial: string): Uint8Array;
}

/** A certificate and key that take the place of the ones in use. */
export interface RenewedMaterial extends CertifiedKey {
  readonly expiresAtMs: number;
}

/** Makes a P-256 key. */
export function makeRenewalKey(): RenewalKey {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = Uint8Array.from(publicKey.export({ type: "spki", format: "der" }));
  return {
    publicKey: spki,
    keyPem: pemOfDer("PRIVATE KEY", privateKey.export({ type: "pkcs8", format: "der" })),
    prove: (serial) => Uint8Array.from(sign("sha256", provedBytes(serial, spki), privateKey)),
  };
}

/** Was `proof` made with the private key of `publicKey`, for the credential with this serial number? */
export function isRenewalProof({ serial, publicKey, proof }: {
  readonly serial: string;
  readonly publicKey: Uint8Array;
  readonly proof: Uint8Array;
}): boolean {
  if (!isP256PublicKey(publicKey)) return false;
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
    return verify("sha256", provedBytes(serial, publicKey), key, proof);
  } catch {
    return false; // a proof that is no signature at all
  }
}

/**
 * Looks at a certificate that the edge has made for `keyPem`.
 *
 * @param current What is in use.
 * @returns What is wrong with it, when it cannot take the place of the current one.
 */
export function readRenewed(current: TlsMaterial, { certificate, keyPem }: {
  readonly certificate: Uint8Array;
  readonly keyPem: string;
}): RenewedMaterial | { readonly problem: string } {
  const before = readCertificate(current.certPem);
  const facts = readCertificate(certificate);
  if (facts === undefined || facts.isCa) return { problem: "it is not a client certificate" };
  const certPem = pemOfDer("CERTIFICATE", certificate);
  if (!isIssuedBy(certPem, current.caPem)) return { problem: "it is not from the edge's CA" };
  if (!isKeyOf(keyPem, certPem)) return { problem: "it is for another key" };
  if (facts.commonName === undefined || facts.commonName !== before?.commonName) {
    return { problem: "it is for another name" };
  }
  if (facts.notAfterMs <= before.notAfterMs) {
    return { problem: "it does not end later than the one in use" };
  }
  return { certPem, keyPem, expiresAtMs: facts.notAfterMs };
}

/** A fixed text first, so that no signature of another protocol passes for this one. */
function provedBytes(serial: string, publicKey: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`mcptun/1 renew\0${serial}\0`, "latin1"), publicKey]);
}
