/**
 * What the edge knows of the credentials it issued: public facts only, in `credentials.json`.
 *
 * The file is read again when it changed, so a command that issues or revokes reaches a running
 * edge.
 *
 * @module
 */

import { join } from "node:path";

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { MAX_ACTIVE_CREDENTIALS, STATE_POLL_MS } from "../limits.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import { fileStamp, watchFiles } from "../runtime/file_watch.ts";
import { readCertificate } from "./certificate.ts";
import { isObject } from "./json_object.ts";
import { isRiftName } from "./rift_name.ts";
import { corruptStateFile, prepareStateDir, readStateFile, replaceStateFile } from "./state_dir.ts";
import { withStateLock } from "./state_lock.ts";

/** What is stored of one credential. */
export interface CredentialRecord {
  readonly name: string;
  /** Serial number of the client certificate, lower-case hexadecimal. */
  readonly serial: string;
  /** Globs of the tunnels the rift may claim. */
  readonly tunnels: readonly string[];
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly revoked: boolean;
  /** Lifetime it was made for, ms; absent: from `issuedAtMs` to `expiresAtMs`. */
  readonly lifetimeMs?: number;
  /** Serial number of the one that it renews. */
  readonly renews?: string;
  /** Another was made in its place: it ends early and is not renewed. */
  readonly rotated?: boolean;
  /** With `renews`: a rift has it, which was seen in a handshake or on a connection. */
  readonly used?: boolean;
}

/** A rift whose certificate is known and good. */
export interface VerifiedRift {
  readonly name: string;
  readonly serial: string;
  readonly expiresAtMs: number;
  /** When it may be renewed, wall clock, ms; `Infinity` when not. */
  readonly renewableAtMs: number;
  mayClaim(tunnel: string): boolean;
}

/** One generation of the file. */
interface Snapshot {
  readonly stamp: string;
  readonly bySerial: ReadonlyMap<string, CredentialRecord>;
}

/** Records kept. Revoked and ended ones go first when it is full. */
export const MAX_CREDENTIALS = 10_000;
const FORMAT_VERSION = 1;
const REMEDY =
  "restore it from a backup; or delete it, then every credential has to be issued again";

/** The credentials of one edge. */
export class CredentialStore {
  readonly #path: string;
  #snapshot: Snapshot = { stamp: "never read", bySerial: new Map() };

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Opens the store of a state directory; the file appears with the first record.
   *
   * @throws {TunnelError} `STATE_UNUSABLE` with the path and what to do.
   */
  static async open({ stateDir }: { readonly stateDir: string }): Promise<CredentialStore> {
    await prepareStateDir(stateDir);
    const store = new CredentialStore(join(stateDir, "credentials.json"));
    await store.#current();
    return store;
  }

  /** Every record, oldest first. */
  async list(): Promise<readonly CredentialRecord[]> {
    return [...(await this.#current()).bySerial.values()];
  }

  /**
   * Adds a record.
   *
   * @throws {TunnelError} `USAGE` when a credential of that name is active, neither revoked nor
   *   ended at `record.issuedAtMs`; `STATE_UNUSABLE`.
   */
  async add(record: CredentialRecord): Promise<void> {
    if (!isRecord(record)) {
      throw new TypeError("Cannot add the credential: its record is not valid");
    }
    await this.#change((records) => {
      requireFreeName(records, record.name, record.issuedAtMs);
      return withRecord(records, record);
    });
  }

  /**
   * Adds a record that takes the place of the active ones of its name: they end after `overlapMs`,
   * or at their own end if that is earlier, and are not renewed any more.
   *
   * @throws {TunnelError} `USAGE` when no credential of that name is active; `STATE_UNUSABLE`.
   */
  async rotate(record: CredentialRecord, overlapMs: number): Promise<void> {
    if (!isRecord(record) || !(overlapMs >= 0)) {
      throw new TypeError("Cannot rotate the credential: its record is not valid");
    }
    const nowMs = record.issuedAtMs;
    const endsMs = Math.trunc(nowMs + overlapMs);
    await this.#change((records) => {
      requireActiveName(records, record.name, nowMs);
      return withSuccessor(records, record).map((known) => {
        if (known === record || known.name !== record.name || known.revoked) return known;
        return {
          ...known,
          lifetimeMs: lifetimeOf(known),
          expiresAtMs: Math.min(known.expiresAtMs, endsMs),
          rotated: true,
        };
      });
    });
  }

  /**
   * Adds a record that renews the one with serial number `renews`, which stays good until its own
   * end. An earlier renewal of the same one goes when no rift was ever seen with it: its answer was
   * lost. One that is in use stays: the new one may be for somebody who copied the credential.
   *
   * @returns `"again"` when another renewal of the same one is in use.
   * @throws {TunnelError} `REFUSED` as {@link renewable}, or when a name would have more than
   *   `MAX_ACTIVE_CREDENTIALS`; `STATE_UNUSABLE`.
   */
  async addRenewed(
    record: CredentialRecord & { readonly renews: string },
  ): Promise<"first" | "again"> {
    if (!isRecord(record)) {
      throw new TypeError("Cannot renew the credential: its record is not valid");
    }
    let outcome: "first" | "again" = "first";
    await this.#change((records) => {
      // Again, under the lock: a command may have revoked it meanwhile.
      const renewed = records.find(({ serial }) => serial === record.renews);
      requireRenewable(renewed, record.issuedAtMs);
      const kept = records.filter(({ renews, used }) => renews !== record.renews || used === true);
      if (kept.some(({ renews }) => renews === record.renews)) outcome = "again";
      const active = kept.filter((known) =>
        known.name === record.name && isActive(known, record.issuedAtMs)
      );
      if (active.length >= MAX_ACTIVE_CREDENTIALS) {
        throw refused(
          "This credential was renewed too often: several rifts use it, or copies of it",
        );
      }
      return withSuccessor(kept, record);
    });
    return outcome;
  }

  /** The active records of a name, newest first. */
  async active(name: string, nowMs: number): Promise<readonly CredentialRecord[]> {
    const records = (await this.list()).filter((one) => one.name === name && isActive(one, nowMs));
    return records.sort((a, b) => b.issuedAtMs - a.issuedAtMs);
  }

  /**
   * Calls `onChange` within `STATE_POLL_MS` when another process, or this one, has changed the
   * records, or when the file cannot be read any more. Ends with `signal`.
   */
  watch({ clock, signal, onChange }: {
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly onChange: () => void;
  }): void {
    watchFiles({ paths: [this.#path], everyMs: STATE_POLL_MS, clock, signal, onChange });
  }

  /**
   * Fails early when a name is taken, before a key is made for it; {@link add} decides.
   *
   * @throws {TunnelError} `USAGE`
   */
  async requireFreeName(name: string, nowMs: number): Promise<void> {
    requireFreeName(await this.list(), name, nowMs);
  }

  /**
   * Revokes every credential of that name.
   *
   * @returns The records changed; empty when there was no active one.
   * @throws {TunnelError} `STATE_UNUSABLE`
   */
  async revoke(name: string): Promise<readonly CredentialRecord[]> {
    let changed: CredentialRecord[] = [];
    await this.#change((records) => {
      changed = [];
      return records.map((record) => {
        if (record.name !== name || record.revoked) return record;
        const revoked = { ...record, revoked: true };
        changed.push(revoked);
        return revoked;
      });
    });
    return changed;
  }

  /**
   * Who is behind a certificate that the handshake has already checked against the CA?
   *
   * @param peerCertificates DER, leaf first.
   * @throws {TunnelError} `REFUSED`; its message is one line that the rift may be shown. When the
   *   file cannot be read, the reason is in `cause` and stays on the edge.
   */
  async verify(peerCertificates: readonly Uint8Array[], nowMs: number): Promise<VerifiedRift> {
    const leaf = peerCertificates[0];
    const facts = leaf === undefined ? undefined : readCertificate(leaf);
    if (facts === undefined) throw refused("The certificate cannot be read");
    const record = (await this.#currentForPeer()).bySerial.get(facts.serial);
    const good = requireGood(record, facts.notAfterMs, nowMs);
    const rift = verifiedOf(good, facts.notAfterMs);
    if (nowMs < facts.notBeforeMs) {
      throw refused("This credential is not valid yet: check the clocks");
    }
    if (facts.commonName !== rift.name) {
      throw refused("This credential does not carry the name it was issued for");
    }
    await this.#noteUse(good);
    return rift;
  }

  /**
   * What holds now for a credential with which a rift is connected, since {@link verify} or a
   * renewal. It never ends later than it did then: that was its certificate's end, or an earlier one.
   *
   * @throws {TunnelError} `REFUSED`, as `verify`.
   */
  async recheck(
    { serial, expiresAtMs }: { readonly serial: string; readonly expiresAtMs: number },
    nowMs: number,
  ): Promise<VerifiedRift> {
    const record = (await this.#currentForPeer()).bySerial.get(serial);
    const good = requireGood(record, expiresAtMs, nowMs);
    await this.#noteUse(good);
    return verifiedOf(good, expiresAtMs);
  }

  /**
   * The record of a credential that may be renewed now.
   *
   * @throws {TunnelError} `REFUSED` with one line that the rift may be shown: it is not good any
   *   more, was rotated, or more than half of its life is left. As `verify` otherwise.
   */
  async renewable(serial: string, nowMs: number): Promise<CredentialRecord> {
    return requireRenewable((await this.#currentForPeer()).bySerial.get(serial), nowMs);
  }

  /** From now on, a renewal of the one before it leaves it alone. Once for each renewed credential. */
  async #noteUse({ serial, renews, used }: CredentialRecord): Promise<void> {
    if (renews === undefined || used === true) return;
    try {
      await this.#change((records) =>
        records.map((known) => known.serial === serial ? { ...known, used: true } : known)
      );
    } catch {
      // It cannot be written now; the rift is good all the same, and the next look tries again.
    }
  }

  async #currentForPeer(): Promise<Snapshot> {
    try {
      return await this.#current();
    } catch (cause) {
      throw new TunnelError("REFUSED", "The edge cannot check credentials at the moment", {
        cause,
      });
    }
  }

  async #current(): Promise<Snapshot> {
    const stamp = await fileStamp(this.#path);
    if (stamp === this.#snapshot.stamp) return this.#snapshot;
    const text = await readStateFile(this.#path);
    const records = text === undefined ? [] : parseRecords(this.#path, text);
    const bySerial = new Map(records.map((record) => [record.serial, record]));
    // The stamp was taken first: a write in between is seen as a change next time.
    this.#snapshot = { stamp, bySerial };
    return this.#snapshot;
  }

  async #change(
    edit: (records: readonly CredentialRecord[]) => readonly CredentialRecord[],
  ): Promise<void> {
    await withStateLock(`${this.#path}.lock`, async () => {
      const records = edit(await this.list());
      const text = JSON.stringify({ version: FORMAT_VERSION, credentials: records }, undefined, 2);
      await replaceStateFile(this.#path, `${text}\n`);
    });
  }
}

/** How long a credential was made to last, ms: what a successor lasts unless told otherwise. */
export function lifetimeOf(record: CredentialRecord): number {
  return record.lifetimeMs ?? record.expiresAtMs - record.issuedAtMs;
}

/** @throws {TunnelError} `REFUSED` unless the credential is known, not revoked and not over. */
function requireGood(
  record: CredentialRecord | undefined,
  notAfterMs: number,
  nowMs: number,
): CredentialRecord {
  if (record === undefined) {
    throw refused("This credential is not known here: ask for a new one (mcptun token issue)");
  }
  if (record.revoked) throw refused("This credential has been revoked: ask for a new one");
  const expiresAtMs = Math.min(record.expiresAtMs, notAfterMs);
  if (nowMs >= expiresAtMs) {
    const ended = new Date(expiresAtMs).toISOString();
    throw refused(`This credential ended at ${ended}: ask for a new one (mcptun token issue)`);
  }
  return record;
}

/** @throws {TunnelError} `REFUSED` */
function requireRenewable(record: CredentialRecord | undefined, nowMs: number): CredentialRecord {
  const good = requireGood(record, Infinity, nowMs);
  if (good.rotated === true) {
    throw refused("This credential was rotated and is not renewed: use the new one");
  }
  if (nowMs < renewableAtMs(good)) {
    throw refused("This credential is not renewed yet: more than half of its life is left");
  }
  return good;
}

function renewableAtMs(record: CredentialRecord): number {
  return record.rotated === true ? Infinity : record.expiresAtMs - lifetimeOf(record) / 2;
}

/** A credential as the edge knows it, with the end that its certificate allows. */
export function verifiedOf(record: CredentialRecord, notAfterMs: number): VerifiedRift {
  return {
    name: record.name,
    serial: record.serial,
    expiresAtMs: Math.min(record.expiresAtMs, notAfterMs),
    renewableAtMs: renewableAtMs(record),
    mayClaim: compileNameGlob(record.tunnels),
  };
}

/** With a successor; what has ended of the same name goes, so that years add nothing. */
function withSuccessor(
  records: readonly CredentialRecord[],
  record: CredentialRecord,
): CredentialRecord[] {
  const nowMs = record.issuedAtMs;
  return withRecord(
    records.filter((known) => known.name !== record.name || known.expiresAtMs > nowMs),
    record,
  );
}

/** @throws {TunnelError} `USAGE` when there is no room. */
function withRecord(
  records: readonly CredentialRecord[],
  record: CredentialRecord,
): CredentialRecord[] {
  const kept = records.length < MAX_CREDENTIALS
    ? records
    : records.filter((known) => isActive(known, record.issuedAtMs));
  if (kept.length >= MAX_CREDENTIALS) {
    throw new TunnelError("USAGE", `Cannot issue: ${MAX_CREDENTIALS} credentials are active`);
  }
  return [...kept, record];
}

/** @throws {TunnelError} `USAGE` */
function requireActiveName(
  records: readonly CredentialRecord[],
  name: string,
  nowMs: number,
): void {
  if (records.some((record) => record.name === name && isActive(record, nowMs))) return;
  throw noActiveCredential(name);
}

/** That there is nothing to rotate. */
export function noActiveCredential(name: string): TunnelError {
  return new TunnelError(
    "USAGE",
    `Cannot rotate ${JSON.stringify(name.slice(0, 80))}: its credential is revoked or has ended ` +
      '(make a new one with "mcptun token issue")',
  );
}

function requireFreeName(records: readonly CredentialRecord[], name: string, nowMs: number): void {
  const taken = new Set(
    records.filter((record) => isActive(record, nowMs)).map((record) => record.name),
  );
  if (!taken.has(name)) return;
  let number = 2;
  while (taken.has(`${name}-${number}`)) number++;
  throw new TunnelError(
    "USAGE",
    `Cannot issue a credential for "${name}": an active one has that name ` +
      `(use another, for example "${name}-${number}")`,
  );
}

function isActive(record: CredentialRecord, nowMs: number): boolean {
  return !record.revoked && record.expiresAtMs > nowMs;
}

function refused(reason: string): TunnelError {
  return new TunnelError("REFUSED", reason);
}

function parseRecords(path: string, text: string): CredentialRecord[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message would quote the file.
    throw corruptStateFile(path, "it is not JSON", REMEDY);
  }
  if (!isObject(value) || !Array.isArray(value["credentials"])) {
    throw corruptStateFile(path, "it holds no list of credentials", REMEDY);
  }
  if (value["version"] !== FORMAT_VERSION) {
    throw corruptStateFile(path, `its format is not version ${FORMAT_VERSION}`, "update mcptun");
  }
  const records: CredentialRecord[] = [];
  for (const [index, record] of value["credentials"].entries()) {
    if (!isRecord(record)) {
      throw corruptStateFile(path, `credential number ${index + 1} is not valid`, REMEDY);
    }
    records.push(record);
  }
  if (new Set(records.map((record) => record.serial)).size !== records.length) {
    throw corruptStateFile(path, "two credentials have the same serial number", REMEDY);
  }
  return records;
}

function isRecord(value: unknown): value is CredentialRecord {
  if (!isObject(value)) return false;
  const { name, serial, tunnels, issuedAtMs, expiresAtMs, revoked } = value;
  const { lifetimeMs, renews, rotated, used } = value;
  return typeof name === "string" && isRiftName(name) &&
    isSerial(serial) &&
    Array.isArray(tunnels) && tunnels.every((glob) => typeof glob === "string") &&
    areGlobs(tunnels) &&
    Number.isSafeInteger(issuedAtMs) && Number.isSafeInteger(expiresAtMs) &&
    typeof revoked === "boolean" &&
    (lifetimeMs === undefined || Number.isSafeInteger(lifetimeMs) && Number(lifetimeMs) > 0) &&
    (renews === undefined || isSerial(renews)) &&
    (rotated === undefined || typeof rotated === "boolean") &&
    (used === undefined || typeof used === "boolean");
}

function isSerial(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{1,40}$/.test(value);
}

function areGlobs(patterns: readonly string[]): boolean {
  try {
    compileNameGlob(patterns);
    return true;
  } catch {
    return false; // it throws for malformed patterns only
  }
}
