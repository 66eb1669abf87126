/**
 * The public keys of one issuer, fetched when they are needed and kept for a while.
 *
 * Everyone who waits shares one fetch. Keys that an issuer removes are out after `ISSUER_KEYS_MS`;
 * an issuer that does not answer is believed by the last keys for `ISSUER_KEYS_STALE_MS`.
 *
 * @module
 */

import type { JSONWebKeySet, JWTVerifyGetKey } from "jose";

import type { Clock } from "../clock.ts";
import {
  ISSUER_KEYS_MS,
  ISSUER_KEYS_STALE_MS,
  ISSUER_RETRY_MS,
  MAX_ISSUER_KEYS,
} from "../limits.ts";
import type { Logger } from "../log.ts";
import { isObject } from "./json_object.ts";
import { type Fetch, type FetchContext, fetchJson, shownUrl } from "./jwt_fetch.ts";
import { loadJose } from "./jwt_library.ts";

/** One generation of an issuer's keys. */
export interface KeySet {
  /** Finds the key that a token names. */
  readonly find: JWTVerifyGetKey;
}

/** Whose keys, and how to get them. */
export interface IssuerKeysOptions {
  readonly issuer: string;
  /** Without it: from the issuer's metadata. */
  readonly jwksUri?: string | undefined;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly log: Logger;
}

/** See the module. */
export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #ending = new AbortController();
  #keys: KeySet | undefined;
  #fetchedAtMs = 0;
  /** When the last try ended, and whether it failed. */
  #triedAtMs: number | undefined;
  #isFailing = false;
  #running: Promise<void> | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
  }

  /** The keys that count now, without fetching. */
  get latest(): KeySet | undefined {
    return this.#ageMs < ISSUER_KEYS_STALE_MS ? this.#keys : undefined;
  }

  /** Did the last try to fetch them fail? Then it cannot be told whether a key is unknown. */
  get isFailing(): boolean {
    return this.#isFailing;
  }

  /** The keys, fetched when they are too old; `undefined` when there are none. Never rejects. */
  async current(): Promise<KeySet | undefined> {
    if (this.#keys !== undefined && this.#ageMs < ISSUER_KEYS_MS) return this.#keys;
    const refreshed = this.#refresh();
    // While the issuer does not answer, nobody waits for it who has keys to go on with.
    if (this.latest === undefined || !this.#isFailing) await refreshed;
    return this.latest;
  }

  /** Keys newer than these, which lack one; the same when it is too early to ask. Never rejects. */
  async after(known: KeySet): Promise<KeySet | undefined> {
    if (this.latest === known) await this.#refresh();
    return this.latest;
  }

  /** Gives up what is being fetched. */
  close(): void {
    this.#ending.abort();
  }

  get #ageMs(): number {
    return this.#options.clock.now() - this.#fetchedAtMs;
  }

  /** Settles when the fetch in flight, if one may be, has ended. Never rejects. */
  async #refresh(): Promise<void> {
    const { clock } = this.#options;
    if (this.#running === undefined) {
      if (this.#ending.signal.aborted) return;
      if (this.#triedAtMs !== undefined && clock.now() - this.#triedAtMs < ISSUER_RETRY_MS) return;
      this.#running = this.#fetch().finally(() => {
        this.#triedAtMs = clock.now();
        this.#running = undefined;
      });
    }
    await this.#running;
  }

  async #fetch(): Promise<void> {
    const { issuer, clock, log, fetch } = this.#options;
    const context: FetchContext = { fetch, clock, signal: this.#ending.signal };
    try {
      const url = this.#options.jwksUri ?? await discoverKeys(issuer, context);
      this.#keys = await keySetOf(await fetchJson(url, context), url);
      this.#fetchedAtMs = clock.now();
      if (this.#isFailing) log.info("The issuer answers again", { issuer });
      this.#isFailing = false;
    } catch (error) {
      this.#isFailing = true;
      if (this.#ending.signal.aborted) return;
      log.warn("Cannot fetch the keys of an issuer", {
        issuer,
        reason: (error as Error).message,
        // The last keys go on being used.
        keysAgeMs: this.latest === undefined ? undefined : Math.round(this.#ageMs),
      });
    }
  }
}

/** RFC 8414, 3: between host and path. OpenID Connect Discovery 1.0, 4: behind the path. */
function metadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, "");
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

async function discoverKeys(issuer: string, context: FetchContext): Promise<string> {
  const problems: string[] = [];
  for (const url of metadataUrls(issuer)) {
    try {
      return keysUrlOf(await fetchJson(url, context), { issuer, url });
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  throw new Error(problems.join("; "));
}

function keysUrlOf(
  metadata: unknown,
  { issuer, url }: { readonly issuer: string; readonly url: string },
): string {
  const facts = isObject(metadata) ? metadata : {};
  // Byte by byte (RFC 8414, 3.3): else one issuer could speak for another.
  if (facts["issuer"] !== issuer) {
    throw new Error(`${shownUrl(url)} is not about ${JSON.stringify(issuer)}`);
  }
  const keys = facts["jwks_uri"];
  if (typeof keys !== "string" || !URL.canParse(keys)) {
    throw new Error(`${shownUrl(url)} has no jwks_uri`);
  }
  const [to, from] = [new URL(keys), new URL(issuer)];
  // The configuration lets an issuer speak http only on loopback, and so do its keys only there.
  const isSafe = to.protocol === "https:" ||
    to.protocol === "http:" && from.protocol === "http:" && to.hostname === from.hostname;
  if (!isSafe || to.username !== "" || to.password !== "") {
    throw new Error(`The jwks_uri in ${shownUrl(url)} is not an https URL`);
  }
  return keys;
}

async function keySetOf(value: unknown, url: string): Promise<KeySet> {
  const keys = isObject(value) ? value["keys"] : undefined;
  if (!Array.isArray(keys) || !keys.every(isObject)) {
    throw new Error(`${shownUrl(url)} is not a JSON Web Key Set`);
  }
  if (keys.length > MAX_ISSUER_KEYS) {
    throw new Error(`${shownUrl(url)} has more than ${MAX_ISSUER_KEYS} keys`);
  }
  const { createLocalJWKSet } = await loadJose();
  // Only what is public: a shared secret in a public place must not become a key.
  const usable = keys.filter(({ kty }) => typeof kty === "string" && kty !== "oct");
  return { find: createLocalJWKSet({ keys: usable } as unknown as JSONWebKeySet) }; // checked above
}
