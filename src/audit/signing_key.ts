/**
 * The key that an edge signs its trail with (Ed25519, RFC 8032), in its state directory.
 *
 * @module
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { Buffer } from "node:buffer";
import { join } from "node:path";

import { TunnelError } from "../errors.ts";

/** The private files of a state directory, each whole or absent; the caller has them. */
export interface StateFiles {
  /** `undefined` when there is none. @throws {TunnelError} `STATE_UNUSABLE` */
  readonly read: (path: string) => Promise<string | undefined>;
  /** `"exists"` when there was one, which stays. @throws {TunnelError} `STATE_UNUSABLE` */
  readonly create: (path: string, text: string) => Promise<"created" | "exists">;
  /** @throws {TunnelError} `STATE_UNUSABLE` */
  readonly replace: (path: string, text: string) => Promise<void>;
}

/** Signs checkpoints. */
export interface SigningKey {
  readonly public: PublicKey;
  /** base64url */
  readonly sign: (text: string) => string;
}

/** Checks checkpoints. */
export interface PublicKey {
  /** SHA-256 of the SPKI, base64url, its first 22 characters: 132 bits. */
  readonly id: string;
  /** SPKI, base64url. */
  readonly spki: string;
  /** True for the one signature of this text in its one spelling. */
  readonly verify: (text: string, signature: string) => boolean;
}

/** Name of the file with the private key, in the state directory. */
export const KEY_FILE = "audit-key.pem";
/** Name of the file with the public key, to hand to whoever checks a trail. */
export const PUBLIC_KEY_FILE = "audit-key.pub.pem";

/** Reads the key, or makes it at first use. @throws {TunnelError} `STATE_UNUSABLE` */
export async function openSigningKey(stateDir: string, files: StateFiles): Promise<SigningKey> {
  const path = join(stateDir, KEY_FILE);
  let pem = await files.read(path);
  if (pem === undefined) {
    const { privateKey } = generateKeyPairSync("ed25519");
    const made = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    pem = await files.create(path, made) === "created" ? made : await files.read(path) ?? made;
  }
  const key = signingKeyOf(pem, path);
  await files.create(join(stateDir, PUBLIC_KEY_FILE), publicPemOf(key.public));
  return key;
}

/** The public half of the key in a state directory; `undefined` when there is none. @throws {TunnelError} */
export async function readStateKey(
  stateDir: string,
  files: Pick<StateFiles, "read">,
): Promise<PublicKey | undefined> {
  const path = join(stateDir, KEY_FILE);
  const pem = await files.read(path);
  return pem === undefined ? undefined : signingKeyOf(pem, path).public;
}

/** A public key of PEM text (public or private), or of SPKI in base64url; `undefined` when it is neither. */
export function publicKeyOfText(text: string): PublicKey | undefined {
  const trimmed = text.trim();
  try {
    if (trimmed.startsWith("-----BEGIN")) return publicKeyOf(createPublicKey(trimmed));
    if (!/^[A-Za-z0-9_-]{40,100}$/.test(trimmed)) return undefined;
    const der = Buffer.from(trimmed, "base64url");
    const key = publicKeyOf(createPublicKey({ key: der, type: "spki", format: "der" }));
    return key?.spki === trimmed ? key : undefined;
  } catch {
    // Not a key: the caller says where it stood.
    return undefined;
  }
}

/** Does it have the form of {@link PublicKey.id}? */
export function isKeyId(text: string): boolean {
  return /^[A-Za-z0-9_-]{22}$/.test(text);
}

const SIGNATURE_BYTES = 64;

function signingKeyOf(pem: string, path: string): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // A parser's message could quote the key.
    throw notAKey(path);
  }
  const publicKey = key.asymmetricKeyType === "ed25519"
    ? publicKeyOf(createPublicKey(key))
    : undefined;
  if (publicKey === undefined) throw notAKey(path);
  return {
    public: publicKey,
    sign: (text) => sign(null, Buffer.from(text), key).toString("base64url"),
  };
}

function publicKeyOf(key: KeyObject): PublicKey | undefined {
  if (key.asymmetricKeyType !== "ed25519") return undefined;
  const spki = key.export({ type: "spki", format: "der" });
  return {
    id: createHash("sha256").update(spki).digest("base64url").slice(0, 22),
    spki: spki.toString("base64url"),
    verify(text, signature) {
      const bytes = Buffer.from(signature, "base64url");
      // base64 has several spellings of the same bytes; only the one that was written counts.
      if (bytes.length !== SIGNATURE_BYTES || bytes.toString("base64url") !== signature) {
        return false;
      }
      return verify(null, Buffer.from(text), key, bytes);
    },
  };
}

function publicPemOf({ spki }: PublicKey): string {
  const base64 = Buffer.from(spki, "base64url").toString("base64");
  return `-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`;
}

function notAKey(path: string): TunnelError {
  return new TunnelError(
    "STATE_UNUSABLE",
    `Cannot use "${path}": it is not an Ed25519 private key (restore it from a backup; or move it ` +
      "away, and keep its public key to check what was signed with it)",
  );
}
