/**
 * Lets in who may use a tunnel, and tells everyone else how to get in.
 *
 * The edge is a resource server only (RFC 9728; MCP 2026-07-28, authorization): it checks tokens
 * and says where they come from.
 *
 * @module
 */

import { createHash } from "node:crypto";

import type { Clock } from "../clock.ts";
import type { ErrorCode } from "../errors.ts";
import type { Logger } from "../log.ts";
import type {
  Authenticated,
  AuthenticationResult,
  ClientAuthentication,
  ClientProof,
} from "../principal.ts";
import { FailureLimit } from "./failure_limit.ts";
import type { ServedTunnel } from "./served_tunnel.ts";

/** What came of asking: who it is, or the answer to give. */
export type GateResult =
  | { readonly kind: "open"; readonly client: Authenticated }
  | {
    readonly kind: "refused";
    readonly code: ErrorCode;
    readonly detail?: string;
    /** Flat pairs. */
    readonly headers: readonly string[];
  };

/** Someone who wants in. */
export interface Arrival {
  readonly tunnel: ServedTunnel;
  readonly proof: ClientProof;
  /** There are several `Authorization` headers: which one is meant nobody can tell. */
  readonly isAmbiguous: boolean;
  /** What failures are counted by. */
  readonly address: string;
  /** Its connection. */
  readonly connection: object;
}

/** The user token that a connection showed last, and whose it is. */
interface Shown {
  readonly authorization: string;
  readonly client: Authenticated;
}

/** One for all tunnels with `auth = "edge"`; the ways to prove oneself may change. */
export class ClientGate {
  clientAuth: ClientAuthentication | undefined;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #failures: FailureLimit;
  /** Clients show the same token with every request of a connection: to look it up costs 5 µs each. */
  readonly #shown = new WeakMap<object, Shown>();

  constructor(
    { clock, log, clientAuth }: {
      readonly clock: Clock;
      readonly log: Logger;
      readonly clientAuth: ClientAuthentication | undefined;
    },
  ) {
    this.#log = log;
    this.#clock = clock;
    this.#failures = new FailureLimit(clock);
    this.clientAuth = clientAuth;
  }

  /** A promise only when something must be fetched or computed elsewhere. Never rejects. */
  check(arrival: Arrival): GateResult | Promise<GateResult> {
    const { proof, isAmbiguous, address, connection } = arrival;
    const shown = this.#shown.get(connection);
    if (shown !== undefined && !isAmbiguous && shown.authorization === proof.authorization) {
      const { client } = shown;
      if (client.stillValid() && this.#clock.wallNow() < client.validUntilMs) {
        return { kind: "open", client };
      }
    }
    if (proof.authorization !== undefined && this.#failures.isBlocked(address)) {
      return this.#checkBlocked(arrival);
    }
    if (isAmbiguous) {
      return this.#judge(arrival, { outcome: "invalid", reason: "several Authorization headers" });
    }
    if (this.clientAuth === undefined) return this.#judge(arrival, { outcome: "missing" });
    const result = this.clientAuth.authenticate(proof);
    return result instanceof Promise
      ? result.then((settled) => this.#judge(arrival, settled))
      : this.#judge(arrival, result);
  }

  /** Of an address that guesses: only who needs no work to be known gets in. */
  #checkBlocked({ proof, isAmbiguous, address }: Arrival): GateResult {
    if (!isAmbiguous && this.clientAuth?.isCheap(proof) === true) {
      const result = this.clientAuth.authenticate(proof);
      if (!(result instanceof Promise) && result.outcome === "authenticated") {
        return { kind: "open", client: result };
      }
    }
    return {
      kind: "refused",
      code: "TOO_MANY_FAILURES",
      headers: ["Retry-After", String(this.#failures.retryAfterS(address))],
    };
  }

  #judge(arrival: Arrival, result: AuthenticationResult): GateResult {
    const { tunnel, proof, address, connection } = arrival;
    switch (result.outcome) {
      case "authenticated":
        // Others depend on the tunnel, or on what is fetched anew.
        if (result.principal.how === "user_token" && proof.authorization !== undefined) {
          this.#shown.set(connection, { authorization: proof.authorization, client: result });
        }
        return { kind: "open", client: result };
      case "missing":
        return { kind: "refused", code: "UNAUTHENTICATED", headers: this.challenge(tunnel) };
      case "invalid":
        // The same again and again is no news: a stranger must not choose how long the log is.
        this.#log[this.#failures.failed(address, digestOf(proof)) ? "info" : "debug"](
          "Client refused",
          { tunnel: tunnel.settings.name, client: address, reason: result.reason },
        );
        return {
          kind: "refused",
          code: "UNAUTHENTICATED",
          headers: this.challenge(tunnel, "invalid_token"),
        };
      case "insufficient_scope":
        this.#log.info("Client refused", {
          tunnel: tunnel.settings.name,
          client: address,
          reason: `the token lacks a scope: ${result.scope} is needed`,
        });
        return {
          kind: "refused",
          code: "INSUFFICIENT_SCOPE",
          headers: this.challenge(tunnel, "insufficient_scope", result.scope),
        };
      case "unavailable":
        this.#log.error("Cannot check a token", {
          tunnel: tunnel.settings.name,
          reason: result.reason,
        });
        return { kind: "refused", code: "AUTH_UNAVAILABLE", headers: [] };
    }
  }

  /** `WWW-Authenticate` (RFC 6750, 3; RFC 9728, 5.1). */
  challenge(
    tunnel: ServedTunnel,
    error?: "invalid_token" | "insufficient_scope",
    neededScope?: string,
  ): string[] {
    const facts = this.clientAuth?.resourceFacts(tunnel.settings.name);
    const scope = neededScope ?? facts?.scopes.join(" ") ?? "";
    const parameters = [
      ...(error === undefined ? [] : [`error="${error}"`]),
      ...(scope === "" ? [] : [`scope="${scope}"`]),
      ...(facts === undefined ? [] : [`resource_metadata="${metadataUrl(tunnel.url)}"`]),
    ];
    return ["WWW-Authenticate", `Bearer ${parameters.join(", ")}`.trimEnd()];
  }

  /** The protected resource metadata of a tunnel (RFC 9728, 2); `undefined` without an issuer. */
  metadata(tunnel: ServedTunnel): Record<string, unknown> | undefined {
    const facts = this.clientAuth?.resourceFacts(tunnel.settings.name);
    if (facts === undefined) return undefined;
    return {
      resource: tunnel.url,
      resource_name: tunnel.settings.name,
      authorization_servers: facts.authorizationServers,
      ...(facts.scopes.length === 0 ? {} : { scopes_supported: facts.scopes }),
      bearer_methods_supported: ["header"],
    };
  }
}

/** RFC 9728, 3.1: the well-known path goes between host and path. */
export function metadataUrl(resource: string): string {
  const { origin } = new URL(resource);
  return `${origin}/.well-known/oauth-protected-resource${resource.slice(origin.length)}`;
}

function digestOf({ authorization, certificate, proxyUser }: ClientProof): string {
  const hash = createHash("sha256").update(authorization ?? proxyUser ?? "");
  if (certificate !== undefined) hash.update(certificate.der);
  return hash.digest("base64");
}
