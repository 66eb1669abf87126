/** A decision, layer by layer, for people and for machines. @module */

import type { Principal } from "../principal.ts";
import { decide, type Decision, type Layer } from "./decide.ts";
import type { Rule } from "./rule.ts";
import type { Target } from "./target.ts";

/** What one layer says on its own. */
export interface LayerExplanation {
  readonly layer: string;
  readonly decision: "allow" | "deny";
  readonly reason: Decision["reason"];
  readonly rule?: Rule;
  readonly detail?: string;
}

/** The decision with every layer, also those behind the first that denies. */
export interface Explanation {
  readonly decision: "allow" | "deny";
  /** The layer that decided. */
  readonly layer?: string;
  readonly layers: readonly LayerExplanation[];
}

/** Asks {@link decide}, for all layers together and for each alone. */
export function explain(
  layers: readonly Layer[],
  principal: Principal | undefined,
  target: Target,
): Explanation {
  const whole = decide(layers, principal, target);
  return {
    decision: wordOf(whole),
    ...(whole.layer === undefined ? {} : { layer: whole.layer }),
    layers: layers.map((layer) => {
      const alone = decide([layer], principal, target);
      return {
        layer: layer.name,
        decision: wordOf(alone),
        reason: alone.reason,
        ...(alone.rule === undefined ? {} : { rule: alone.rule }),
        ...("detail" in alone && alone.detail !== undefined ? { detail: alone.detail } : {}),
      };
    }),
  };
}

/**
 * One line about one layer, wherever people read of a decision: the list, pattern and place of the
 * rule that decided, or the reason's own word and what it means.
 */
export function reasonText(
  { reason, rule, detail, tunnel }: Omit<LayerExplanation, "layer"> & {
    /** Named where that is what explains it. */
    readonly tunnel?: string | undefined;
  },
): string {
  if (rule !== undefined) {
    return `${rule.list} ${
      JSON.stringify(rule.pattern)
    } (${rule.file}:${rule.line}:${rule.column})`;
  }
  const text = reason === "no_policy" && tunnel !== undefined
    ? REASON_TEXTS[reason].replace("this tunnel", () => `tunnel ${JSON.stringify(tunnel)}`)
    : REASON_TEXTS[reason];
  const meaning = detail === undefined ? text : `${text}: ${detail.replaceAll("_", " ")}`;
  return `${reason} (${meaning})`;
}

function wordOf({ allowed }: Decision): "allow" | "deny" {
  return allowed ? "allow" : "deny";
}

/** What each word means, for people; `docs/policy.md` has them all. */
export const REASON_TEXTS: Readonly<Record<Decision["reason"], string>> = {
  allow_rule: "a rule allows it",
  default_allow: 'there is no list for this kind, and default = "allow"',
  ordinary_method: "no rule denies it; what it names and what it answers is judged on its own",
  deny_rule: "a rule denies it",
  not_in_allow_list: "no pattern of the allow list matches",
  default_deny: "there is no allow list for this kind, so nothing of it is allowed",
  no_policy:
    "no [[policy]] names this user or a group of theirs for this tunnel, so nothing is allowed",
  no_principal: "nobody was recognized",
  no_layer: "there is nothing that could allow it",
  target_refused: "this name or URI is always denied",
  not_owner: "it is somebody else's, or not there",
  evaluator_error: "the evaluator failed; this is a defect",
};
