/** From the claims of a token whose signature is good to a user, groups and scopes. @module */

import { MAX_GROUPS } from "../limits.ts";
import { isUserName } from "./user_name.ts";

/** The claims of a token. */
export type Claims = Readonly<Record<string, unknown>>;

/** Where a token says what. */
export interface ClaimNames {
  readonly userClaim: string;
  readonly groupsClaim: string;
}

/** Who a token is about, or why that cannot be told; the reason is for the log. */
export type ClaimedIdentity =
  | { readonly user: string; readonly groups: readonly string[] }
  | { readonly problem: string };

/** Who is this token about? */
export function identityOfClaims(claims: Claims, names: ClaimNames): ClaimedIdentity {
  const user = ownClaim(claims, names.userClaim);
  if (user === undefined) {
    return { problem: `the token has no claim "${names.userClaim}" (see user_claim)` };
  }
  if (typeof user !== "string" || !isUserName(user)) {
    return { problem: `the claim "${names.userClaim}" is not a usable user name` };
  }
  const groups = groupsOfClaims(claims, names.groupsClaim);
  return "problem" in groups ? groups : { user, groups: groups.groups };
}

/**
 * Does the token have every one of these scopes? They are in `scope` (RFC 8693, 4.2; RFC 9068,
 * 2.2.3), or in `scp`: a list with Okta, a text with Entra.
 *
 * Entra wants to be asked for `api://app/read` and then writes `read`, since `aud` says of what. So
 * in a text in `scp`, and only there, the last part of such a name is enough.
 */
export function hasScopes(claims: Claims, needed: readonly string[]): boolean {
  const [scope, scp] = [ownClaim(claims, "scope"), ownClaim(claims, "scp")];
  const whole = new Set([...wordsOf(scope), ...wordsOf(scp)]);
  const short = new Set(typeof scp === "string" ? wordsOf(scp) : []);
  return needed.every((name) => {
    const last = /^[a-z]+:\/\/.+\/([^/]+)$/.exec(name)?.[1];
    return whole.has(name) || last !== undefined && short.has(last);
  });
}

function wordsOf(claim: unknown): readonly unknown[] {
  if (typeof claim === "string") return claim.split(" ");
  return Array.isArray(claim) ? claim : [];
}

/**
 * Never some of the groups: a rule that forbids something to a group would not see the rest.
 */
function groupsOfClaims(
  claims: Claims,
  name: string,
): { readonly groups: readonly string[] } | { readonly problem: string } {
  const claim = ownClaim(claims, name);
  if (claim === undefined) {
    return hasGroupsElsewhere(claims, name)
      ? {
        problem: `the token leaves the claim "${name}" out because there are too many groups ` +
          "(let the issuer send only the groups of this application, or roles)",
      }
      : { groups: [] };
  }
  const listed: readonly unknown[] | undefined = typeof claim === "string"
    ? [claim]
    : Array.isArray(claim)
    ? claim
    : undefined;
  if (listed === undefined) return { problem: `the claim "${name}" is not a list of strings` };
  if (listed.length > MAX_GROUPS) {
    return { problem: `the claim "${name}" has more than ${MAX_GROUPS} groups` };
  }
  const groups = new Set<string>();
  for (const group of listed) {
    if (typeof group !== "string" || !isUserName(group)) {
      return { problem: `the claim "${name}" has a group that is not a usable name` };
    }
    groups.add(group);
  }
  if (typeof claim === "string" && claim.includes(" ")) {
    return { problem: `the claim "${name}" is a text with spaces, not a list of strings` };
  }
  return { groups: [...groups] };
}

/** What Entra does above 200 groups: OpenID Connect Core 1.0, 5.6.2, or `hasgroups`. */
function hasGroupsElsewhere(claims: Claims, name: string): boolean {
  const elsewhere = ownClaim(claims, "_claim_names");
  const isNamed = typeof elsewhere === "object" && elsewhere !== null &&
    Object.hasOwn(elsewhere, name);
  return isNamed || name === "groups" && ownClaim(claims, "hasgroups") !== undefined;
}

function ownClaim(claims: Claims, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
