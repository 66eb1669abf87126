/** An issuer of tokens without a server: keys, tokens, and the `fetch` that finds its documents. @module */

import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  type JWTHeaderParameters,
  SignJWT,
} from "jose";

import type { Clock } from "../../src/clock.ts";
import type { AuthenticationResult } from "../../src/principal.ts";
import type { IssuerSettings } from "../../src/identity/jwt_check.ts";
import type { Fetch } from "../../src/identity/jwt_fetch.ts";

/** One key pair of an issuer. */
export interface TestKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
  readonly publicPem: string;
}

/** Makes a key pair. */
export async function makeKey(kid: string, alg = "ES256"): Promise<TestKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const publicJwk = { ...await exportJWK(publicKey), kid, alg, use: "sig" };
  return { kid, alg, privateKey, publicJwk, publicPem: await exportSPKI(publicKey) };
}

/** Signs claims as they are; the header can be changed. */
export function signToken(
  key: TestKey,
  claims: Readonly<Record<string, unknown>>,
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  const whole = { alg: key.alg, kid: key.kid, ...header };
  return new SignJWT(claims).setProtectedHeader(whole)
    .sign(key.privateKey, header.crit === undefined ? {} : { crit: { [header.crit[0]!]: true } });
}

/** The settings of an issuer: everything by default. */
export function issuerSettings(
  issuer: string,
  changes: Partial<IssuerSettings> = {},
): IssuerSettings {
  return {
    issuer,
    jwksUri: `${issuer}/keys`,
    tunnels: ["*"],
    audiences: [],
    algorithms: ["RS256", "PS256", "ES256", "EdDSA"],
    userClaim: "sub",
    groupsClaim: "groups",
    scopes: [],
    ...changes,
  };
}

/** Claims of a good token for `aud`, valid for ten minutes. */
export function goodClaims(
  { clock, iss, aud }: { readonly clock: Clock; readonly iss: string; readonly aud: string },
): Record<string, unknown> {
  const nowS = Math.floor(clock.wallNow() / 1_000);
  return { iss, aud, sub: "alice", iat: nowS, exp: nowS + 600 };
}

/** What {@link documents} has at one URL: a value, or the way to an answer. */
export type Document = Readonly<Record<string, unknown>> | (() => Response | Promise<Response>);

/** A `fetch` over documents that a test may change. It counts. */
export interface Documents {
  readonly fetch: Fetch;
  readonly at: Map<string, Document>;
  /** Every URL that was asked for, in order. */
  readonly asked: string[];
}

/** See {@link Documents}. What it does not have is not there: 404. */
export function documents(at: Readonly<Record<string, Document>> = {}): Documents {
  const all = new Map(Object.entries(at));
  const asked: string[] = [];
  return {
    at: all,
    asked,
    fetch: (url) => {
      asked.push(url);
      const found = all.get(url);
      if (typeof found === "function") return Promise.resolve(found());
      if (found === undefined) return Promise.resolve(jsonAnswer({}, 404));
      return Promise.resolve(jsonAnswer(found));
    },
  };
}

/** An answer with JSON. */
export function jsonAnswer(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { "content-type": "application/json" },
  });
}

/** The outcome in one line, for comparing. */
export function outcomeOf(result: AuthenticationResult): string {
  switch (result.outcome) {
    case "authenticated": {
      const { user, groups, how } = result.principal;
      return `${how} ${user} [${groups.join(" ")}]`;
    }
    case "invalid":
      return `invalid: ${result.reason}`;
    case "insufficient_scope":
      return `insufficient_scope: ${result.scope}`;
    case "missing":
    case "unavailable":
      return result.outcome;
  }
}
