/**
 * The edge's own certificate authority: the only one either side of a tunnel trusts.
 *
 * Two files in the state directory, each a certificate followed by its key: `tunnel-ca.pem`, made
 * once and never replaced, and `tunnel-server.pem`, which is derived from it and renewed.
 *
 * @module
 */

import { join } from "node:path";

import type { Clock } from "../clock.ts";
import type { TunnelError } from "../errors.ts";
import type { Logger } from "../log.ts";
import {
  type CertificateFacts,
  type CertifiedKey,
  isIssuedBy,
  isKeyOf,
  type LeafFacts,
  makeCa,
  makeLeaf,
  makeLeafFor,
  readCertificate,
  type TlsMaterial,
} from "./certificate.ts";
import { derOfPem, pemOfDer } from "./pem.ts";
import { requireRiftName } from "./rift_name.ts";
import {
  corruptStateFile,
  createStateFile,
  prepareStateDir,
  readStateFile,
  replaceStateFile,
} from "./state_dir.ts";

/**
 * The name in the edge's tunnel certificate, on every edge. The CA, not the name, tells edges
 * apart.
 */
export const SERVER_NAME = "mcptun-edge";

const DAY_MS = 24 * 60 * 60 * 1_000;
/** Lifetime of the CA, ms. Replacing it means new credentials everywhere. */
export const CA_LIFETIME_MS = 3_650 * DAY_MS;
/** Lifetime of the server certificate, ms. Renewed when less than a third is left. */
export const SERVER_LIFETIME_MS = 90 * DAY_MS;
/** Longest lifetime of a client certificate, ms. */
export const MAX_CREDENTIAL_TTL_MS = 3_650 * DAY_MS;
/** How far in the past certificates begin, ms: a rift's clock may be this slow. */
export const CLOCK_SKEW_MS = 5 * 60 * 1_000;
/** The log warns when the CA ends within this, ms. */
const CA_WARNING_MS = 365 * DAY_MS;

/** What {@link openTunnelCa} needs. */
export interface TunnelCaOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A client certificate and what is stored of it. */
export interface MadeCertificate {
  readonly certPem: string;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  readonly expiresAtMs: number;
}

/** A client certificate, its key, and what is stored of it. */
export interface IssuedCertificate extends MadeCertificate, CertifiedKey {}

/** What a client certificate is made for. */
export interface ClientRequest {
  /** A rift name. */
  readonly name: string;
  /** Above 0, at most ten years. */
  readonly ttlMs: number;
}

/** An open tunnel CA. */
export interface TunnelCa {
  readonly caPem: string;
  /**
   * What the tunnel listener presents: a certificate for {@link SERVER_NAME}, renewed when less
   * than a third of its lifetime is left. Cheap when nothing is to be done.
   */
  serverMaterial(): Promise<TlsMaterial>;
  /**
   * Makes a key and a client certificate for a rift. It never outlives the CA, so `expiresAtMs` may come
   * early.
   *
   * @throws {TypeError} When `name` is not a rift name.
   * @throws {RangeError} When `ttlMs` is not above 0 and at most ten years.
   */
  issue(request: ClientRequest): Promise<IssuedCertificate>;
  /**
   * Makes a client certificate for a key that the rift holds: SubjectPublicKeyInfo, DER, P-256.
   *
   * @throws As `issue`, and {@link TypeError} for another kind of key.
   */
  certify(
    request: ClientRequest & { readonly publicKey: Uint8Array },
  ): Promise<MadeCertificate>;
}

/**
 * Opens the tunnel CA of a state directory; makes both at the first start. Two first starts at the
 * same time end with the same CA.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` with the path and what to do.
 */
export async function openTunnelCa(options: TunnelCaOptions): Promise<TunnelCa> {
  const { stateDir, clock, log } = options;
  await prepareStateDir(stateDir);
  const caPath = join(stateDir, "tunnel-ca.pem");
  const ca = await openCa(caPath, options);
  const { notAfterMs } = requireCa(caPath, ca, clock.wallNow());
  if (notAfterMs - clock.wallNow() < CA_WARNING_MS) {
    log.warn("Tunnel CA ends soon", { file: caPath, ends: new Date(notAfterMs).toISOString() });
  }
  const server = new ServerCertificate(
    join(stateDir, "tunnel-server.pem"),
    ca,
    notAfterMs,
    options,
  );
  await server.material(); // a damaged file shows at start, not at the first renewal
  return {
    caPem: ca.certPem,
    serverMaterial: () => server.material(),
    async issue(request) {
      const pair = await makeLeaf(ca, clientFacts(request, notAfterMs, clock.wallNow()));
      return { keyPem: pair.keyPem, ...madeOf(pair.certPem) };
    },
    async certify(request) {
      const facts = clientFacts(request, notAfterMs, clock.wallNow());
      return madeOf(await makeLeafFor(ca, { ...facts, publicKey: request.publicKey }));
    },
  };
}

/** The server certificate on disk and in memory. */
class ServerCertificate {
  readonly #path: string;
  readonly #ca: CertifiedKey;
  readonly #caEndsMs: number;
  readonly #options: TunnelCaOptions;
  #current: (CertifiedKey & { readonly renewAtMs: number }) | undefined;
  #renewing: Promise<TlsMaterial> | undefined;

  constructor(path: string, ca: CertifiedKey, caEndsMs: number, options: TunnelCaOptions) {
    this.#path = path;
    this.#ca = ca;
    this.#caEndsMs = caEndsMs;
    this.#options = options;
  }

  async material(): Promise<TlsMaterial> {
    const current = this.#current;
    const { clock } = this.#options;
    if (current !== undefined && clock.wallNow() < current.renewAtMs) return this.#with(current);
    this.#renewing ??= this.#load().finally(() => {
      this.#renewing = undefined;
    });
    return await this.#renewing;
  }

  async #load(): Promise<TlsMaterial> {
    const stored = await this.#read();
    return this.#with(stored ?? await this.#renew());
  }

  /** The stored pair, if it is still good for a while. */
  async #read(): Promise<CertifiedKey | undefined> {
    const { clock, log } = this.#options;
    const text = await readStateFile(this.#path);
    if (text === undefined) return undefined;
    const pair = parsePair(this.#path, text, "delete it; the edge makes a new one from its CA");
    const facts = readCertificate(pair.certPem);
    const nowMs = clock.wallNow();
    if (!isIssuedBy(pair.certPem, this.#ca.certPem) || facts?.dnsName !== SERVER_NAME) {
      log.warn("Server certificate is from another CA, making a new one", { file: this.#path });
      return undefined;
    }
    const renewAtMs = facts.notAfterMs - (facts.notAfterMs - facts.notBeforeMs) / 3;
    if (nowMs < facts.notBeforeMs || nowMs >= renewAtMs) return undefined;
    this.#current = { ...pair, renewAtMs };
    return pair;
  }

  async #renew(): Promise<CertifiedKey> {
    const { clock, log } = this.#options;
    const nowMs = clock.wallNow();
    if (nowMs >= this.#caEndsMs) throw caEnded(this.#path, this.#caEndsMs);
    const notBeforeMs = nowMs - CLOCK_SKEW_MS;
    const notAfterMs = Math.min(nowMs + SERVER_LIFETIME_MS, this.#caEndsMs);
    const pair = await makeLeaf(this.#ca, {
      commonName: SERVER_NAME,
      dnsName: SERVER_NAME,
      usage: "server",
      notBeforeMs,
      notAfterMs,
    });
    await replaceStateFile(this.#path, pair.certPem + pair.keyPem);
    this.#current = { ...pair, renewAtMs: notAfterMs - (notAfterMs - notBeforeMs) / 3 };
    log.info("Made a server certificate", { ends: new Date(notAfterMs).toISOString() });
    return pair;
  }

  #with(pair: CertifiedKey): TlsMaterial {
    return { caPem: this.#ca.certPem, certPem: pair.certPem, keyPem: pair.keyPem };
  }
}

async function openCa(path: string, { clock, log }: TunnelCaOptions): Promise<CertifiedKey> {
  const stored = await readCa(path);
  if (stored !== undefined) return stored;
  const nowMs = clock.wallNow();
  const made = await makeCa("mcptun tunnel CA", {
    notBeforeMs: nowMs - CLOCK_SKEW_MS,
    notAfterMs: nowMs + CA_LIFETIME_MS,
  });
  const outcome = await createStateFile(path, made.certPem + made.keyPem);
  if (outcome === "created") {
    log.info("Made the tunnel CA", { file: path });
    return made;
  }
  const winner = await readCa(path); // another first start was faster
  if (winner === undefined) throw corruptStateFile(path, "it was removed at once", "start again");
  return winner;
}

async function readCa(path: string): Promise<CertifiedKey | undefined> {
  const text = await readStateFile(path);
  return text === undefined ? undefined : parsePair(path, text, CA_REMEDY);
}

const CA_REMEDY =
  "restore it from a backup; or delete it to start over and issue every credential again";

function requireCa(path: string, ca: CertifiedKey, nowMs: number): CertificateFacts {
  const facts = readCertificate(ca.certPem);
  if (facts === undefined || !facts.isCa || !isIssuedBy(ca.certPem, ca.certPem)) {
    throw corruptStateFile(path, "its certificate is not that of a CA", CA_REMEDY);
  }
  if (nowMs >= facts.notAfterMs) throw caEnded(path, facts.notAfterMs);
  if (nowMs < facts.notBeforeMs) {
    throw corruptStateFile(
      path,
      `the CA begins at ${new Date(facts.notBeforeMs).toISOString()}, which is in the future`,
      "check the clock of this machine",
    );
  }
  return facts;
}

function caEnded(path: string, endedMs: number): TunnelError {
  const ended = new Date(endedMs).toISOString();
  return corruptStateFile(
    path,
    `the CA ended at ${ended}`,
    "move the state directory away to start over, then issue every credential again",
  );
}

function parsePair(path: string, text: string, remedy: string): CertifiedKey {
  const certificate = derOfPem("CERTIFICATE", text);
  const key = derOfPem("PRIVATE KEY", text);
  if (certificate === undefined || key === undefined) {
    throw corruptStateFile(path, "it does not hold one certificate and one private key", remedy);
  }
  const pair = {
    certPem: pemOfDer("CERTIFICATE", certificate),
    keyPem: pemOfDer("PRIVATE KEY", key),
  };
  if (!isKeyOf(pair.keyPem, pair.certPem)) {
    throw corruptStateFile(path, "its private key does not belong to its certificate", remedy);
  }
  return pair;
}

function clientFacts({ name, ttlMs }: ClientRequest, caEndsMs: number, nowMs: number): LeafFacts {
  requireRiftName(name);
  if (!(ttlMs > 0 && ttlMs <= MAX_CREDENTIAL_TTL_MS)) {
    throw new RangeError(
      `Cannot issue a certificate for ${ttlMs} ms: ` +
        "the lifetime must be above 0 and at most ten years",
    );
  }
  if (nowMs >= caEndsMs) throw caEnded("tunnel-ca.pem", caEndsMs);
  return {
    commonName: name,
    usage: "client",
    notBeforeMs: nowMs - CLOCK_SKEW_MS,
    notAfterMs: Math.min(nowMs + ttlMs, caEndsMs),
  };
}

function madeOf(certPem: string): MadeCertificate {
  const facts = readCertificate(certPem);
  if (facts === undefined) throw new TypeError("Cannot read the certificate just made");
  return { certPem, serial: facts.serial, expiresAtMs: facts.notAfterMs };
}
