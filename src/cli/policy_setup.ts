/** Who decides about the messages of aware tunnels, made from the configuration. @module */

import { createHash } from "node:crypto";

import type { LoadedConfig } from "../config/load.ts";
import type { TunnelConfig } from "../config/config.ts";
import { parsePolicy, readPolicyText } from "../config/policy_file.ts";
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
  const text = policy.file === undefined ? undefined : readPolicyText({ file: policy.file });
  const users = text === undefined ? "none" : parsePolicy(text, policy.file!).policy;
  // Kept as long as the rules are: they hold the caches.
  // Absolute, as the policy file is: records must say which file it was, wherever the edge was started.
  const named = { ...loaded, shown: loaded.file ?? loaded.shown };
  const layers = new Map(aware.map(({ name }) => [name, layersOf(named, name, users)]));
  return {
    version: versionOf(aware, text),
    decide: (tunnel, principal, target) => decide(layers.get(tunnel) ?? [], principal, target),
  };
}

/** The same rules have the same version, wherever they are in force. */
function versionOf(tunnels: readonly TunnelConfig[], policyText: string | undefined): string {
  const rules = tunnels.map(({ name, rules }) => [name, rules]);
  return createHash("sha256").update(JSON.stringify([rules, policyText])).digest("base64url")
    .slice(0, VERSION_CHARS);
}

const VERSION_CHARS = 16;
