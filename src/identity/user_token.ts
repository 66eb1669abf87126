/**
 * User tokens: what an MCP client shows the edge. Only their SHA-256 is kept; 256 random bits need
 * no slow hash.
 *
 * @module
 */

import { hash, randomBytes, timingSafeEqual } from "node:crypto";

import { Secret } from "../runtime/secret.ts";

/** The hash of one user's token. */
export interface UserTokenHash {
  readonly user: string;
  /** From {@link hashUserToken}. */
  readonly hash: Uint8Array;
}

/** Tells who a token belongs to. */
export interface UserTokenCheck {
  /**
   * @param authorization The value of the `Authorization` header, when there is exactly one.
   * @returns `undefined` when it is absent, not a bearer token, or not a token that is known.
   */
  check(authorization: string | undefined): { readonly user: string } | undefined;
}

const PREFIX = "mcpu_";
const TOKEN_BYTES = 32;
/** RFC 6750, 2.1. The scheme's case does not matter (RFC 9110, 11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;
/** `mcpu_` and 43 characters of base64url. */
const USER_TOKEN = /^mcpu_[A-Za-z0-9_-]{43}$/;

/**
 * The token of an `Authorization` header, whatever its kind.
 *
 * @returns `undefined` when the header is absent, of another scheme, or not one token.
 */
export function bearerToken(authorization: string | undefined): string | undefined {
  return BEARER.exec(authorization ?? "")?.[1];
}

/** Has the text the form of a user token? Says nothing about whether it is known. */
export function isUserToken(text: string): boolean {
  return USER_TOKEN.test(text);
}

/** Makes a new token: `mcpu_` and 256 random bits in base64url. */
export function makeUserToken(): Secret {
  return new Secret(PREFIX + randomBytes(TOKEN_BYTES).toString("base64url"));
}

/** The SHA-256 of a token, 32 bytes: the only form in which it is kept. */
export function hashUserToken(token: string): Uint8Array {
  // In one call: an object per hash, with memory outside of the heap, costs more than the hash.
  return new Uint8Array(hash("sha256", token, "buffer"));
}

/**
 * Makes a check over a fixed set of tokens. Every known hash is compared in constant time, on every
 * call, so the time says neither whether a token is near nor whose it is.
 *
 * @throws {TypeError} When a hash is not 32 bytes.
 */
export function userTokenCheck(hashes: readonly UserTokenHash[]): UserTokenCheck {
  const known = hashes.map(({ user, hash }) => {
    if (hash.length !== TOKEN_BYTES) {
      throw new TypeError("Cannot check tokens: a hash is not 32 bytes");
    }
    return { user, hash: Uint8Array.from(hash) };
  });
  return {
    check(authorization) {
      const token = bearerToken(authorization);
      if (token === undefined || !isUserToken(token)) return undefined;
      const presented = hashUserToken(token);
      let found: { readonly user: string } | undefined;
      for (const { user, hash } of known) {
        if (timingSafeEqual(presented, hash)) found = { user };
      }
      return found;
    },
  };
}
