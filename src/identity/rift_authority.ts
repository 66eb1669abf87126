/** Decides about rifts: who they are, whether that still holds, and their next certificate. @module */

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { isP256PublicKey } from "./certificate.ts";
import {
  type CredentialRecord,
  type CredentialStore,
  lifetimeOf,
  verifiedOf,
  type VerifiedRift,
} from "./credential_store.ts";
import { derOfPem } from "./pem.ts";
import type { TunnelCa } from "./tunnel_ca.ts";

/** A rift that was verified: which credential, and when it was to end, wall clock, ms. */
export type KnownRift = Pick<VerifiedRift, "serial" | "expiresAtMs">;

/** What the edge asks about rifts. A refusal is a {@link TunnelError} `REFUSED` without a cause. */
export interface RiftAuthority {
  /** Who is behind a certificate chain, DER, leaf first, that the handshake has checked? */
  verify(certificates: readonly Uint8Array[]): Promise<VerifiedRift>;
  /** What holds now for a rift that is connected. */
  recheck(rift: KnownRift): Promise<VerifiedRift>;
  /**
   * Makes and stores the successor of a rift's credential: same name, same tunnels, same lifetime,
   * for a key that the rift has shown to hold. The one in use stays good until its own end.
   *
   * @param publicKey SubjectPublicKeyInfo, DER, P-256.
   */
  renew(
    rift: KnownRift,
    publicKey: Uint8Array,
  ): Promise<{ readonly rift: VerifiedRift; readonly certificate: Uint8Array }>;
}

/** What {@link riftAuthority} needs. */
export interface RiftAuthorityOptions {
  readonly ca: TunnelCa;
  readonly store: CredentialStore;
  readonly clock: Clock;
  /** Told of a credential that was renewed twice. */
  readonly log?: Logger | undefined;
}

/** The authority of one state directory. */
export function riftAuthority(options: RiftAuthorityOptions): RiftAuthority {
  const { store, clock } = options;
  return {
    verify: (certificates) => store.verify(certificates, clock.wallNow()),
    recheck: (rift) => store.recheck(rift, clock.wallNow()),
    async renew(rift, publicKey) {
      try {
        return await renew(options, rift.serial, publicKey);
      } catch (cause) {
        if (cause instanceof TunnelError && cause.code === "REFUSED") throw cause;
        // Disk, lock, or the end of the CA: the edge's own trouble, and not for the rift's eyes.
        throw new TunnelError("REFUSED", "The edge cannot renew credentials at the moment", {
          cause,
        });
      }
    },
  };
}

async function renew(
  { ca, store, clock, log }: RiftAuthorityOptions,
  renews: string,
  publicKey: Uint8Array,
): ReturnType<RiftAuthority["renew"]> {
  if (!isP256PublicKey(publicKey)) {
    throw new TunnelError("REFUSED", "The new key is not a P-256 key");
  }
  const issuedAtMs = Math.trunc(clock.wallNow());
  const before = await store.renewable(renews, issuedAtMs);
  const { name, tunnels } = before;
  // Kept to the millisecond: certificates hold whole seconds, and each renewal would lose a part.
  const lifetimeMs = lifetimeOf(before);
  const made = await ca.certify({ name, ttlMs: lifetimeMs, publicKey });
  const { certPem, serial, expiresAtMs } = made;
  const certificate = derOfPem("CERTIFICATE", certPem);
  if (certificate === undefined) throw new TypeError("Cannot read the certificate just made");
  if (expiresAtMs <= before.expiresAtMs) {
    throw new TunnelError(
      "REFUSED",
      "This credential ends with the tunnel CA of the edge: nothing can be renewed any more",
    );
  }
  const record: CredentialRecord & { readonly renews: string } = {
    name,
    serial,
    tunnels,
    issuedAtMs,
    expiresAtMs,
    revoked: false,
    lifetimeMs,
    renews,
  };
  if (await store.addRenewed(record) === "again") {
    log?.warn(
      "A credential was renewed twice: a rift was restarted with an old copy, or it leaked",
      {
        rift: name,
        serial: renews,
        remedy: `if you cannot tell which, on the edge run: mcptun token revoke ${name}`,
      },
    );
  }
  return { rift: verifiedOf(record, expiresAtMs), certificate };
}
