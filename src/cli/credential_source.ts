/** Where a rift's credential comes from: a file, standard input, the environment. Never argv. @module */

import { TunnelError } from "../errors.ts";
import { type Credential, decodeCredential } from "../identity/credential.ts";
import { isStreamPath, readNamedFile, TooLargeError, unreadReason } from "../runtime/named_file.ts";
import { type Io, readAll } from "./io.ts";
import { warnOfReaders } from "./secret_file.ts";

/** The places to look, in order: the flag, the environment, the file. */
export interface CredentialPlaces {
  /** `"-"` is standard input; otherwise an absolute path. */
  readonly flag?: string | undefined;
  /** An absolute path. */
  readonly configured?: string | undefined;
}

/** Reads the credential. @throws {TunnelError} `CREDENTIAL_INVALID`, which never shows its text. */
export async function readCredential(io: Io, places: CredentialPlaces): Promise<Credential> {
  if (places.flag === "-") {
    const text = await readAll(io.stdin, MAX_TOKEN_BYTES);
    return decode("standard input", text);
  }
  if (places.flag !== undefined) return decode(places.flag, readTokenFile(io, places.flag));
  const variable = io.env["MCPTUN_TOKEN"];
  if (variable !== undefined && variable !== "") return decode("MCPTUN_TOKEN", variable);
  if (places.configured !== undefined) {
    return decode(places.configured, readTokenFile(io, places.configured));
  }
  throw new TunnelError(
    "CREDENTIAL_INVALID",
    'No credential: make one on the edge with "mcptun token issue", then give it with ' +
      "--token-file FILE, in MCPTUN_TOKEN, or as rift.token_file",
  );
}

/** The file that {@link readCredential} reads; `undefined` when it reads something else. */
export function credentialFile(io: Io, places: CredentialPlaces): string | undefined {
  if (places.flag !== undefined) {
    return places.flag === "-" || isStreamPath(places.flag) ? undefined : places.flag;
  }
  return (io.env["MCPTUN_TOKEN"] ?? "") === "" ? places.configured : undefined;
}

/** Refuses secrets on the command line: other users of the host can read it. @throws {TunnelError} `USAGE` */
export function refuseSecretArguments(argv: readonly string[]): void {
  if (!argv.some((argument) => /mcp[atu]_[A-Za-z0-9_-]{16}/.test(argument))) return;
  throw new TunnelError(
    "USAGE",
    "A credential must not stand on the command line, where other users can read it: put it in " +
      "a file (--token-file FILE), on standard input (--token-file -) or in MCPTUN_TOKEN; " +
      "treat this one as leaked",
  );
}

function readTokenFile(io: Io, path: string): string {
  try {
    const { bytes, mode } = readNamedFile(path, MAX_TOKEN_BYTES);
    warnOfReaders(io, path, mode);
    return bytes.toString("utf8");
  } catch (error) {
    if (error instanceof TooLargeError) {
      throw invalid(path, "the file is too large for a credential");
    }
    throw invalid(path, unreadReason(error, { EISDIR: "it is a folder" }));
  }
}

function decode(from: string, text: string | undefined): Credential {
  if (text === undefined) throw invalid(from, "too large for a credential");
  try {
    return decodeCredential(text);
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error;
    throw new TunnelError(error.code, `${from}: ${error.message}`, { cause: error });
  }
}

function invalid(from: string, reason: string): TunnelError {
  return new TunnelError(
    "CREDENTIAL_INVALID",
    `Cannot read the credential from ${from}: ${reason}`,
  );
}

/** Far above any credential, which is about 2 KiB. */
const MAX_TOKEN_BYTES = 65_536;
