/** Keeps a renewed credential where the old one came from, and sees what is put there instead. @module */

import { realpath } from "node:fs/promises";

import { TunnelError } from "../errors.ts";
import {
  type Credential,
  decodeCredential,
  encodeCredential,
  renewedCredential,
} from "../identity/credential.ts";
import { replaceStateFile } from "../identity/state_dir.ts";
import type { Logger } from "../log.ts";
import type { RenewedMaterial } from "../rift/rift_options.ts";
import { NotRegularError, openRegular } from "../runtime/regular_file.ts";
import type { TlsMaterial } from "../transport/transport.ts";

/** Options of {@link credentialKeeper}. */
export interface CredentialKeeperOptions {
  /** What the rift started with. */
  readonly credential: Credential;
  /** The absolute path it was read from; `undefined` when it came another way. */
  readonly file: string | undefined;
  readonly log: Logger;
}

/** Knows which credential a rift uses, and what its file holds. */
export interface CredentialKeeper {
  /** Keeps a renewed one, for `RiftOptions.onRenewed`. Never rejects. */
  readonly keep: (material: RenewedMaterial) => Promise<void>;
  /** The one that somebody put into the file meanwhile, for `RiftOptions.freshCredential`. */
  readonly fresh: () => Promise<TlsMaterial | undefined>;
}

/**
 * Makes the keeper of one rift. The file is replaced whole, with mode 0600, and only while it still
 * holds what was renewed. The rift goes on with the new credential in any case.
 */
export function credentialKeeper(
  { credential, file, log }: CredentialKeeperOptions,
): CredentialKeeper {
  let current = credential;
  /** Serial number of what the file should hold. */
  let written = credential.serial;
  let warned = false;
  let problem = "";
  const warnOnce = (message: string, fields: Record<string, string>): void => {
    if (warned) return;
    warned = true;
    log.warn(message, { ends: timeOf(credential), ...fields });
  };
  /** The same file is looked at more than once. */
  const cannotTake = (file: string, reason: string): undefined => {
    if (reason !== problem) {
      log.warn("Cannot use the credential that is now in the file", { file, reason });
    }
    problem = reason;
  };
  return {
    async keep(material) {
      current = renewedCredential(current, material);
      if (file === undefined) {
        return warnOnce(
          "The renewed credential is kept in memory only: a restart uses the old one",
          {
            remedy: "give the credential with --token-file or rift.token_file",
          },
        );
      }
      try {
        // What a link leads to is replaced, not the link.
        const path = await realpath(file);
        if (await serialIn(path) !== written) {
          return warnOnce("The renewed credential is not written: the file holds something else", {
            file,
            remedy: "put a credential of this rift into the file, which it then takes",
          });
        }
        await replaceStateFile(path, `${encodeCredential(current).reveal()}\n`);
        written = current.serial;
        warned = false;
        log.info("Renewed credential written", { file, ends: timeOf(current) });
      } catch (error) {
        warnOnce("The renewed credential cannot be written: a restart uses the old one", {
          file,
          error: error instanceof TunnelError ? error.message : codeOf(error),
          remedy: "let this user write the file and its folder; the next renewal tries again",
        });
      }
    },
    async fresh() {
      if (file === undefined) return undefined;
      let found: Credential;
      try {
        found = decodeCredential(await textOf(file));
      } catch (error) {
        return cannotTake(file, error instanceof TunnelError ? error.message : codeOf(error));
      }
      // Also the old one, which stays there when a renewed one cannot be written.
      if (found.serial === current.serial || found.serial === written) return undefined;
      if (found.name !== current.name || found.address !== current.address) {
        return cannotTake(
          file,
          "it is for another rift or another edge: restart the rift to use it",
        );
      }
      current = found;
      written = found.serial;
      warned = false;
      problem = "";
      log.info("Taking the credential that is now in the file", { file, ends: timeOf(found) });
      return found.material;
    },
  };
}

/** The serial number of the credential in a file; `undefined` when there is no good one in it. */
async function serialIn(path: string): Promise<string | undefined> {
  const text = await textOf(path);
  try {
    return decodeCredential(text).serial;
  } catch (error) {
    if (error instanceof TunnelError) return undefined;
    throw error;
  }
}

function timeOf({ expiresAtMs }: Credential): string {
  return new Date(expiresAtMs).toISOString();
}

async function textOf(path: string): Promise<string> {
  const file = await openRegular(path);
  try {
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** Not its message: that of a failed read could quote the file. */
function codeOf(error: unknown): string {
  if (error instanceof NotRegularError) return error.message;
  return error instanceof Error && "code" in error ? String(error.code) : "unknown failure";
}
