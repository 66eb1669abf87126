/** The `Authorization` value that a rift shows its private server, read from a file. @module */

import { TunnelError } from "../errors.ts";
import { Secret } from "../runtime/secret.ts";
import type { Io } from "./io.ts";
import { readSecretFile } from "./secret_file.ts";

/**
 * Reads `authorization_file`; white space around the value does not matter.
 *
 * @param place The key, as `mcptun.toml:14:3 rift.expose[0].authorization_file`.
 * @throws {TunnelError} `CONFIG_INVALID`, which never shows the value.
 */
export function readUpstreamAuthorization(io: Io, path: string, place: string): Secret {
  const text = readSecretFile(io, { path, place });
  // RFC 9110, 11.6.2: a scheme, and what proves the rift, such as "Bearer" and a token.
  if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e][\x20-\x7e]*$/.test(text)) return new Secret(text);
  throw new TunnelError(
    "CONFIG_INVALID",
    `${place}: ${JSON.stringify(path)} holds no Authorization value (write one line, such as: ` +
      "Bearer TOKEN)",
  );
}
