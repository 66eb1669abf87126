/** PEM armor around DER bytes (RFC 7468). @module */

import { Buffer } from "node:buffer";

/** What a PEM block holds. */
export type PemLabel = "CERTIFICATE" | "PRIVATE KEY";

/** One PEM block with 64-character lines and a final line feed. */
export function pemOfDer(label: PemLabel, der: Uint8Array): string {
  const body = Buffer.from(der).toString("base64").replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN ${label}-----\n${body}-----END ${label}-----\n`;
}

/**
 * The DER bytes of the only block with this label; `undefined` when there is none, or more than
 * one.
 */
export function derOfPem(label: PemLabel, pem: string): Uint8Array<ArrayBuffer> | undefined {
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  const from = pem.indexOf(begin);
  const to = pem.indexOf(end);
  if (from === -1 || to < from || pem.indexOf(begin, from + 1) !== -1) return undefined;
  const body = pem.slice(from + begin.length, to).replace(/[\r\n]/g, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(body)) return undefined;
  return new Uint8Array(Buffer.from(body, "base64"));
}
