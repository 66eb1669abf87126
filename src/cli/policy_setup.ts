/** Who decides about the messages of aware tunnels, made from the configuration. @module */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

import type { LoadedConfig } from "../config/load.ts";
import type { TunnelConfig } from "../config/config.ts";
import { policySteps, readPolicyText } from "../config/policy_file.ts";
import { layersOf } from "../config/tunnel_policy.ts";
import type { PolicyDecider } from "../edge/edge_options.ts";
import { POLICY_READ_BYTES } from "../limits.ts";
import { decide } from "../policy/decide.ts";
import { inSlices, type SliceOptions } from "../runtime/slices.ts";
import type { Steps } from "../steps.ts";

/**
 * Loads the policy file, if the configuration names one, and compiles all rules. Exchanges go on
 * meanwhile.
 *
 * @returns `undefined` when no tunnel is aware.
 * @throws {TunnelError} `CONFIG_INVALID` with every problem of the policy file; the reason of the
 *   signal, when it aborts.
 */
export async function policyDecider(
  loaded: LoadedConfig,
  slices: SliceOptions,
): Promise<PolicyDecider | undefined> {
  const { tunnels, policy } = loaded.config;
  const aware = tunnels.filter(({ mode }) => mode === "aware");
  if (aware.length === 0) return undefined;
  const { file } = policy;
  const text = file === undefined ? undefined : await readPolicyText({ file }, slices.signal);
  const users = text === undefined
    ? "none"
    : (await inSlices(policySteps({ text, file: file! }), slices)).policy;
  // Kept as long as the rules are: they hold the caches.
  // Absolute, as the policy file is: records must say which file it was, wherever the edge was started.
  const named = { ...loaded, shown: loaded.file ?? loaded.shown };
  const layers = new Map(aware.map(({ name }) => [name, layersOf(named, name, users)]));
  return {
    version: await inSlices(versionSteps(aware, text ?? ""), slices),
    decide: (tunnel, principal, target) => decide(layers.get(tunnel) ?? [], principal, target),
  };
}

/** The same rules have the same version, wherever they are in force. */
function* versionSteps(tunnels: readonly TunnelConfig[], policyText: string): Steps<string> {
  const rules = tunnels.map(({ name, rules }) => [name, rules]);
  const hash = createHash("sha256").update(JSON.stringify(rules));
  for (let at = 0; at < policyText.length; at += POLICY_READ_BYTES) {
    // As it is in memory: a cut may go through a surrogate pair.
    hash.update(Buffer.from(policyText.slice(at, at + POLICY_READ_BYTES), "utf16le"));
    yield;
  }
  return hash.digest("base64url").slice(0, VERSION_CHARS);
}

const VERSION_CHARS = 16;
