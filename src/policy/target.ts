/** What a decision is about, prepared once for all rules it meets. @module */

import { MAX_TARGET_CHARS } from "../limits.ts";
import { foldName, Text } from "./pattern.ts";
import { hasMarkRun, normalizeUri } from "./uri.ts";

/** The kinds of targets; each has its own lists of rules. */
export const TARGET_KINDS = ["tool", "resource", "prompt", "method"] as const;

/** One of {@link TARGET_KINDS}. */
export type TargetKind = typeof TARGET_KINDS[number];

/** One tool, resource, prompt or method that a principal wants to use or see. */
export interface Target {
  readonly kind: TargetKind;
  /** A name as in the message; of a resource its URI, or the template of URIs. */
  readonly name: string;
}

/** A target with the forms that rules are compared with. */
export interface PreparedTarget {
  readonly kind: TargetKind;
  readonly name: string;
  /** What an allow rule must match: all of them. */
  readonly written: Text;
  readonly normal: Text | undefined;
  /** What a deny rule may match: any of them, those that were folded with them. */
  readonly forms: readonly Text[];
}

/**
 * Prepares a target, or says why it is denied whatever the rules say.
 *
 * @throws {TypeError} When it is no target at all.
 */
export function prepareTarget(
  { kind, name }: Target,
): PreparedTarget | { readonly problem: string } {
  if (!TARGET_KINDS.includes(kind) || typeof name !== "string") {
    throw new TypeError("Cannot judge this: it has no kind or no name");
  }
  const written = new Text(name);
  if (kind === "resource") {
    const uri = normalizeUri(name);
    if ("problem" in uri) return uri;
    const normal = uri.normal === name ? written : new Text(uri.normal);
    const forms = normal === written ? [written] : [written, normal];
    for (const form of uri.kin) forms.push(new Text(form));
    addFolded(forms);
    return { kind, name, written, normal, forms };
  }
  if (name === "") return { problem: "empty" };
  if (name.length > MAX_TARGET_CHARS) return { problem: "too_long" };
  if (/\p{Cc}/u.test(name)) return { problem: "control_character" };
  if (/\p{Cs}/u.test(name)) return { problem: "lone_surrogate" };
  if (hasMarkRun(name)) return { problem: "too_many_marks" };
  const folded = foldName(name);
  const forms = folded === name ? [written] : [written, new Text(folded)];
  return { kind, name, written, normal: undefined, forms };
}

/** In another case, or with characters that are not seen, many servers find the same file. */
function addFolded(forms: Text[]): void {
  for (const { text } of forms.slice()) {
    const folded = foldName(text);
    if (folded !== text && !forms.some((form) => form.text === folded)) {
      forms.push(new Text(folded));
    }
  }
}
