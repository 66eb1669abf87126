/**
 * User tokens: what an MCP client shows the edge. Only their SHA-256 is kept; 256 random bits need
 * no slow hash.
 *
 * @module
 */

import { hash, randomBytes } from "node:crypto";

import { Secret } from "../runtime/secret.ts";

const PREFIX = "mcpu_";
const TOKEN_BYTES = 32;
/** `mcpu_` and 43 characters of base64url. */
const USER_TOKEN = /^mcpu_[A-Za-z0-9_-]{43}$/;

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
