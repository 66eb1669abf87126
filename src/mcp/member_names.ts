/**
 * Member names that mean something in MCP, and names that only look like one of them.
 *
 * A parser that ignores case, or folds `ſ` to `s`, reads `"paramſ"` as `params`; one that cuts at
 * NUL reads `"name\u0000"` as `name`. Then two parties read two different calls
 * (CVE-2026-27896, GHSA-q382-vc8q-7jhj). So next to the protocol's own members no such name may
 * stand.
 *
 * @module
 */

/** The names that one kind of object reserves. */
export interface ReservedNames {
  readonly names: readonly string[];
  /** Is `name` a look-alike: not reserved itself, but read as a reserved one by a lax parser? */
  isLookAlike(name: string): boolean;
}

/** What `prefixes` reserve is every name that begins so, whatever follows. */
export function reserve(
  names: readonly string[],
  prefixes: readonly string[] = [],
): ReservedNames {
  const exact = new Set(names);
  const folded = new Set(names.map(foldName));
  const foldedPrefixes = prefixes.map((prefix) => [prefix, foldName(prefix)] as const);
  return {
    names,
    isLookAlike(name) {
      if (exact.has(name)) return false;
      // Never a member of the protocol, and an object built with `=` or a merge takes it as a prototype.
      if (name === "__proto__") return true;
      const fold = foldName(name);
      if (folded.has(fold)) return true;
      return foldedPrefixes.some(([prefix, start]) =>
        fold.startsWith(start) && !name.startsWith(prefix)
      );
    },
  };
}

/**
 * The form in which look-alikes are equal: compatibility forms (NFKC) and case removed, and
 * everything that is not seen: controls with NUL, format and zero-width characters, spaces.
 */
export function foldName(name: string): string {
  if (VISIBLE_ASCII.test(name)) return name.toLowerCase();
  // Upper case first: it joins what lower case keeps apart, as in `ſ` and `ı`.
  return name.normalize("NFKC").toUpperCase().toLowerCase().replace(UNSEEN, "");
}

const VISIBLE_ASCII = /^[\x21-\x7e]*$/;
// U+0307 is what lower case leaves of U+0130.
const UNSEEN = /[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\p{Z}\u0307]/gu;
