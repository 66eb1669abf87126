/** The certificate of the public listener, read and tried before anything listens. @module */

import { createPrivateKey, X509Certificate } from "node:crypto";

import type { LoadedConfig } from "../config/load.ts";
import { TunnelError } from "../errors.ts";
import { MAX_PEM_FILE_BYTES } from "../limits.ts";
import { readNamedFile, unreadReason } from "../runtime/named_file.ts";

/** What the public listener needs for HTTPS, and the CAs of client certificates. */
export interface PublicTls {
  readonly certPem: string;
  readonly keyPem: string;
  readonly clientCaPem?: string | undefined;
}

/**
 * Reads `edge.tls_cert` and `edge.tls_key`; `undefined` without them.
 *
 * @throws {TunnelError} `CONFIG_INVALID`, with the place of the key, the file and what to do.
 */
export function readPublicTls({ config, place }: LoadedConfig): PublicTls | undefined {
  const { tlsCert, tlsKey } = config.edge;
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const certPlace = place(["edge", "tls_cert"]);
  const keyPlace = place(["edge", "tls_key"]);
  const certPem = readPem(certPlace, tlsCert, /-----BEGIN CERTIFICATE-----/, "certificate");
  const keyPem = readPem(keyPlace, tlsKey, /-----BEGIN [A-Z ]*PRIVATE KEY-----/, "private key");
  // Asked here, for the HTTPS servers of the runtimes differ: one throws, one fails every handshake.
  const certificate = parse(
    () => new X509Certificate(certPem),
    `${certPlace}: ${JSON.stringify(tlsCert)} holds no certificate that can be read ` +
      "(copy the PEM file anew from where it was issued)",
  );
  const key = parse(
    () => createPrivateKey(keyPem),
    `${keyPlace}: ${JSON.stringify(tlsKey)} holds no private key that can be read ` +
      "(it must be PEM, and without a passphrase)",
  );
  if (!certificate.checkPrivateKey(key)) {
    throw invalid(
      `${keyPlace}: ${JSON.stringify(tlsKey)} is not the key of ${JSON.stringify(tlsCert)} ` +
        "(name the key that the certificate was issued for; the certificate itself comes first " +
        "in its file, then those of its issuers)",
    );
  }
  return { certPem, keyPem, clientCaPem: readClientCa(config.auth.clientCa, place) };
}

/** The certificates of `auth.client_ca`: at least one, and every one readable. */
function readClientCa(path: string | undefined, place: LoadedConfig["place"]): string | undefined {
  if (path === undefined) return undefined;
  const caPlace = place(["auth", "client_ca"]);
  const pem = readPem(caPlace, path, /-----BEGIN CERTIFICATE-----/, "certificate");
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  const complaint = `${caPlace}: ${JSON.stringify(path)} holds a certificate that cannot be read ` +
    "(copy the PEM file anew)";
  const isCa = blocks.map((block) => parse(() => new X509Certificate(block).ca, complaint));
  if (blocks.length === 0 || isCa.includes(false)) {
    throw invalid(
      `${caPlace}: ${JSON.stringify(path)} holds a certificate that is not one of a CA ` +
        "(list the CAs that issue client certificates, not the clients)",
    );
  }
  return pem;
}

function readPem(place: string, path: string, marker: RegExp, noun: string): string {
  let text: string;
  try {
    text = readNamedFile(path, MAX_PEM_FILE_BYTES).bytes.toString("utf8");
  } catch (error) {
    const reason = unreadReason(error, {
      ENOENT:
        `no such file (write the path of the PEM ${noun}; a relative one starts from the folder of the configuration)`,
      EACCES: "permission denied (let the user that runs the edge read it)",
    });
    throw invalid(`${place}: cannot read ${JSON.stringify(path)}: ${reason}`, error);
  }
  if (marker.test(text)) return text;
  throw invalid(
    `${place}: ${JSON.stringify(path)} holds no PEM ${noun} (it is text with a line ` +
      `-----BEGIN ${noun.toUpperCase()}-----)`,
  );
}

function parse<T>(read: () => T, complaint: string): T {
  try {
    return read();
  } catch (error) {
    throw invalid(complaint, error);
  }
}

function invalid(message: string, cause?: unknown): TunnelError {
  return new TunnelError("CONFIG_INVALID", message, cause === undefined ? undefined : { cause });
}
