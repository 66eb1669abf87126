/** The token that admits to status and metrics over TCP: one per state directory. @module */

import { randomBytes } from "node:crypto";
import { join } from "node:path";

import {
  corruptStateFile,
  createStateFile,
  prepareStateDir,
  readStateFile,
} from "../identity/state_dir.ts";
import { Secret } from "../runtime/secret.ts";

/** Where the token is kept. */
export function adminTokenFile(stateDir: string): string {
  return join(stateDir, "admin.token");
}

/**
 * Reads the token, or makes it at the first call: `mcpa_` and 256 random bits, mode 0600. To change
 * it, delete the file and restart the edge.
 *
 * @throws {TunnelError} `STATE_UNUSABLE`, also when the file holds something else.
 */
export async function adminToken({ stateDir }: { readonly stateDir: string }): Promise<Secret> {
  await prepareStateDir(stateDir);
  const path = adminTokenFile(stateDir);
  const found = await readStateFile(path);
  if (found !== undefined) return parse(path, found);
  const made = `mcpa_${randomBytes(32).toString("base64url")}`;
  if (await createStateFile(path, `${made}\n`) === "created") return new Secret(made);
  return parse(path, await readStateFile(path) ?? ""); // another process was first
}

function parse(path: string, text: string): Secret {
  const token = text.trim();
  if (/^mcpa_[A-Za-z0-9_-]{43}$/.test(token)) return new Secret(token);
  throw corruptStateFile(
    path,
    "it does not hold an admin token",
    "delete it, and the edge makes a new one when it starts",
  );
}
