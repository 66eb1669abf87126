/** Decides about rifts: who they are, whether that still holds, and their next certificate. @module */

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import type { CredentialStore, VerifiedRift } from "./credential_store.ts";
import type { TunnelCa } from "./tunnel_ca.ts";

/** What the edge asks about rifts. */
export interface RiftAuthority {
  verify(certificates: readonly Uint8Array[]): Promise<VerifiedRift>;
  recheck(rift: VerifiedRift): Promise<VerifiedRift>;
  renew(
    rift: VerifiedRift,
    publicKey: Uint8Array,
  ): Promise<{ readonly rift: VerifiedRift; readonly certificate: Uint8Array }>;
}

/** The authority of one state directory. */
export function riftAuthority(
  { store, clock }: {
    readonly ca: TunnelCa;
    readonly store: CredentialStore;
    readonly clock: Clock;
  },
): RiftAuthority {
  return {
    verify: (certificates) => store.verify(certificates, clock.wallNow()),
    recheck: (rift) => Promise.resolve(rift),
    renew: () => Promise.reject(new TunnelError("REFUSED", "Renewal is not supported")),
  };
}
