/** What a rift may be called: the name in its certificate, in logs and in commands. @module */

/** 64 is the longest common name X.509 allows (RFC 5280, appendix A.1, `ub-common-name`). */
const RIFT_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Is this a rift name: 1–64 of `a-z 0-9 . _ -`, beginning with a letter or digit? */
export function isRiftName(name: string): boolean {
  return RIFT_NAME.test(name);
}

/** @throws {TypeError} When `name` is not a rift name. */
export function requireRiftName(name: string): void {
  if (!isRiftName(name)) {
    throw new TypeError(
      `Cannot use ${
        JSON.stringify(name.slice(0, 80))
      } as a rift name: allowed are 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit`,
    );
  }
}
