/**
 * Certificates for transport tests, made in memory: good ones, and one of each kind of bad ones.
 *
 * @module
 */

import { webcrypto } from "node:crypto";

import {
  type CertifiedKey,
  makeCa,
  makeLeaf,
  type TlsMaterial,
  type Validity,
} from "../../src/identity/certificate.ts";
import { pemOfDer } from "../../src/identity/pem.ts";
import { SERVER_NAME } from "../../src/identity/tunnel_ca.ts";
import { loadX509 } from "../../src/identity/x509_library.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;

/** Every material trusts the same CA, except where its comment says otherwise. */
export interface TestPki {
  readonly ca: CertifiedKey;
  readonly caPem: string;
  /** A good server for `SERVER_NAME`. */
  readonly server: TlsMaterial;
  /** A good client with the common name "test-rift". */
  readonly client: TlsMaterial;
  /** A client from another CA; it trusts ours, so only the server can refuse. */
  readonly foreignClient: TlsMaterial;
  /** A client whose certificate ended yesterday. */
  readonly expiredClient: TlsMaterial;
  /** A client whose certificate begins tomorrow. */
  readonly futureClient: TlsMaterial;
  /** A client that made its certificate itself. */
  readonly selfSignedClient: TlsMaterial;
  /** A client that presents a server's certificate. */
  readonly serverCertificateClient: TlsMaterial;
  /** A good client that trusts another CA: it must refuse our server. */
  readonly mistrustingClient: TlsMaterial;
  /** A server from another CA. */
  readonly foreignServer: TlsMaterial;
  /** A server of our CA with another name. */
  readonly wrongNameServer: TlsMaterial;
  /** A server whose certificate ended yesterday. */
  readonly expiredServer: TlsMaterial;
  /** A server that presents a client's certificate. */
  readonly clientCertificateServer: TlsMaterial;
}

/**
 * Makes one set; about 300 ms, most of it loading the library. Certificates are valid around
 * `nowMs`, by default the system time.
 */
export async function makeTestPki(nowMs: number = Date.now()): Promise<TestPki> {
  const validity = { notBeforeMs: nowMs - DAY_MS, notAfterMs: nowMs + DAY_MS };
  const past = { notBeforeMs: nowMs - 2 * DAY_MS, notAfterMs: nowMs - DAY_MS };
  const future = { notBeforeMs: nowMs + DAY_MS, notAfterMs: nowMs + 2 * DAY_MS };
  const wide = { notBeforeMs: nowMs - 3 * DAY_MS, notAfterMs: nowMs + 3 * DAY_MS };
  const ca = await makeCa("test CA", wide);
  const otherCa = await makeCa("other test CA", wide);
  const trusting = (root: CertifiedKey, pair: CertifiedKey): TlsMaterial => ({
    caPem: root.certPem,
    ...pair,
  });
  const ours = (pair: CertifiedKey) => trusting(ca, pair);
  const server = await makeServer(ca, validity, SERVER_NAME);
  const client = await makeClient(ca, validity);
  return {
    ca,
    caPem: ca.certPem,
    server: ours(server),
    client: ours(client),
    foreignClient: ours(await makeClient(otherCa, validity)),
    expiredClient: ours(await makeClient(ca, past)),
    futureClient: ours(await makeClient(ca, future)),
    selfSignedClient: ours(await makeSelfSigned(validity)),
    serverCertificateClient: ours(server),
    mistrustingClient: trusting(otherCa, client),
    foreignServer: ours(await makeServer(otherCa, validity, SERVER_NAME)),
    wrongNameServer: ours(await makeServer(ca, validity, "other-edge")),
    expiredServer: ours(await makeServer(ca, past, SERVER_NAME)),
    clientCertificateServer: ours(client),
  };
}

/** A client certificate of `ca`, for tests that need one more. */
export function makeClient(
  ca: CertifiedKey,
  validity: Validity,
  commonName = "test-rift",
): Promise<CertifiedKey> {
  return makeLeaf(ca, { ...validity, commonName, usage: "client" });
}

function makeServer(ca: CertifiedKey, validity: Validity, name: string): Promise<CertifiedKey> {
  return makeLeaf(ca, { ...validity, commonName: name, dnsName: name, usage: "server" });
}

/**
 * BoringSSL does not even load a certificate of its own side without the digitalSignature usage.
 */
async function makeSelfSigned({ notBeforeMs, notAfterMs }: Validity): Promise<CertifiedKey> {
  const x509 = await loadX509();
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  const keys = await webcrypto.subtle.generateKey(curve, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: [{ CN: ["test-rift"] }],
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    keys,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
    ],
  });
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    certPem: pemOfDer("CERTIFICATE", new Uint8Array(certificate.rawData)),
    keyPem: pemOfDer("PRIVATE KEY", new Uint8Array(key)),
  };
}
