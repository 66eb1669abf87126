/**
 * Who an exchange is for, and the question that the front door asks about it.
 *
 * Here, at the bottom, because identity answers it, the edge asks it and policy judges by it.
 *
 * @module
 */

/** Who a client has shown to be. */
export interface Principal {
  /** Visible text, at most `MAX_USER_CHARS` characters. */
  readonly user: string;
  /** At most `MAX_GROUPS`. */
  readonly groups: readonly string[];
  /** How it was proved. */
  readonly how: "user_token" | "jwt" | "certificate" | "proxy_header";
  /** Whose token proved it, with `jwt`: an issuer identifier, which is a URL. */
  readonly issuer?: string | undefined;
}

/**
 * Whose sessions, places and shares these are. Nobody else is the same owner: each issuer gives names
 * of its own, so "alice" of two of them is two people.
 */
export function ownerOf(principal: Principal): string {
  let owner = OWNERS.get(principal);
  if (owner === undefined) {
    const { how, issuer, user } = principal;
    // With its length, so that no name can continue an issuer.
    owner = issuer === undefined ? `${how} ${user}` : `${how} ${issuer.length}:${issuer} ${user}`;
    OWNERS.set(principal, owner);
  }
  return owner;
}

/** One text for each, as long as somebody is remembered. */
const OWNERS = new WeakMap<Principal, string>();

/** All of a request that can prove who sent it. */
export interface ClientProof {
  /** Name of the tunnel. */
  readonly tunnel: string;
  /** The one `Authorization` header; `undefined` when there is none. */
  readonly authorization: string | undefined;
  /** The certificate of the TLS connection; verified against the `auth.client_ca` in force, or not. */
  readonly certificate: { readonly der: Uint8Array; readonly isVerified: boolean } | undefined;
  /** What a proxy of the operator says; `undefined` unless the peer is one of `trusted_proxies`. */
  readonly proxyUser: string | undefined;
  readonly proxyGroups: string | undefined;
}

/** A client that was recognized. */
export interface Authenticated {
  readonly outcome: "authenticated";
  readonly principal: Principal;
  /** When the proof ends, wall clock, ms; `Infinity` when it does not. */
  readonly validUntilMs: number;
  /** Is the proof still good, as far as can be told without the request? For exchanges in flight. */
  readonly stillValid: () => boolean;
}

/** What came of asking. */
export type AuthenticationResult =
  | Authenticated
  /** Nothing was shown. */
  | { readonly outcome: "missing" }
  /** Something was shown, and it is not good. `reason` is for the log: no secrets. */
  | { readonly outcome: "invalid"; readonly reason: string }
  /** Known, but lacking a scope; `scope` lists all that are needed, as OAuth writes them. */
  | { readonly outcome: "insufficient_scope"; readonly scope: string }
  /** It cannot be told now, for example because the issuer's keys cannot be fetched. */
  | { readonly outcome: "unavailable"; readonly reason: string };

/** What a tunnel's protected resource metadata says (RFC 9728), besides its `resource`. */
export interface ResourceFacts {
  /** Issuer identifiers; never empty. */
  readonly authorizationServers: readonly string[];
  readonly scopes: readonly string[];
}

/** Tells who clients are. */
export interface ClientAuthentication {
  /**
   * Can {@link authenticate} answer with a lookup, without fetching or checking signatures? Asked for
   * addresses that guess: what costs nothing need not be refused unread.
   */
  isCheap(proof: ClientProof): boolean;
  /** Never throws or rejects: what goes wrong is an outcome. A promise only when it must wait. */
  authenticate(proof: ClientProof): AuthenticationResult | Promise<AuthenticationResult>;
  /** `undefined` when no issuer of tokens serves the tunnel. */
  resourceFacts(tunnel: string): ResourceFacts | undefined;
}
