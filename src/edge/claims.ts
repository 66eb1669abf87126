/**
 * The tunnels of one rift connection: which it may serve, which it serves, and which it was refused
 * because the edge does not declare them, in case it does later.
 *
 * @module
 */

import { MAX_TUNNELS_PER_RIFT } from "../limits.ts";
import type { Refusal, RefusalCode, TunnelClaim } from "../wire/control.ts";
import type { TunnelSettings, VerifiedRift } from "./edge_options.ts";

/** What the answer to claims depends on. */
export interface ClaimRules {
  readonly tunnels: ReadonlyMap<string, TunnelSettings>;
  readonly rift: VerifiedRift;
}

/** The answer to claims: each is in one of the two. */
export interface ClaimAnswer {
  readonly granted: readonly string[];
  readonly refusals: readonly TunnelRefusal[];
}

/** The refusal of one claim. */
export type TunnelRefusal = Refusal & { readonly tunnel: string };

/** What a change of the rules brings. */
export interface ClaimChange extends ClaimAnswer {
  /** Tunnels that are not served any more; each is among `refusals`. */
  readonly withdrawn: readonly string[];
}

/** The claims of one connection. */
export class Claims {
  readonly #granted = new Map<string, TunnelClaim>();
  /** Not declared, or with another protocol: a new configuration may change that. */
  readonly #undeclared = new Map<string, TunnelClaim>();

  /** The tunnels it serves. */
  get granted(): readonly string[] {
    return [...this.#granted.keys()];
  }

  /** Answers claims, and keeps what is granted. */
  claim(claims: readonly TunnelClaim[], rules: ClaimRules): ClaimAnswer {
    const granted: string[] = [];
    const refusals: TunnelRefusal[] = [];
    for (const claim of claims) {
      const refusal = this.#refusalOf(claim, rules);
      this.#undeclared.delete(claim.name);
      if (refusal === undefined) {
        this.#granted.set(claim.name, claim);
        granted.push(claim.name);
        continue;
      }
      refusals.push(refusal);
      if (refusal.code === "tunnel_unknown") this.#remember(claim);
    }
    return { granted, refusals };
  }

  /** Gives a tunnel back. @returns Whether it was served. */
  release(name: string): boolean {
    this.#undeclared.delete(name);
    return this.#granted.delete(name);
  }

  /** Forgets everything. @returns What was served. */
  clear(): readonly string[] {
    const names = this.granted;
    this.#granted.clear();
    this.#undeclared.clear();
    return names;
  }

  /** Applies new rules: withdraws what they do not allow, and grants what they now do. */
  judgeAgain(rules: ClaimRules): ClaimChange {
    const refusals: TunnelRefusal[] = [];
    const withdrawn: TunnelClaim[] = [];
    for (const claim of this.#granted.values()) {
      const refusal = refusalOf(claim, rules);
      if (refusal === undefined) continue;
      withdrawn.push(claim);
      refusals.push(refusal);
    }
    for (const { name } of withdrawn) this.#granted.delete(name);
    const allowed = [...this.#undeclared.values()]
      .filter((claim) => refusalOf(claim, rules) === undefined);
    const answer = this.claim(allowed, rules);
    for (const [index, claim] of withdrawn.entries()) {
      if (refusals[index]?.code === "tunnel_unknown") this.#remember(claim);
    }
    return {
      withdrawn: withdrawn.map(({ name }) => name),
      granted: answer.granted,
      refusals: [...refusals, ...answer.refusals],
    };
  }

  #remember(claim: TunnelClaim): void {
    if (this.#undeclared.size >= MAX_TUNNELS_PER_RIFT) return;
    this.#undeclared.set(claim.name, claim);
  }

  #refusalOf(claim: TunnelClaim, rules: ClaimRules): TunnelRefusal | undefined {
    const refusal = refusalOf(claim, rules);
    if (refusal !== undefined) return refusal;
    if (this.#granted.has(claim.name) || this.#granted.size < MAX_TUNNELS_PER_RIFT) {
      return undefined;
    }
    return refuse(
      claim,
      "limit",
      `No room for tunnel "${claim.name}": this rift serves ${MAX_TUNNELS_PER_RIFT}, ` +
        "the most there may be; expose it from another rift",
    );
  }
}

function refusalOf(claim: TunnelClaim, { tunnels, rift }: ClaimRules): TunnelRefusal | undefined {
  const { name } = claim;
  if (!rift.mayClaim(name)) {
    return refuse(
      claim,
      "tunnel_forbidden",
      `The credential does not allow tunnel "${name}": issue one whose --tunnels names it`,
    );
  }
  const declared = tunnels.get(name);
  if (declared === undefined) {
    return refuse(
      claim,
      "tunnel_unknown",
      `Tunnel "${name}" is not declared on the edge: add a [[tunnel]] table with this name there`,
    );
  }
  const { protocol } = declared;
  if (protocol !== claim.protocol) {
    return refuse(
      claim,
      "tunnel_unknown",
      `Tunnel "${name}" is declared with protocol "${protocol}" on the edge: ` +
        `start the rift with --protocol ${protocol}, or expose it so`,
    );
  }
  return undefined;
}

function refuse({ name }: TunnelClaim, code: RefusalCode, reason: string): TunnelRefusal {
  return { type: "refusal", code, reason, retryAfterMs: undefined, tunnel: name };
}
