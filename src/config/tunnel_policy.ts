/** The layers that judge the messages of one tunnel. @module */

import type { Layer } from "../policy/decide.ts";
import { compileTunnelLayer } from "../policy/tunnel_layer.ts";
import type { UserPolicy } from "../policy/user_layer.ts";
import type { LoadedConfig } from "./load.ts";

/** The layer of a tunnel's own rules. @throws {TypeError} When the tunnel is not an aware one. */
export function tunnelLayerOf({ config, shown, locate }: LoadedConfig, name: string): Layer {
  const index = config.tunnels.findIndex((tunnel) => tunnel.name === name);
  const tunnel = config.tunnels[index];
  if (tunnel?.mode !== "aware") {
    throw new TypeError(`Cannot judge by tunnel ${JSON.stringify(name)}: it is not an aware one`);
  }
  return compileTunnelLayer({
    file: shown,
    lists: tunnel.rules.lists,
    fallback: tunnel.rules.default ?? "deny",
    placeOf: (list, item) => locate(["tunnel", index, list, item]),
  });
}

/**
 * All layers of an aware tunnel, in the order in which they are asked.
 *
 * @param policy What `policy.file` came to: `"none"` when the configuration names no file;
 *   `"unusable"` when it could not be loaded, and then nothing is allowed.
 */
export function layersOf(
  loaded: LoadedConfig,
  tunnel: string,
  policy: UserPolicy | "none" | "unusable",
): readonly Layer[] {
  if (policy === "unusable") return [];
  const own = tunnelLayerOf(loaded, tunnel);
  return policy === "none" ? [own] : [own, policy.layerFor(tunnel)];
}
