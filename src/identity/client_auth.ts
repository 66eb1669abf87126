/** Tells who clients are, from everything that a request can prove. @module */

import type { ClientAuthentication } from "../principal.ts";
import type { UserTokenCheck } from "./user_token.ts";

/** Where proofs are looked up. */
export interface ClientAuthOptions {
  readonly userTokens: UserTokenCheck;
}

/** Asks each kind of proof in turn. */
export function clientAuthentication({ userTokens }: ClientAuthOptions): ClientAuthentication {
  return {
    authenticate({ authorization }) {
      if (authorization === undefined) return { outcome: "missing" };
      const known = userTokens.check(authorization);
      if (known === undefined) return { outcome: "invalid", reason: "unknown token" };
      return {
        outcome: "authenticated",
        principal: { user: known.user, groups: [], how: "user_token" },
        validUntilMs: Infinity,
        stillValid: () => true,
      };
    },
    resourceFacts: () => undefined,
  };
}
