/**
 * The one decision: may this principal use this target? Asked by the edge for each request and for
 * each entry of a list, and by `mcptun policy`.
 *
 * A decision is the AND of independent layers. Everything that is not allowed takes one path, and so
 * does every failure.
 *
 * @module
 */

import type { Principal } from "../principal.ts";
import type { Rule } from "./rule.ts";
import type { CompiledRules } from "./rules.ts";
import { ORDINARY_METHODS } from "./methods.ts";
import { type PreparedTarget, prepareTarget, type Target } from "./target.ts";

/** Why a layer, or the whole, allows. */
export type AllowReason =
  /** A rule of an allow list matches. */
  | "allow_rule"
  /** There is no list for the kind, and `default = "allow"` is written. */
  | "default_allow"
  /** Its parameters, its answer or its principal are judged instead. */
  | "ordinary_method";

/** Why a layer, or the whole, denies. */
export type DenyReason =
  /** A rule of a deny list matches. */
  | "deny_rule"
  /** There is an allow list for the kind, and nothing in it matches. */
  | "not_in_allow_list"
  /** There is no list for the kind. */
  | "default_deny"
  /** No policy matches the principal. */
  | "no_policy"
  /** Nobody was recognized. */
  | "no_principal"
  /** No layer was given. */
  | "no_layer"
  /** The name or URI has what no name or URI may have. */
  | "target_refused"
  /** A session, task or event of somebody else, or of nobody. */
  | "not_owner"
  /** A defect: something threw. */
  | "evaluator_error";

/** What one layer says. */
export type Verdict =
  | { readonly allowed: true; readonly reason: AllowReason; readonly rule?: Rule }
  | {
    readonly allowed: false;
    readonly reason: DenyReason;
    readonly rule?: Rule;
    /** With `target_refused`: what is wrong with it, such as `"backslash"`. */
    readonly detail?: string;
  };

/** One independent judge: the tunnel's rules, the policy file, later a veto of the rift. */
export interface Layer {
  /** Such as `"tunnel"` or `"user"`. */
  readonly name: string;
  judge(principal: Principal, target: PreparedTarget): Verdict;
}

/** The outcome, and the layer and rule that decided. */
export type Decision = Verdict & {
  /** The first layer that denies, or the last one when all allow; absent when none was asked. */
  readonly layer?: string;
};

/** The AND of all layers. Never throws: a failure is a denial. */
export function decide(
  layers: readonly Layer[],
  principal: Principal | undefined,
  target: Target,
): Decision {
  try {
    if (!isPrincipal(principal)) return denied("no_principal");
    const prepared = prepareTarget(target);
    if ("problem" in prepared) return denied("target_refused", { detail: prepared.problem });
    let decision: Decision = denied("no_layer");
    for (const layer of layers) {
      const verdict = layer.judge(principal, prepared);
      // Anything but the word "true" is a denial.
      if (verdict.allowed !== true) return { ...verdict, allowed: false, layer: layer.name };
      decision = allowedBy(layer.name, verdict.reason, verdict.rule);
    }
    return decision;
  } catch {
    // Nothing is lost: the decision says that the evaluator failed, and the audit record has it.
    return denied("evaluator_error");
  }
}

/** Written out: as a spread it would be the dearest part of a decision (a new hidden class in V8). */
function allowedBy(layer: string, reason: AllowReason, rule: Rule | undefined): Decision {
  return rule === undefined
    ? { allowed: true, reason, layer }
    : { allowed: true, reason, rule, layer };
}

/** A denial; all of them are made here. */
export function denied(
  reason: DenyReason,
  facts: { readonly rule?: Rule; readonly detail?: string } = {},
): Verdict & { readonly allowed: false } {
  return { allowed: false, reason, ...facts };
}

/** What a set of rules says: deny first, then the allow list, then the default. */
export function judgeRules(
  rules: CompiledRules,
  target: PreparedTarget,
  fallback: "allow" | "deny",
): Verdict {
  const denying = rules.denying(target);
  if (denying !== undefined) return denied("deny_rule", { rule: denying });
  if (target.kind === "method" && ORDINARY_METHODS.has(target.name)) {
    return { allowed: true, reason: "ordinary_method" };
  }
  const allowing = rules.allowing(target);
  if (allowing === "no_list") {
    return fallback === "allow"
      ? { allowed: true, reason: "default_allow" }
      : denied("default_deny");
  }
  if (allowing === undefined) return denied("not_in_allow_list");
  return { allowed: true, reason: "allow_rule", rule: allowing };
}

/** Somebody with a name. The type says so; what a defect lets through must not. */
function isPrincipal(principal: Principal | undefined): principal is Principal {
  return typeof principal === "object" && principal !== null &&
    typeof principal.user === "string" && principal.user !== "" &&
    Array.isArray(principal.groups) &&
    principal.groups.every((group: unknown) => typeof group === "string");
}
