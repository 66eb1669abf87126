/**
 * Keyed digests (HMAC-SHA-256) of what a trail should tell apart and not hold: session ids, and
 * arguments on request. Without the key, guessing a short value and hashing it leads nowhere.
 *
 * @module
 */

import { createHmac, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import { join } from "node:path";

import { TunnelError } from "../errors.ts";
import type { StateFiles } from "./signing_key.ts";

/** Name of the file with the key, in the state directory. */
export const DIGEST_KEY_FILE = "audit-digest.key";

const KEY_BYTES = 32;
/** 132 bits: no two values of a trail meet. */
const DIGEST_CHARS = 22;

/**
 * Reads the key, or makes it at first use, and gives the function.
 *
 * @throws {TunnelError} `STATE_UNUSABLE`
 */
export async function openDigestKey(
  stateDir: string,
  files: StateFiles,
): Promise<(purpose: string, text: string) => string> {
  const path = join(stateDir, DIGEST_KEY_FILE);
  let text = await files.read(path);
  if (text === undefined) {
    const made = randomBytes(KEY_BYTES).toString("base64url");
    text = await files.create(path, made) === "created" ? made : await files.read(path) ?? made;
  }
  const key = Buffer.from(text.trim(), "base64url");
  if (key.length !== KEY_BYTES) {
    throw new TunnelError(
      "STATE_UNUSABLE",
      `Cannot use "${path}": it is not a key (delete it, and the edge makes a new one; digests of ` +
        "before and after cannot be compared then)",
    );
  }
  return (purpose, value) =>
    createHmac("sha256", key).update(`${purpose}\n${value}`).digest("base64url")
      .slice(0, DIGEST_CHARS);
}
