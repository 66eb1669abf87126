/** The rift's own credential for a private server, and for whom it is used. @module */

import type { Logger } from "../log.ts";
import type { Secret } from "../runtime/secret.ts";
import type { RequestHead } from "../wire/head.ts";

/**
 * With it the private server takes a request for one of its own. So it goes only with those of whom
 * the edge says that it knows who asks: anyone else would get in under the rift's name.
 */
export class UpstreamCredential {
  readonly #authorization: Secret;
  readonly #log: Logger;
  #warned = false;

  constructor(authorization: Secret, log: Logger) {
    this.#authorization = authorization;
    this.#log = log;
  }

  /** The value of `Authorization`; `undefined`: the request goes on as it came. */
  for({ known }: Pick<RequestHead, "known">): Secret | undefined {
    if (known !== undefined) return this.#authorization;
    if (!this.#warned) {
      this.#warned = true;
      this.#log.warn("authorization_file is not used: the edge has not proved who asks", {
        mend:
          'set auth = "edge" on this tunnel of the edge; an edge that is older has to be updated',
      });
    }
    return undefined;
  }
}
