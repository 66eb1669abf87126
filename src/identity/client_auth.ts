/** Tells who clients are, from everything that a request can prove. @module */

import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type {
  AuthenticationResult,
  ClientAuthentication,
  ClientProof,
  ResourceFacts,
} from "../principal.ts";
import { type CertificateIdentity, CertificateReader } from "./client_certificate.ts";
import { type IssuerSettings, JwtCheck } from "./jwt_check.ts";
import type { Fetch } from "./jwt_fetch.ts";
import { proxyIdentity } from "./proxy_identity.ts";
import type { UserTokenSnapshot } from "./user_token_store.ts";

/** Where user tokens are looked up. */
export type UserTokenLookup = Pick<UserTokenSnapshot, "check" | "isActive">;

/** `[auth]`, as far as this folder uses it. */
export interface AuthSettings {
  /** When given, certificates that TLS has verified count. */
  readonly clientCa?: string | undefined;
  readonly issuers: readonly IssuerSettings[];
}

/** Where proofs are looked up. */
export interface ClientAuthOptions {
  readonly auth: AuthSettings;
  readonly userTokens: UserTokenLookup;
  /** The public URL of a tunnel: what tokens must be for. */
  readonly resourceOf: (tunnel: string) => string;
  readonly clock: Clock;
  readonly log: Logger;
  /** By default the global one. */
  readonly fetch?: Fetch | undefined;
}

/** A {@link ClientAuthentication} whose settings may change. */
export interface ClientAuth extends ClientAuthentication {
  /**
   * The settings from now on. Who got in by what is gone is not `stillValid`.
   *
   * @throws {TunnelError} `CONFIG_INVALID`; then nothing has changed.
   */
  update(auth: AuthSettings): void;
  /** Gives up what is being fetched. Idempotent. */
  close(): void;
}

/** @throws {TunnelError} `CONFIG_INVALID` for a malformed glob. */
export function clientAuthentication(options: ClientAuthOptions): ClientAuth {
  return new ProofCheck(options);
}

/** RFC 6750, 2.1. The scheme's case does not matter (RFC 9110, 11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;
const USER_TOKEN = /^mcpu_/;

/**
 * The first proof that is shown decides: one that is not good is never made up for by a weaker one,
 * since the client has asked to be known by it.
 */
class ProofCheck implements ClientAuth {
  readonly #userTokens: UserTokenLookup;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #jwt: JwtCheck;
  readonly #certificates = new CertificateReader();
  #takesCertificates: boolean;

  constructor({ auth, userTokens, resourceOf, clock, log, fetch }: ClientAuthOptions) {
    this.#userTokens = userTokens;
    this.#clock = clock;
    this.#log = log;
    this.#jwt = new JwtCheck({
      resourceOf,
      fetch: fetch ?? ((url, init) => globalThis.fetch(url, init)),
      clock,
      log,
    });
    this.#jwt.useIssuers(auth.issuers);
    this.#takesCertificates = auth.clientCa !== undefined;
  }

  update(auth: AuthSettings): void {
    this.#jwt.useIssuers(auth.issuers);
    this.#takesCertificates = auth.clientCa !== undefined;
  }

  close(): void {
    this.#jwt.close();
  }

  resourceFacts(tunnel: string): ResourceFacts | undefined {
    return this.#jwt.resourceFacts(tunnel);
  }

  authenticate(proof: ClientProof): AuthenticationResult | Promise<AuthenticationResult> {
    try {
      const { tunnel, authorization, certificate, proxyUser, proxyGroups } = proof;
      if (authorization !== undefined) return this.#byToken(authorization, tunnel);
      if (certificate !== undefined && this.#takesCertificates) {
        if (!certificate.isVerified) {
          return invalid("the client certificate is not of a CA in client_ca");
        }
        const identity = this.#certificates.read(certificate.der);
        return identity instanceof Promise
          ? identity.then((settled) => this.#byCertificate(settled))
          : this.#byCertificate(identity);
      }
      if (proxyUser !== undefined) return byProxy(proxyUser, proxyGroups);
      return { outcome: "missing" };
    } catch (error) {
      const { name } = error as Error; // a message could quote what was shown
      this.#log.error("Cannot check a client", { tunnel: proof.tunnel, error: name });
      return { outcome: "unavailable", reason: `an unexpected ${name}` };
    }
  }

  isCheap({ authorization, tunnel }: ClientProof): boolean {
    const token = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
    if (token === undefined) return true;
    return USER_TOKEN.test(token) || this.#jwt.remembers({ token, tunnel });
  }

  #byToken(
    authorization: string,
    tunnel: string,
  ): AuthenticationResult | Promise<AuthenticationResult> {
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) return invalid("Authorization is not one bearer token");
    return USER_TOKEN.test(token) ? this.#byUserToken(token) : this.#jwt.check({ token, tunnel });
  }

  #byUserToken(token: string): AuthenticationResult {
    const known = this.#userTokens.check(token, this.#clock.wallNow());
    if (known === undefined) return invalid("the user token is unknown, revoked or has ended");
    const { id, user, groups, validUntilMs } = known;
    return {
      outcome: "authenticated",
      principal: { user, groups, how: "user_token" },
      validUntilMs,
      // Revoked or not; what has ended has a grace, which the edge counts by validUntilMs.
      stillValid: () =>
        this.#userTokens.isActive(id, Math.min(this.#clock.wallNow(), validUntilMs - 1)),
    };
  }

  #byCertificate(identity: CertificateIdentity): AuthenticationResult {
    if ("problem" in identity) return invalid(identity.problem);
    const { user, groups, validUntilMs } = identity;
    // The handshake may have been before that.
    if (validUntilMs <= this.#clock.wallNow()) return invalid("the certificate has ended");
    return {
      outcome: "authenticated",
      principal: { user, groups, how: "certificate" },
      validUntilMs,
      stillValid: () => this.#takesCertificates,
    };
  }
}

function byProxy(user: string, groups: string | undefined): AuthenticationResult {
  const identity = proxyIdentity({ user, groups });
  if ("problem" in identity) return invalid(identity.problem);
  return {
    outcome: "authenticated",
    principal: { ...identity, how: "proxy_header" },
    validUntilMs: Infinity,
    stillValid: () => true,
  };
}

function invalid(reason: string): AuthenticationResult {
  return { outcome: "invalid", reason };
}
