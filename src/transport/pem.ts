/** PEM text to DER bytes, for comparing and handing over certificates. @module */

import { Buffer } from "node:buffer";

/** The DER bytes of every `CERTIFICATE` block in `pem`, in order. */
export function derOfPem(pem: string): Uint8Array[] {
  const blocks = pem.matchAll(
    /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g,
  );
  return Array.from(blocks, ([, body]) => new Uint8Array(Buffer.from(body!, "base64")));
}
