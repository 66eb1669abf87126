/**
 * The user tokens of one edge, in `user-tokens.json`: who they belong to and their SHA-256, never a
 * token.
 *
 * A running edge asks a snapshot in memory, which {@link UserTokenStore.reload} replaces after a
 * command has changed the file.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";
import { join } from "node:path";

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { MAX_USER_TOKENS, MAX_USER_TOKENS_BYTES, STATE_POLL_MS } from "../limits.ts";
import { fileStamp, watchFiles } from "../runtime/file_watch.ts";
import { isObject } from "./json_object.ts";
import { corruptStateFile, prepareStateDir, readStateFile, replaceStateFile } from "./state_dir.ts";
import { withStateLock } from "./state_lock.ts";
import { areGroups, isUserName } from "./user_name.ts";
import { hashUserToken, isUserToken } from "./user_token.ts";

/** What is stored of one user token. */
export interface UserTokenRecord {
  /** The first 8 hexadecimal digits of `hash`; no two records have the same. */
  readonly id: string;
  readonly user: string;
  readonly groups: readonly string[];
  /** SHA-256 of the token, 64 hexadecimal digits in lower case. Not for showing. */
  readonly hash: string;
  readonly issuedAtMs: number;
  /** `null` in the file and here: it has no end. */
  readonly expiresAtMs: number | null;
  readonly revoked: boolean;
}

/** Who a good token belongs to. */
export interface UserTokenOwner {
  /** Of the token; for {@link UserTokenSnapshot.isActive}. */
  readonly id: string;
  readonly user: string;
  readonly groups: readonly string[];
  /** When the token ends, wall clock, ms; `Infinity` when it does not. */
  readonly validUntilMs: number;
}

/** One generation of the file, which never changes. */
export interface UserTokenSnapshot {
  /** Oldest first. */
  readonly records: readonly UserTokenRecord[];
  /** @returns `undefined` unless the token is known, not revoked and not ended. */
  check(token: string, nowMs: number): UserTokenOwner | undefined;
  /** Is there a token with this id that is neither revoked nor ended? */
  isActive(id: string, nowMs: number): boolean;
}

const FORMAT_VERSION = 1;
const ID_DIGITS = 8;
const REMEDY = "restore it from a backup; or delete it, then every user needs a new token";

/** The id of the token with this hash. */
export function userTokenId(hash: Uint8Array): string {
  return Buffer.from(hash).toString("hex").slice(0, ID_DIGITS);
}

/** Is the token good at this time? */
export function isActiveUserToken(record: UserTokenRecord, nowMs: number): boolean {
  return !record.revoked && (record.expiresAtMs === null || record.expiresAtMs > nowMs);
}

/** The user tokens of one edge. */
export class UserTokenStore {
  readonly #path: string;
  #stamp = "never read";
  #snapshot: UserTokenSnapshot = snapshotOf([]);
  /** Reads one after the other: an older generation must never replace a newer one. */
  #reading: Promise<unknown> = Promise.resolve();

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Opens the store of a state directory; the file appears with the first record.
   *
   * @throws {TunnelError} `STATE_UNUSABLE` with the path and what to do.
   */
  static async open({ stateDir }: { readonly stateDir: string }): Promise<UserTokenStore> {
    await prepareStateDir(stateDir);
    const store = new UserTokenStore(join(stateDir, "user-tokens.json"));
    await store.reload();
    return store;
  }

  /** What was read last. It stays as it is; ask again for the next generation. */
  get snapshot(): UserTokenSnapshot {
    return this.#snapshot;
  }

  /** {@link UserTokenSnapshot.check} of the current snapshot. */
  check(token: string, nowMs: number): UserTokenOwner | undefined {
    return this.#snapshot.check(token, nowMs);
  }

  /** {@link UserTokenSnapshot.isActive} of the current snapshot. */
  isActive(id: string, nowMs: number): boolean {
    return this.#snapshot.isActive(id, nowMs);
  }

  /**
   * Reads the file again if it changed. One that was deleted holds no tokens.
   *
   * @throws {TunnelError} `STATE_UNUSABLE` when it cannot be read or is damaged. The snapshot then
   *   stays what it was: nobody new gets in, and what was revoked stays revoked. The next call
   *   tries again.
   */
  reload(): Promise<"changed" | "unchanged"> {
    const read = this.#reading.then(() => this.#readIfChanged());
    this.#reading = read.catch(() => {}); // the caller of this read is told; the next one tries anew
    return read;
  }

  /** Calls `onChange` soon after the file changed, until `signal` aborts; reading is up to it. */
  watch({ clock, signal, onChange }: {
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly onChange: () => void | Promise<void>;
  }): void {
    watchFiles({ paths: [this.#path], everyMs: STATE_POLL_MS, clock, signal, onChange });
  }

  async #readIfChanged(): Promise<"changed" | "unchanged"> {
    const stamp = await fileStamp(this.#path);
    if (stamp === this.#stamp) return "unchanged";
    const records = await this.#read();
    // The stamp was taken first: a write in between is seen as a change next time.
    this.#stamp = stamp;
    this.#snapshot = snapshotOf(records);
    return "changed";
  }

  /** Every record, oldest first, as the file has them now. @throws {TunnelError} `STATE_UNUSABLE` */
  async list(): Promise<readonly UserTokenRecord[]> {
    await this.reload();
    return this.#snapshot.records;
  }

  /**
   * Adds a record. A user may have several tokens.
   *
   * @returns `"id taken"` when another token has its id: nothing was added, make another token.
   * @throws {TunnelError} `USAGE` when there is no room; `STATE_UNUSABLE`.
   */
  async add(record: UserTokenRecord): Promise<"added" | "id taken"> {
    if (!isRecord(record)) throw new TypeError("Cannot add the token: its record is not valid");
    let outcome: "added" | "id taken" = "added";
    await this.#change((records) => {
      if (records.some(({ id }) => id === record.id)) {
        outcome = "id taken";
        return records;
      }
      const kept = records.length < MAX_USER_TOKENS
        ? records
        : records.filter((known) => isActiveUserToken(known, record.issuedAtMs));
      if (kept.length >= MAX_USER_TOKENS) {
        throw new TunnelError("USAGE", `Cannot issue: ${MAX_USER_TOKENS} user tokens are active`);
      }
      const next = [...kept, record];
      if (Buffer.byteLength(textOf(next)) > MAX_USER_TOKENS_BYTES) {
        throw new TunnelError(
          "USAGE",
          `Cannot issue: the list of user tokens would have more than ${MAX_USER_TOKENS_BYTES} ` +
            "bytes (use fewer or shorter groups)",
        );
      }
      return next;
    });
    return outcome;
  }

  /**
   * Revokes the tokens of a user, or the one with this id.
   *
   * @returns The records changed; empty when there was none to revoke.
   * @throws {TunnelError} `STATE_UNUSABLE`
   */
  async revoke(
    { user, id }: { readonly user: string; readonly id?: string | undefined },
  ): Promise<readonly UserTokenRecord[]> {
    const changed: UserTokenRecord[] = [];
    await this.#change((records) => {
      const next = records.map((record) => {
        if (record.user !== user || (id ?? record.id) !== record.id || record.revoked) {
          return record;
        }
        const revoked = { ...record, revoked: true };
        changed.push(revoked);
        return revoked;
      });
      return changed.length === 0 ? records : next;
    });
    return changed;
  }

  async #read(): Promise<readonly UserTokenRecord[]> {
    const text = await readStateFile(this.#path);
    return text === undefined ? [] : parseRecords(this.#path, text);
  }

  /** Changes what the file holds now, never what a snapshot remembers of it. */
  async #change(
    edit: (records: readonly UserTokenRecord[]) => readonly UserTokenRecord[],
  ): Promise<void> {
    await withStateLock(`${this.#path}.lock`, async () => {
      const before = await this.#read();
      const after = edit(before);
      if (after !== before) await replaceStateFile(this.#path, textOf(after));
    });
    await this.reload();
  }
}

function textOf(tokens: readonly UserTokenRecord[]): string {
  return `${JSON.stringify({ version: FORMAT_VERSION, tokens }, undefined, 2)}
`;
}

/**
 * The token's own hash leads to the one record it can be, by its first 32 bits, so that 10,000
 * users take no longer than one. The time of that step says at most whether some token's hash
 * begins like that of a guess. It is of no use: whoever found out such a beginning would still face
 * 224 bits of a SHA-256, of a text of 256 random bits; and a hash shows nothing of its text. The
 * rest, all 32 bytes, is compared in constant time.
 */
function snapshotOf(records: readonly UserTokenRecord[]): UserTokenSnapshot {
  const byId = new Map(
    records.map((record) => [record.id, { record, hash: Buffer.from(record.hash, "hex") }]),
  );
  return {
    records: Object.freeze([...records]),
    check(token, nowMs) {
      if (!isUserToken(token)) return undefined;
      const presented = hashUserToken(token);
      const known = byId.get(userTokenId(presented));
      if (known === undefined || !timingSafeEqual(presented, known.hash)) return undefined;
      const { record } = known;
      if (!isActiveUserToken(record, nowMs)) return undefined;
      const { id, user, groups, expiresAtMs } = record;
      return { id, user, groups, validUntilMs: expiresAtMs ?? Infinity };
    },
    isActive(id, nowMs) {
      const known = byId.get(id);
      return known !== undefined && isActiveUserToken(known.record, nowMs);
    },
  };
}

function parseRecords(path: string, text: string): readonly UserTokenRecord[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message would quote the file.
    throw corruptStateFile(path, "it is not JSON", REMEDY);
  }
  if (!isObject(value) || !Array.isArray(value["tokens"])) {
    throw corruptStateFile(path, "it holds no list of tokens", REMEDY);
  }
  if (value["version"] !== FORMAT_VERSION) {
    throw corruptStateFile(path, `its format is not version ${FORMAT_VERSION}`, "update mcptun");
  }
  if (value["tokens"].length > MAX_USER_TOKENS) {
    throw corruptStateFile(path, `it holds more than ${MAX_USER_TOKENS} tokens`, REMEDY);
  }
  const records: UserTokenRecord[] = [];
  for (const [index, record] of value["tokens"].entries()) {
    if (!isRecord(record)) {
      throw corruptStateFile(path, `token number ${index + 1} is not valid`, REMEDY);
    }
    records.push(record);
  }
  if (new Set(records.map(({ id }) => id)).size !== records.length) {
    throw corruptStateFile(path, "two tokens have the same id", REMEDY);
  }
  return records;
}

function isRecord(value: unknown): value is UserTokenRecord {
  if (!isObject(value)) return false;
  const { id, user, groups, hash, issuedAtMs, expiresAtMs, revoked } = value;
  return typeof hash === "string" && /^[0-9a-f]{64}$/.test(hash) &&
    id === hash.slice(0, ID_DIGITS) &&
    typeof user === "string" && isUserName(user) && areGroups(groups) &&
    isTime(issuedAtMs) && (expiresAtMs === null || isTime(expiresAtMs)) &&
    typeof revoked === "boolean";
}

/** Within what a `Date` can hold: commands print these. */
function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && Math.abs(Number(value)) <= 8.64e15;
}
