/** The rules of one tunnel, set by whoever runs the edge. @module */

import { judgeRules, type Layer } from "./decide.ts";
import { type RuleSource } from "./rule.ts";
import { CompiledRules } from "./rules.ts";

/** Makes the layer of a tunnel. Its patterns must have passed `patternProblem`. */
export function compileTunnelLayer(
  source: RuleSource & { readonly fallback: "allow" | "deny" },
): Layer {
  const rules = new CompiledRules([source]);
  const { fallback } = source;
  return { name: "tunnel", judge: (_principal, target) => judgeRules(rules, target, fallback) };
}
