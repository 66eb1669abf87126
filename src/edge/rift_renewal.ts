/**
 * Renewals that one rift connection asks for: how often, with what proof, and what it is told.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { isRenewalProof } from "../identity/renewal.ts";
import { MAX_WIRE_DELAY_MS, RENEWAL_EVERY_MS, RENEWAL_RETRY_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Renew, RenewRefused } from "../wire/control.ts";
import type { RenewedRift, RiftAuthority, VerifiedRift } from "./edge_options.ts";

/** What renewals need. */
export interface RenewalOptions {
  readonly rifts: RiftAuthority;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Answers the renewals of one connection. */
export class RiftRenewals {
  readonly #options: RenewalOptions;
  #running = false;
  #lastMs = -Infinity;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /**
   * Makes the successor of the credential in use, or says why not.
   *
   * @throws {TunnelError} `PROTOCOL_ERROR`, at once, when another one has no answer yet.
   */
  answer(rift: VerifiedRift, message: Renew): Promise<RenewedRift | RenewRefused> {
    if (this.#running) {
      throw new TunnelError("PROTOCOL_ERROR", "Cannot take a second renew before the answer");
    }
    const nowMs = this.#options.clock.now();
    const waitMs = this.#lastMs + RENEWAL_EVERY_MS - nowMs;
    if (waitMs > 0) {
      return Promise.resolve(refused("Only one renewal a minute", Math.ceil(waitMs)));
    }
    this.#lastMs = nowMs;
    this.#running = true;
    return this.#renew(rift, message).finally(() => this.#running = false);
  }

  async #renew(
    rift: VerifiedRift,
    { publicKey, proof }: Renew,
  ): Promise<RenewedRift | RenewRefused> {
    const { rifts, clock, log } = this.#options;
    if (!isRenewalProof({ serial: rift.serial, publicKey, proof })) {
      return refused("The proof does not belong to this P-256 key and this credential", undefined);
    }
    try {
      return await rifts.renew(rift, publicKey);
    } catch (error) {
      if (error instanceof TunnelError && error.code === "REFUSED" && error.cause === undefined) {
        const inMs = (rift.renewableAtMs ?? -Infinity) - clock.wallNow();
        // What is not too early will be refused the next time too.
        const early = inMs > 0 && inMs < Infinity;
        return refused(error.message, early ? Math.min(inMs, MAX_WIRE_DELAY_MS) : undefined);
      }
      const cause = error instanceof Error ? error.cause ?? error : error;
      log.error("Cannot renew the credential of a rift", { rift: rift.name, error: String(cause) });
      return refused("The edge cannot renew credentials at the moment", RENEWAL_RETRY_MS);
    }
  }
}

function refused(reason: string, retryAfterMs: number | undefined): RenewRefused {
  return {
    type: "renew_refused",
    reason,
    retryAfterMs: retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs),
  };
}
