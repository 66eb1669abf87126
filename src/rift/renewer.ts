/**
 * Keeps a rift's credential alive: asks the edge for the next certificate in time.
 *
 * @module
 */

import type { Clock, Timer } from "../clock.ts";
import { quicOf, TunnelError } from "../errors.ts";
import { type CertificateFacts, readCertificate } from "../identity/certificate.ts";
import { makeRenewalKey, readRenewed } from "../identity/renewal.ts";
import { CLOCK_SKEW_MS } from "../identity/tunnel_ca.ts";
import { RENEWAL_RETRY_MAX_MS, RENEWAL_RETRY_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import type { Connection, TlsMaterial } from "../transport/transport.ts";
import type { Renewed, RenewRefused } from "../wire/control.ts";
import { backoffMs } from "./backoff.ts";
import type { RenewedMaterial } from "./rift_options.ts";

/** A connection over which to ask. */
export interface RenewalLink {
  readonly connection: Connection;
  /** Have both sides agreed on renewal? */
  readonly renewable: boolean;
  /** @returns `undefined` when the connection ended first. */
  renew(publicKey: Uint8Array, proof: Uint8Array): Promise<Renewed | RenewRefused | undefined>;
}

/** Options of {@link Renewer}. */
export interface RenewerOptions {
  readonly tls: TlsMaterial;
  readonly clock: Clock;
  readonly log: Logger;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly onRenewed?: ((material: RenewedMaterial) => void | Promise<void>) | undefined;
  readonly signal: AbortSignal;
}

/** The credential of one rift, as it is now. */
export class Renewer {
  readonly #options: RenewerOptions;
  #tls: TlsMaterial;
  #facts: CertificateFacts | undefined;
  /** When to ask, wall clock, ms; `Infinity` when there is nothing to hope for. */
  #dueAtMs = Infinity;
  #endsMs = 0;
  #failures = 0;
  #asking = false;
  #warned = false;
  #link: RenewalLink | undefined;
  #timer: Timer | undefined;

  constructor(options: RenewerOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#take(options.tls);
    options.signal.addEventListener("abort", () => this.#timer?.cancel(), { once: true });
  }

  /** What to dial with. Another object once it was renewed. */
  get tls(): TlsMaterial {
    return this.#tls;
  }

  /** Goes on with another credential of this rift. */
  replace(tls: TlsMaterial): void {
    this.#take(tls);
    this.#look();
  }

  /** The one in use ends early, wall clock of the edge, ms, and is not renewed. */
  endsEarly({ endsMs, reason }: { readonly endsMs: number; readonly reason: string }): void {
    this.#endsMs = endsMs;
    this.#dueAtMs = Infinity;
    this.#warn(
      reason,
      "put the credential that was made in its place into the token file, or restart the rift with it",
    );
  }

  /** The connection to ask over from now on, which was dialed with {@link tls}; or none. */
  use(link: RenewalLink | undefined): void {
    this.#link = link;
    this.#look();
  }

  #take(tls: TlsMaterial): void {
    this.#tls = tls;
    this.#facts = readCertificate(tls.certPem);
    this.#endsMs = this.#facts?.notAfterMs ?? 0;
    this.#failures = 0;
    this.#warned = false;
    this.#dueAtMs = this.#facts === undefined
      ? Infinity
      : renewalDueMs(this.#facts, this.#options.random());
  }

  #look(): void {
    const { clock, signal } = this.#options;
    this.#timer?.cancel();
    const facts = this.#facts;
    const link = this.#link;
    // Without a connection, the next one comes here again.
    if (facts === undefined || link === undefined || this.#asking || signal.aborted) return;
    const leftMs = this.#dueAtMs - clock.wallNow();
    if (leftMs > 0) {
      // Looks again now and then: the wall clock may be set, which no timer notices.
      const waitMs = Math.min(leftMs, RENEWAL_RETRY_MAX_MS);
      this.#timer = clock.setTimer(waitMs, () => this.#look(), "no");
      return;
    }
    if (!link.renewable) return this.#warn("The edge does not support renewal");
    this.#asking = true;
    // Handles its own failures.
    void this.#ask(link, facts);
  }

  async #ask(link: RenewalLink, facts: CertificateFacts): Promise<void> {
    const { log } = this.#options;
    const before = this.#tls;
    const key = makeRenewalKey();
    const answer = await link.renew(key.publicKey, key.prove(facts.serial));
    this.#asking = false;
    if (this.#tls !== before) return this.#look(); // another credential took its place meanwhile
    if (answer === undefined) return this.#retry("The connection ended", 0);
    if (answer.type === "renew_refused") {
      if (answer.retryAfterMs !== undefined) return this.#retry(answer.reason, answer.retryAfterMs);
      this.#dueAtMs = Infinity;
      return this.#warn(answer.reason);
    }
    const { certificate } = answer;
    const renewed = readRenewed(this.#tls, { certificate, keyPem: key.keyPem });
    if ("problem" in renewed) {
      this.#retry(`The new certificate cannot be used: ${renewed.problem}`, 0);
      // The edge now believes that this rift has it.
      link.connection.close(quicOf("PROTOCOL_ERROR"), "certificate not usable");
      return;
    }
    const { certPem, keyPem, expiresAtMs } = renewed;
    this.#take({ caPem: this.#tls.caPem, certPem, keyPem });
    log.info("Credential renewed", { ends: new Date(expiresAtMs).toISOString() });
    this.#look();
    try {
      await this.#options.onRenewed?.(renewed);
    } catch (error) {
      log.warn("The renewed credential is not kept: it is lost when this rift ends", {
        error: error instanceof TunnelError ? error.message : String(error),
      });
    }
  }

  #retry(reason: string, leastMs: number): void {
    const { clock, log, random } = this.#options;
    const range = { firstMs: RENEWAL_RETRY_MS, maxMs: RENEWAL_RETRY_MAX_MS };
    // At least the whole step, and up to a quarter more.
    const waitMs = Math.max(backoffMs(range, ++this.#failures, 1 + random() / 4), leastMs);
    this.#dueAtMs = clock.wallNow() + waitMs;
    log.warn("Credential not renewed yet", { reason, retryInMs: waitMs, ends: this.#ends });
    this.#look();
  }

  /** Once per credential. */
  #warn(
    reason: string,
    remedy = `on the edge run: mcptun token rotate ${this.#facts?.commonName ?? "NAME"}`,
  ): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#options.log.warn("The credential cannot be renewed: replace it before it ends", {
      reason,
      ends: this.#ends,
      remedy,
    });
  }

  get #ends(): string {
    return new Date(this.#endsMs).toISOString();
  }
}

/**
 * When to ask for the next certificate: with between a third and a quarter of the lifetime left, so
 * that rifts that began together do not ask together.
 *
 * @param random Between 0 and 1.
 */
export function renewalDueMs(
  { notBeforeMs, notAfterMs }: Pick<CertificateFacts, "notBeforeMs" | "notAfterMs">,
  random: number,
): number {
  // Certificates begin a little before they are made.
  const lifetimeMs = Math.max(notAfterMs - notBeforeMs - CLOCK_SKEW_MS, 0);
  return notAfterMs - lifetimeMs / 3 + random * lifetimeMs / 12;
}
