/**
 * The credential of a rift as one string: `mcpt_` and base64url of a small JSON object.
 *
 * It holds what a rift needs to dial and nothing that the certificate already says: name, serial
 * number and lifetime are read from the certificate. The fields:
 *
 * | field | value |
 * | --- | --- |
 * | `v` | 1 |
 * | `addr` | `host:port` of the edge's tunnel listener |
 * | `tunnels` | globs of the tunnels it may claim, for messages; the edge has the last word |
 * | `ca`, `cert`, `key` | DER in base64: CA certificate, client certificate, PKCS #8 private key |
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { type Clock, systemClock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { MAX_TUNNELS_PER_RIFT } from "../limits.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import { Secret } from "../runtime/secret.ts";
import {
  type CertifiedKey,
  isIssuedBy,
  isKeyOf,
  readCertificate,
  type TlsMaterial,
} from "./certificate.ts";
import { type CredentialStore, lifetimeOf, noActiveCredential } from "./credential_store.ts";
import { isObject } from "./json_object.ts";
import { derOfPem, type PemLabel, pemOfDer } from "./pem.ts";
import { isRiftName } from "./rift_name.ts";
import { MAX_CREDENTIAL_TTL_MS, type TunnelCa } from "./tunnel_ca.ts";

/** What a rift proves itself with, and where it dials. */
export interface Credential {
  readonly name: string;
  /** `host:port` of the edge's tunnel listener. */
  readonly address: string;
  /** Globs of the tunnels it may claim. */
  readonly tunnels: readonly string[];
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly expiresAtMs: number;
  readonly material: TlsMaterial;
}

const PREFIX = "mcpt_";
const VERSION = 1;
/** Longest string accepted, characters: 64 long globs, and three times the usual DER. */
const MAX_CREDENTIAL_LENGTH = 32 * 1_024;
const FIELDS: readonly string[] = ["v", "addr", "tunnels", "ca", "cert", "key"];

/** Writes a credential as one `mcpt_` string. */
export function encodeCredential(credential: Credential): Secret {
  const { address, tunnels, material } = credential;
  const value = {
    v: VERSION,
    addr: address,
    tunnels,
    ca: base64OfPem("CERTIFICATE", material.caPem),
    cert: base64OfPem("CERTIFICATE", material.certPem),
    key: base64OfPem("PRIVATE KEY", material.keyPem),
  };
  return new Secret(PREFIX + Buffer.from(JSON.stringify(value)).toString("base64url"));
}

/**
 * Reads an `mcpt_` string; white space around it does not matter.
 *
 * @throws {TunnelError} `CREDENTIAL_INVALID`, saying what is wrong and what to do, never what it
 *   holds.
 */
export function decodeCredential(text: string, clock: Clock = systemClock): Credential {
  const value = parseObject(bodyOf(text.trim()));
  if (value["v"] !== VERSION) {
    throw invalid(
      typeof value["v"] === "number" && value["v"] > VERSION
        ? "it was made by a newer mcptun; update this one"
        : `its version is not ${VERSION}`,
    );
  }
  if (Object.keys(value).some((key) => !FIELDS.includes(key))) {
    throw invalid("it has a field that this version does not know; update mcptun");
  }
  const address = value["addr"];
  if (typeof address !== "string" || !isAddress(address)) {
    throw invalid("the address of the edge in it is not host:port");
  }
  const tunnels = readTunnels(value["tunnels"]);
  const material: TlsMaterial = {
    caPem: pemOf("CERTIFICATE", value["ca"], "CA certificate"),
    certPem: pemOf("CERTIFICATE", value["cert"], "certificate"),
    keyPem: pemOf("PRIVATE KEY", value["key"], "private key"),
  };
  return { address, tunnels, ...checkMaterial(material, clock.wallNow()), material };
}

/** What {@link issueRiftCredential} needs. */
export interface IssueOptions {
  readonly ca: TunnelCa;
  readonly store: CredentialStore;
  readonly name: string;
  /** Globs of the tunnels the rift may claim; at least one. */
  readonly tunnels: readonly string[];
  /** Above 0, at most ten years. */
  readonly ttlMs: number;
  /** `host:port` that the rift dials. */
  readonly address: string;
  readonly clock: Clock;
}

/**
 * Makes a credential and records its public facts.
 *
 * @throws {TunnelError} `USAGE` for a wrong or taken name, a wrong lifetime or address;
 *   `CONFIG_INVALID` for a malformed glob; `STATE_UNUSABLE`.
 */
export async function issueRiftCredential(options: IssueOptions): Promise<Credential> {
  const { ca, store, name, tunnels, ttlMs, address, clock } = options;
  requireUsage(
    isRiftName(name),
    `Cannot use ${
      JSON.stringify(name.slice(0, 80))
    } as a rift name: allowed are 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit`,
  );
  requireLifetime(ttlMs);
  requireUsage(
    tunnels.length > 0 && tunnels.length <= MAX_TUNNELS_PER_RIFT,
    `Cannot issue a credential for ${tunnels.length} tunnel patterns: ` +
      `1 to ${MAX_TUNNELS_PER_RIFT} are allowed`,
  );
  requireAddress(address);
  compileNameGlob(tunnels);
  const issuedAtMs = Math.trunc(clock.wallNow());
  await store.requireFreeName(name, issuedAtMs);
  const { certPem, keyPem, serial, expiresAtMs } = await ca.issue({ name, ttlMs });
  await store.add({ name, serial, tunnels, issuedAtMs, expiresAtMs, revoked: false });
  return {
    name,
    address,
    tunnels,
    serial,
    expiresAtMs,
    material: { caPem: ca.caPem, certPem, keyPem },
  };
}

/** What {@link rotateRiftCredential} needs. */
export interface RotateOptions {
  readonly ca: TunnelCa;
  readonly store: CredentialStore;
  readonly name: string;
  /** Above 0, at most ten years; absent: as long as the one in use was made for. */
  readonly ttlMs?: number | undefined;
  /** How long the one in use still works, ms; never longer than it would have. */
  readonly overlapMs: number;
  /** `host:port` that the rift dials. */
  readonly address: string;
  readonly clock: Clock;
}

/**
 * Makes the next credential of a rift, for the same tunnels. All that are active of its name end
 * after the overlap.
 *
 * @throws {TunnelError} `USAGE` when none of that name is active, or for a wrong lifetime, overlap
 *   or address; `STATE_UNUSABLE`.
 */
export async function rotateRiftCredential(options: RotateOptions): Promise<Credential> {
  const { ca, store, name, overlapMs, address, clock } = options;
  const issuedAtMs = Math.trunc(clock.wallNow());
  const [current] = await store.active(name, issuedAtMs);
  if (current === undefined) throw noActiveCredential(name);
  requireUsage(
    overlapMs >= 0 && overlapMs <= MAX_CREDENTIAL_TTL_MS,
    "Cannot rotate a credential with this overlap: it must be 0 to 3650 days",
  );
  const lifetimeMs = Math.ceil(options.ttlMs ?? lifetimeOf(current));
  requireLifetime(lifetimeMs);
  requireAddress(address);
  const { tunnels } = current;
  const { certPem, keyPem, serial, expiresAtMs } = await ca.issue({ name, ttlMs: lifetimeMs });
  const facts = { name, serial, tunnels, expiresAtMs };
  await store.rotate({ ...facts, issuedAtMs, lifetimeMs, revoked: false }, overlapMs);
  return { ...facts, address, material: { caPem: ca.caPem, certPem, keyPem } };
}

/**
 * The credential of a rift whose certificate was renewed.
 *
 * @throws {TunnelError} `CREDENTIAL_INVALID` when the pair does not take the old one's place.
 */
export function renewedCredential(old: Credential, pair: CertifiedKey): Credential {
  const { certPem, keyPem } = pair;
  const material = { caPem: old.material.caPem, certPem, keyPem };
  // Whether it has ended is for whoever uses it to see.
  const facts = checkMaterial(material, -Infinity);
  if (facts.name !== old.name) throw invalid("the certificate in it is for another rift");
  return { ...old, ...facts, material };
}

/** The base64url text after the prefix. */
function bodyOf(text: string): string {
  if (text === "") throw invalid("it is empty");
  if (text.length > MAX_CREDENTIAL_LENGTH) throw invalid("it is too long; is this another file?");
  if (/^["'`]/.test(text)) throw invalid("it is in quotes; paste it without them");
  if (text.startsWith("mcpu_")) {
    throw invalid("this is a user token for MCP clients; a rift needs one that begins with mcpt_");
  }
  if (text.startsWith("-----BEGIN")) {
    throw invalid("this is a PEM file; a rift needs the mcpt_ string of `mcptun token issue`");
  }
  if (!text.startsWith(PREFIX)) throw invalid("it does not begin with mcpt_");
  const body = text.slice(PREFIX.length);
  if (/\s/.test(body)) {
    throw invalid(
      "it has white space inside; paste it as one line, or use a file (--out, --token-file)",
    );
  }
  if (!/^[A-Za-z0-9_-]+$/.test(body)) throw invalid("it has characters that do not belong in it");
  return body;
}

function parseObject(body: string): Record<string, unknown> {
  const bytes = Buffer.from(body, "base64url");
  const json = bytes.toString("utf8");
  if (!json.endsWith("}")) throw invalid("its end is missing; copy all of it");
  // A second spelling of the same bytes, or bytes that are not UTF-8, come from damage.
  if (bytes.toString("base64url") !== body || !Buffer.from(json).equals(bytes)) throw damaged();
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw damaged(); // the parser's message would quote the secret
  }
  if (!isObject(value)) throw damaged();
  return value;
}

function readTunnels(value: unknown): readonly string[] {
  if (
    !Array.isArray(value) || value.length === 0 || value.length > MAX_TUNNELS_PER_RIFT ||
    !value.every((glob) => typeof glob === "string")
  ) throw damaged();
  try {
    compileNameGlob(value);
  } catch {
    throw invalid("a tunnel pattern in it is malformed"); // the cause would quote it
  }
  return Object.freeze([...value]);
}

function checkMaterial(
  { caPem, certPem, keyPem }: TlsMaterial,
  nowMs: number,
): { name: string; serial: string; expiresAtMs: number } {
  const ca = readCertificate(caPem);
  if (ca === undefined || !isIssuedBy(caPem, caPem)) {
    throw invalid("the CA certificate in it is not valid");
  }
  const facts = readCertificate(certPem);
  if (facts === undefined || facts.isCa) throw invalid("the certificate in it is not valid");
  const { commonName: name, serial, notAfterMs: expiresAtMs } = facts;
  if (name === undefined || !isRiftName(name)) {
    throw invalid("the certificate in it has no rift name");
  }
  if (!isIssuedBy(certPem, caPem)) throw invalid("the certificate in it is not from the CA in it");
  if (!isKeyOf(keyPem, certPem)) {
    throw invalid("the private key in it is not that of the certificate");
  }
  if (nowMs >= expiresAtMs) {
    throw invalid(
      `it ended at ${new Date(expiresAtMs).toISOString()}; ` +
        `on the edge run: mcptun token issue --rift ${name} --tunnels ...`,
    );
  }
  if (nowMs >= ca.notAfterMs) throw invalid("the CA in it has ended; ask for a new credential");
  return { name, serial, expiresAtMs };
}

function pemOf(label: PemLabel, value: unknown, what: string): string {
  if (typeof value !== "string" || value === "") throw invalid(`the ${what} in it is missing`);
  const der = Buffer.from(value, "base64");
  if (der.toString("base64") !== value) throw invalid(`the ${what} in it is damaged`);
  return pemOfDer(label, der);
}

function base64OfPem(label: PemLabel, pem: string): string {
  const der = derOfPem(label, pem);
  if (der === undefined) throw new TypeError(`Cannot encode the credential: no single ${label}`);
  return Buffer.from(der).toString("base64");
}

/** `host:port`, `1.2.3.4:port` or `[v6]:port`. Names are not resolved here. */
function isAddress(address: string): boolean {
  const match =
    /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})$/
      .exec(address);
  const port = Number(match?.[1] ?? 0);
  return port >= 1 && port <= 65_535;
}

function requireLifetime(ttlMs: number): void {
  requireUsage(
    ttlMs > 0 && ttlMs <= MAX_CREDENTIAL_TTL_MS,
    "Cannot issue a credential with this lifetime: it must be above 0 and at most 3650 days",
  );
}

function requireAddress(address: string): void {
  requireUsage(
    isAddress(address),
    `Cannot use ${
      JSON.stringify(address.slice(0, 300))
    } as the address of the edge: it must be host:port`,
  );
}

function requireUsage(holds: boolean, message: string): asserts holds {
  if (!holds) throw new TunnelError("USAGE", message);
}

function damaged(): TunnelError {
  return invalid("it is damaged; copy it again, or ask for a new one");
}

function invalid(problem: string): TunnelError {
  return new TunnelError("CREDENTIAL_INVALID", `Cannot use the credential: ${problem}`);
}
