/** Who decides about the messages of aware tunnels, made from the configuration. @module */

import type { LoadedConfig } from "../config/load.ts";
import { loadPolicy } from "../config/policy_file.ts";
import { layersOf } from "../config/tunnel_policy.ts";
import type { PolicyDecider } from "../edge/edge_options.ts";
import { decide } from "../policy/decide.ts";

/**
 * Loads the policy file, if the configuration names one, and compiles all rules.
 *
 * @returns `undefined` when no tunnel is aware.
 * @throws {TunnelError} `CONFIG_INVALID` with every problem of the policy file.
 */
export function policyDecider(loaded: LoadedConfig): PolicyDecider | undefined {
  const { tunnels, policy } = loaded.config;
  const aware = tunnels.filter(({ mode }) => mode === "aware");
  if (aware.length === 0) return undefined;
  const users = policy.file === undefined ? "none" : loadPolicy({ file: policy.file }).policy;
  // Kept as long as the rules are: they hold the caches.
  const layers = new Map(aware.map(({ name }) => [name, layersOf(loaded, name, users)]));
  return {
    decide: (tunnel, principal, target) => decide(layers.get(tunnel) ?? [], principal, target),
  };
}
