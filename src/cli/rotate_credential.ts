/** The door to rotation. @module */

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import type { Credential } from "../identity/credential.ts";
import type { CredentialStore } from "../identity/credential_store.ts";
import type { TunnelCa } from "../identity/tunnel_ca.ts";

/** What {@link rotateRiftCredential} needs. */
export interface RotateOptions {
  readonly ca: TunnelCa;
  readonly store: CredentialStore;
  readonly name: string;
  readonly ttlMs?: number;
  readonly overlapMs: number;
  readonly address: string;
  readonly clock: Clock;
}

/** Makes a new credential of the same name; the old one ends after the overlap. */
export function rotateRiftCredential(options: RotateOptions): Promise<Credential> {
  return Promise.reject(
    new TunnelError("USAGE", `Cannot rotate "${options.name}": not supported yet`),
  );
}
