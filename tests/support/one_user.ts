/** Client authentication where everybody is the same user. @module */

import type { ClientAuthentication } from "../../src/principal.ts";

/** Takes every request for one of `user`, for ever. */
export function oneUser(user: string): ClientAuthentication {
  return {
    authenticate: () => ({
      outcome: "authenticated",
      principal: { user, groups: [], how: "user_token" },
      validUntilMs: Infinity,
      stillValid: () => true,
    }),
    isCheap: () => false,
    resourceFacts: () => undefined,
  };
}
