/**
 * What this build speaks, and how two sides agree.
 *
 * @module
 */

/** The version of this build. */
const WIRE_VERSION = 1;
/** Every version this build speaks. */
export const SUPPORTED_VERSIONS: readonly number[] = [WIRE_VERSION];
/** Features by name (docs/wire-protocol.md, section 7). */
export const FEATURES = { wellKnown: "well-known", renew: "renew", check: "check" } as const;
/** Every feature an edge of this build knows. */
export const SUPPORTED_FEATURES: readonly string[] = Object.values(FEATURES);
/** What a rift offers: everything but `check`, which would keep it from registering. */
export const RIFT_FEATURES: readonly string[] = [FEATURES.wellKnown, FEATURES.renew];

/** The highest version both sides speak. */
export function chooseVersion(
  offered: readonly number[],
  supported: readonly number[],
): number | undefined {
  let best: number | undefined;
  for (const version of offered) {
    if (supported.includes(version) && (best === undefined || version > best)) best = version;
  }
  return best;
}

/** The features both sides know, in the order of the first. */
export function commonFeatures(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set(a)].filter((feature) => b.includes(feature));
}
