/** Makes a token for a user and records its hash. @module */

import { Buffer } from "node:buffer";

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { MAX_GROUPS, MAX_USER_CHARS } from "../limits.ts";
import type { Secret } from "../runtime/secret.ts";
import { MAX_CREDENTIAL_TTL_MS } from "./tunnel_ca.ts";
import { areGroups, isUserName, quotedName } from "./user_name.ts";
import { hashUserToken, makeUserToken } from "./user_token.ts";
import { userTokenId, type UserTokenRecord, type UserTokenStore } from "./user_token_store.ts";

/** What {@link issueUserToken} needs. */
export interface IssueUserTokenOptions {
  readonly store: UserTokenStore;
  readonly user: string;
  readonly groups: readonly string[];
  /** Above 0, at most ten years; `undefined`: the token has no end. */
  readonly ttlMs: number | undefined;
  readonly clock: Clock;
  /** Makes the token; tests pass their own. */
  readonly makeToken?: () => Secret;
}

/** A new token: the only moment at which it can be seen. */
export interface IssuedUserToken {
  readonly token: Secret;
  readonly record: UserTokenRecord;
}

/** Two tokens have the same id once in 85,000, when the store is full: four in a row never happen. */
const ATTEMPTS = 4;

/** Makes a token and records its hash. @throws {TunnelError} `USAGE`, `STATE_UNUSABLE` */
export async function issueUserToken(options: IssueUserTokenOptions): Promise<IssuedUserToken> {
  const { store, user, groups, ttlMs, clock, makeToken = makeUserToken } = options;
  requireUserName("a user name", user);
  for (const group of groups) requireUserName("a group name", group);
  requireUsage(
    areGroups(groups),
    `Cannot issue a token with these groups: at most ${MAX_GROUPS} are allowed, each once`,
  );
  requireUsage(
    ttlMs === undefined || (ttlMs > 0 && ttlMs <= MAX_CREDENTIAL_TTL_MS),
    "Cannot issue a token with this lifetime: it must be above 0 and at most 3650 days",
  );
  const issuedAtMs = Math.trunc(clock.wallNow());
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const token = makeToken();
    const hash = hashUserToken(token.reveal());
    const record: UserTokenRecord = {
      id: userTokenId(hash),
      user,
      groups,
      hash: Buffer.from(hash).toString("hex"),
      issuedAtMs,
      expiresAtMs: ttlMs === undefined ? null : issuedAtMs + ttlMs,
      revoked: false,
    };
    if (await store.add(record) === "added") return { token, record };
  }
  throw new TunnelError("USAGE", "Cannot issue a token: every one made has an id that is taken");
}

/** @throws {TunnelError} `USAGE` when `text` cannot be the name of a user or group. */
function requireUserName(what: string, text: string): void {
  requireUsage(
    isUserName(text),
    `Cannot use ${quotedName(text)} as ${what}: allowed are 1 to ` +
      `${MAX_USER_CHARS} visible characters, no comma, no space at the ends`,
  );
}

function requireUsage(holds: boolean, message: string): void {
  if (!holds) throw new TunnelError("USAGE", message);
}
