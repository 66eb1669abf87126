/**
 * What a record keeps of the arguments of a call: nothing, all, some members, or a digest that tells
 * equal from different and shows nothing.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { cutText } from "./line_text.ts";

/** What the operator asked to be kept; the configuration's `audit_arguments`. */
export interface KeptArguments {
  /** A list: the members with these names. */
  readonly keep: "none" | "all" | "digest" | readonly string[];
  /** Most that is kept, bytes of JSON. */
  readonly maxBytes: number;
}

/**
 * The value for `arguments` of a record; `undefined` when nothing is kept.
 *
 * @param value The arguments as they were read, from JSON.
 * @param digest The trail's own: see `Audit.digest`.
 */
export function keptArguments(
  { keep, maxBytes }: KeptArguments,
  value: unknown,
  digest: (purpose: string, text: string) => string,
): unknown {
  if (value === undefined || keep === "none") return undefined;
  if (keep === "digest") return { digest: digest("arguments", canonicalJson(value)) };
  const kept = keep === "all" ? value : membersOf(value, keep);
  if (kept === undefined) return undefined;
  const json = JSON.stringify(kept);
  if (json === undefined || Buffer.byteLength(json) <= maxBytes) return kept;
  // Cut by characters, so by a third in bytes at worst: what is left is for people.
  return {
    cut: cutText(json, Math.max(2, Math.floor(maxBytes / 3))),
    bytes: Buffer.byteLength(json),
  };
}

/** JSON with the members of every object in one order, so that equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(
      Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
    );
  });
}

function membersOf(value: unknown, names: readonly string[]): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const kept = names.flatMap((name) =>
    Object.hasOwn(value, name) ? [[name, (value as Record<string, unknown>)[name]] as const] : []
  );
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
