/** The `WWW-Authenticate` header of a protected resource (RFC 9110, 11.6.1; RFC 6750, 3; RFC 9728, 5.1). @module */

/** The Bearer challenge of a server. */
export interface BearerChallenge {
  readonly resourceMetadata: string | undefined;
  readonly scope: string | undefined;
  readonly error: string | undefined;
  readonly errorDescription: string | undefined;
}

/** What the header says. */
export interface Challenges {
  /** Every scheme that is offered, in order, as written. */
  readonly schemes: readonly string[];
  /** The first of the scheme Bearer. */
  readonly bearer: BearerChallenge | undefined;
}

/** Reads the values of all `WWW-Authenticate` headers of an answer; what cannot be read is passed over. */
export function readChallenges(values: readonly string[]): Challenges {
  const schemes: string[] = [];
  let bearer: Map<string, string> | undefined;
  let current: Map<string, string> | undefined;
  for (const match of values.join(", ").matchAll(PART)) {
    const { scheme, name, quoted, token } = match.groups ?? {};
    if (name !== undefined) {
      const value = quoted === undefined ? token ?? "" : quoted.replace(/\\(.)/g, "$1");
      // Twice the same parameter: the first counts, as nobody may add to what was said.
      if (current !== undefined && !current.has(name.toLowerCase())) {
        current.set(name.toLowerCase(), value);
      }
    } else if (scheme !== undefined) {
      schemes.push(scheme);
      current = new Map();
      if (scheme.toLowerCase() === "bearer") bearer ??= current;
    }
  }
  return {
    schemes,
    bearer: bearer === undefined ? undefined : {
      resourceMetadata: bearer.get("resource_metadata"),
      scope: bearer.get("scope"),
      error: bearer.get("error"),
      errorDescription: bearer.get("error_description"),
    },
  };
}

/** Either `name=value` or `name="value"`, or a token that no "=" follows: a scheme (or its token68). */
const PART = new RegExp(
  String.raw`(?<name>[!#$%&'*+\-.^_\`|~\w]+)[ \t]*=[ \t]*(?:"(?<quoted>(?:[^"\\]|\\.)*)"|` +
    String.raw`(?<token>[!#$%&'*+\-.^_\`|~\w:/?]+))|(?<scheme>[!#$%&'*+\-.^_\`|~\w]+)`,
  "g",
);
