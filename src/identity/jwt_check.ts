/**
 * Checks tokens that an issuer signed (JWT; RFC 7519, RFC 8725, RFC 9068).
 *
 * Which keys count is the configuration's word alone: nothing in a token leads to a key but the
 * name of one that its issuer has published.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

import type { JWTPayload } from "jose";

import type { Clock } from "../clock.ts";
import {
  CACHED_TOKEN_MS,
  CLOCK_TOLERANCE_S,
  MAX_CACHED_TOKENS,
  MAX_KEY_TRIES,
  MAX_TOKEN_CHARS,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import type { Authenticated, AuthenticationResult, ResourceFacts } from "../principal.ts";
import { BoundedCache } from "./bounded_cache.ts";
import { IssuerKeys, type KeySet } from "./issuer_keys.ts";
import { hasScopes, identityOfClaims } from "./jwt_claims.ts";
import type { Fetch } from "./jwt_fetch.ts";
import { loadJose } from "./jwt_library.ts";

/** One `[[auth.issuer]]`, as far as this folder uses it. */
export interface IssuerSettings {
  /** As tokens have it in `iss`. */
  readonly issuer: string;
  readonly jwksUri?: string | undefined;
  /** Globs of the tunnels it vouches for. */
  readonly tunnels: readonly string[];
  /** Accepted `aud`; empty: the tunnel's public URL. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly userClaim: string;
  readonly groupsClaim: string;
  /** That a token must have, all of them. */
  readonly scopes: readonly string[];
}

/** What a {@link JwtCheck} is given. */
export interface JwtCheckOptions {
  /** The public URL of a tunnel. */
  readonly resourceOf: (tunnel: string) => string;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A token and the tunnel it is shown for. */
interface Shown {
  readonly token: string;
  readonly tunnel: string;
}

interface Issuer {
  readonly settings: IssuerSettings;
  readonly vouchesFor: (tunnel: string) => boolean;
  readonly keys: IssuerKeys;
}

/** A token that was good, with the keys that said so. */
interface Remembered {
  readonly result: Authenticated;
  readonly issuer: Issuer;
  readonly keySet: KeySet;
}

/** See the module. */
export class JwtCheck {
  readonly #options: JwtCheckOptions;
  readonly #remembered = new BoundedCache<Remembered>(MAX_CACHED_TOKENS);
  #issuers: readonly Issuer[] = [];

  constructor(options: JwtCheckOptions) {
    this.#options = options;
  }

  /**
   * The issuers from now on. One that stays keeps its keys.
   *
   * @throws {TunnelError} `CONFIG_INVALID` for a malformed glob; then the ones before stay.
   */
  useIssuers(settings: readonly IssuerSettings[]): void {
    const before = new Map(this.#issuers.map(({ settings, keys }) => [keysId(settings), keys]));
    const globs = settings.map(({ tunnels }) => compileNameGlob(tunnels));
    const keysOf = new Map<string, IssuerKeys>();
    this.#issuers = settings.map((issuer, index) => {
      const id = keysId(issuer);
      const keys = keysOf.get(id) ?? before.get(id) ??
        new IssuerKeys({ ...this.#options, issuer: issuer.issuer, jwksUri: issuer.jwksUri });
      keysOf.set(id, keys);
      return { settings: issuer, vouchesFor: globs[index]!, keys };
    });
    for (const [id, keys] of before) if (!keysOf.has(id)) keys.close();
    this.#remembered.clear();
  }

  /** What tokens for this tunnel need; `undefined` when no issuer vouches for it. */
  resourceFacts(tunnel: string): ResourceFacts | undefined {
    const issuers = this.#issuersFor(tunnel);
    if (issuers.length === 0) return undefined;
    return {
      authorizationServers: [...new Set(issuers.map(({ settings }) => settings.issuer))],
      scopes: [...new Set(issuers.flatMap(({ settings }) => settings.scopes))],
    };
  }

  /** A promise unless the token is remembered, or refused at sight. Never rejects. */
  check(shown: Shown): AuthenticationResult | Promise<AuthenticationResult> {
    const { token, tunnel } = shown;
    if (token.length > MAX_TOKEN_CHARS) {
      return invalid(`the token has more than ${MAX_TOKEN_CHARS} characters`);
    }
    const id = idOf(shown);
    const known = this.#known(id);
    if (known !== undefined) return known.result;
    const issuers = this.#issuersFor(tunnel);
    if (issuers.length === 0) {
      // RFC 7519, 3: a JWT has dots between its parts.
      return invalid(
        token.includes(".")
          ? "no issuer of tokens serves this tunnel"
          : "this is no user token of this edge, and no JWT",
      );
    }
    return this.#checkAt(issuers, { ...shown, id });
  }

  /** Was this token found good a moment ago? */
  remembers(shown: Shown): boolean {
    return shown.token.length <= MAX_TOKEN_CHARS && this.#known(idOf(shown)) !== undefined;
  }

  /** Gives up what is being fetched. Idempotent. */
  close(): void {
    for (const { keys } of this.#issuers) keys.close();
    this.#remembered.clear();
  }

  #known(id: string): Remembered | undefined {
    const known = this.#remembered.get(id, this.#options.clock.now());
    return known !== undefined && this.#holds(known) ? known : undefined;
  }

  #issuersFor(tunnel: string): readonly Issuer[] {
    return this.#issuers.filter(({ vouchesFor }) => vouchesFor(tunnel));
  }

  /** Until the issuer's keys are fetched again, so that one it removes signs no more. */
  #holds({ result, issuer, keySet }: Remembered): boolean {
    return issuer.keys.latest === keySet &&
      this.#options.clock.wallNow() < result.validUntilMs;
  }

  async #checkAt(
    issuers: readonly Issuer[],
    shown: Shown & { readonly id: string },
  ): Promise<AuthenticationResult> {
    try {
      const unread = await readUnchecked(shown.token);
      if ("problem" in unread) return invalid(unread.problem);
      let first: AuthenticationResult | undefined;
      // Several tables may name one issuer, each with rules of its own.
      for (const issuer of issuers) {
        if (issuer.settings.issuer !== unread.issuer) continue;
        const result = await this.#verify(issuer, shown);
        if (result.outcome === "authenticated") return result;
        first ??= result;
      }
      return first ?? invalid(`its issuer ${shownText(unread.issuer)} is not one of this tunnel's`);
    } catch (error) {
      const { name } = error as Error; // a message could quote the token
      this.#options.log.error("Cannot check a token", { tunnel: shown.tunnel, error: name });
      return { outcome: "unavailable", reason: `an unexpected ${name}` };
    }
  }

  async #verify(
    issuer: Issuer,
    { token, tunnel, id }: Shown & { readonly id: string },
  ): Promise<AuthenticationResult> {
    const { clock, resourceOf } = this.#options;
    const { settings, keys } = issuer;
    const { tunnels } = settings;
    let keySet = await keys.current();
    if (keySet === undefined) return noKeys(settings);
    const audiences = settings.audiences.length > 0 ? settings.audiences : [resourceOf(tunnel)];
    const rules: Rules = { settings, audiences, nowMs: clock.wallNow() };
    let verdict = await verifyToken(token, keySet, rules);
    if (verdict === "unknown key") {
      const newer = await keys.after(keySet);
      if (newer === undefined) return noKeys(settings);
      if (newer !== keySet) {
        keySet = newer;
        verdict = await verifyToken(token, keySet, rules);
      }
      if (verdict === "unknown key") {
        return keys.isFailing
          ? noKeys(settings)
          : invalid("it is signed with a key that its issuer does not publish");
      }
    }
    if ("problem" in verdict) return invalid(verdict.problem);
    const { claims, validUntilMs } = verdict;
    if (!hasScopes(claims, settings.scopes)) {
      return { outcome: "insufficient_scope", scope: settings.scopes.join(" ") };
    }
    const identity = identityOfClaims(claims, settings);
    if ("problem" in identity) return invalid(identity.problem);
    const result: Authenticated = {
      outcome: "authenticated",
      principal: { ...identity, how: "jwt", issuer: settings.issuer },
      validUntilMs,
      // Under other rules it might not be good: its client shows it again.
      stillValid: () =>
        this.#issuersFor(tunnel).some((now) =>
          isDeepStrictEqual({ ...now.settings, tunnels }, { ...settings, tunnels })
        ),
    };
    // A configuration that came meanwhile has its own rules.
    const leftMs = validUntilMs - clock.wallNow();
    if (leftMs > 0 && this.#issuers.includes(issuer)) {
      const untilMs = clock.now() + Math.min(CACHED_TOKEN_MS, leftMs);
      this.#remembered.set(id, { result, issuer, keySet }, untilMs);
    }
    return result;
  }
}

function idOf({ token, tunnel }: Shown): string {
  return createHash("sha256").update(`${tunnel} ${token}`).digest("base64");
}

type Jose = Awaited<ReturnType<typeof loadJose>>;

/** What a token must fulfil. */
interface Rules {
  readonly settings: IssuerSettings;
  readonly audiences: readonly string[];
  readonly nowMs: number;
}

type Verdict =
  | { readonly claims: JWTPayload; readonly validUntilMs: number }
  | { readonly problem: string }
  | "unknown key";

/** Whatever the configuration says: signatures that only the issuer can make. */
const SIGNATURES = /^(?:RS|PS|ES)(?:256|384|512)$|^EdDSA$/;
/** RFC 9068, 4 has `at+jwt`; most issuers still say `JWT`, or nothing. */
const TYPES = new Set(["jwt", "at+jwt"]);

/** Who says to have signed this? Nothing of it is true yet. */
async function readUnchecked(
  token: string,
): Promise<{ readonly issuer: string } | { readonly problem: string }> {
  const jose = await loadJose();
  try {
    const { iss } = jose.decodeJwt(token);
    if (typeof iss !== "string") return { problem: "the token has no issuer (iss)" };
    const { typ } = jose.decodeProtectedHeader(token);
    const type = typ === undefined ? "jwt" : String(typ).toLowerCase().replace("application/", "");
    if (!TYPES.has(type)) return { problem: `the token's type ${shownText(typ)} is not JWT` };
    return { issuer: iss };
  } catch {
    return { problem: "it is neither a user token nor a JWT" }; // the error says no more
  }
}

async function verifyToken(token: string, keySet: KeySet, rules: Rules): Promise<Verdict> {
  const jose = await loadJose();
  const { settings, audiences, nowMs } = rules;
  const options = {
    algorithms: settings.algorithms.filter((name) => SIGNATURES.test(name)),
    issuer: settings.issuer,
    audience: [...audiences],
    requiredClaims: ["exp"],
    clockTolerance: CLOCK_TOLERANCE_S,
    currentDate: new Date(nowMs),
  };
  try {
    const claims = await verifyWithAny(jose, { token, keySet, options });
    const { exp, iat } = claims;
    if (exp === undefined || !Number.isFinite(exp)) return { problem: "its end (exp) is no time" };
    if (iat !== undefined && iat > nowMs / 1_000 + CLOCK_TOLERANCE_S) {
      return { problem: "it was issued in the future (iat): compare the clocks" };
    }
    // Whoever shows it would have to prove that the key is theirs (RFC 7800), and nobody asks here.
    if (Object.hasOwn(claims, "cnf")) return { problem: "it is bound to a key (cnf)" };
    return { claims, validUntilMs: exp * 1_000 };
  } catch (error) {
    return problemOf(error, rules);
  }
}

/** One key, or with a token that names none, the few that fit. */
async function verifyWithAny(
  jose: Jose,
  { token, keySet, options }: {
    readonly token: string;
    readonly keySet: KeySet;
    readonly options: Parameters<Jose["jwtVerify"]>[2];
  },
): Promise<JWTPayload> {
  try {
    return (await jose.jwtVerify(token, keySet.find, options)).payload;
  } catch (error) {
    if (!(error instanceof jose.errors.JWKSMultipleMatchingKeys)) throw error;
    let tries = 0;
    for await (const key of error) {
      if (tries++ >= MAX_KEY_TRIES) break;
      try {
        return (await jose.jwtVerify(token, key, options)).payload;
      } catch (failure) {
        if (!(failure instanceof jose.errors.JWSSignatureVerificationFailed)) throw failure;
      }
    }
    throw new jose.errors.JWSSignatureVerificationFailed();
  }
}

/** Reasons for the log. Only a claim of a signed token is quoted, and only what people need. */
function problemOf(error: unknown, { settings, audiences }: Rules): Verdict {
  const { code, claim, payload } = error as {
    readonly code?: unknown;
    readonly claim?: unknown;
    readonly payload?: JWTPayload;
  };
  switch (code) {
    case "ERR_JWKS_NO_MATCHING_KEY":
      return "unknown key";
    case "ERR_JWT_EXPIRED":
      return { problem: "it has ended (exp)" };
    case "ERR_JWT_CLAIM_VALIDATION_FAILED":
      if (claim === "aud") {
        const wanted = audiences.map((name) => JSON.stringify(name)).join(" or ");
        return { problem: `it is for ${shownText(payload?.aud)}, not for ${wanted} (aud)` };
      }
      if (claim === "exp") return { problem: "it has no end (exp)" };
      if (claim === "nbf") return { problem: "it does not hold yet (nbf): compare the clocks" };
      return { problem: `its claim "${String(claim)}" is not valid` };
    case "ERR_JWS_SIGNATURE_VERIFICATION_FAILED":
      return { problem: "its signature is wrong" };
    case "ERR_JOSE_ALG_NOT_ALLOWED":
      return { problem: `its algorithm is not one of ${settings.algorithms.join(", ")}` };
    case "ERR_JOSE_NOT_SUPPORTED":
      return { problem: "it needs something that is not supported (alg or crit)" };
    default:
      return { problem: "it is not a JWT that can be checked with the issuer's key" };
  }
}

function invalid(reason: string): AuthenticationResult {
  return { outcome: "invalid", reason };
}

function noKeys({ issuer }: IssuerSettings): AuthenticationResult {
  return { outcome: "unavailable", reason: `no keys of the issuer ${JSON.stringify(issuer)}` };
}

/** Text of a token for a log: short, and without what a terminal would obey. */
function shownText(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 200);
}

function keysId({ issuer, jwksUri }: IssuerSettings): string {
  return JSON.stringify([issuer, jwksUri]);
}
