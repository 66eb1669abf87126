/** What a loaded configuration comes to, key by key, for people to read. @module */

import { describeTables, type KeyDescription } from "./describe.ts";
import type { LoadedConfig, Origin } from "./load.ts";
import { shownUrl } from "./value.ts";

/** One effective value; `value` is in the form the file has it, `undefined` when nothing is set. */
export interface EffectiveValue {
  readonly key: string;
  readonly value: string | number | boolean | readonly string[] | undefined;
  readonly origin: Origin;
  /** Name of the tunnel that the key is of. */
  readonly tunnel?: string;
}

/** Every key with its effective value and origin, in the order of the documentation; no secrets. */
export function effectiveValues(loaded: LoadedConfig): EffectiveValue[] {
  return describeTables().flatMap(({ path, keys }) => {
    if (path === "tunnel") {
      return loaded.config.tunnels.flatMap(({ name }, index) =>
        rows(loaded, keys, `tunnel[${index}]`, index).map((row) => ({ ...row, tunnel: name }))
      );
    }
    if (path === "auth.issuer") {
      return loaded.config.auth.issuers.flatMap((_, index) =>
        rows(loaded, keys, `auth.issuer[${index}]`, index)
      );
    }
    if (path === "rift.expose") {
      return loaded.config.rift.exposes.flatMap((_, index) =>
        rows(loaded, keys, `rift.expose[${index}]`, index)
      );
    }
    return rows(loaded, keys, path, 0);
  });
}

function rows(
  loaded: LoadedConfig,
  keys: readonly KeyDescription[],
  prefix: string,
  index: number,
): EffectiveValue[] {
  return keys.map((key) => {
    const path = `${prefix}.${key.name}`;
    // A list set by a flag is one override for all that is below it.
    const origin = loaded.origins.get(path) ?? "default";
    const value = derived(loaded, key, index) ?? writtenAt(loaded.written, key, index) ??
      key.fallback;
    return { key: path, value: value as EffectiveValue["value"], origin };
  });
}

/** Values that depend on others or on the place of the file, so that neither text nor default tell. */
function derived({ config }: LoadedConfig, key: KeyDescription, index: number): unknown {
  switch (key.path) {
    case "edge.tunnel_address":
      return config.edge.tunnelAddress;
    case "edge.state_dir":
      return config.edge.stateDir;
    case "edge.tls_cert":
      return config.edge.tlsCert;
    case "edge.tls_key":
      return config.edge.tlsKey;
    case "auth.client_ca":
      return config.auth.clientCa;
    case "audit.file":
      return config.audit.file;
    case "audit.otlp_headers_file":
      return config.audit.otlpHeadersFile;
    case "audit.on_failure":
      return config.audit.onFailure;
    case "policy.file":
      return config.policy.file;
    case "rift.expose.authorization_file":
      return config.rift.exposes[index]!.authorizationFile;
    case "rift.token_file":
      return config.rift.tokenFile;
    case "tunnel.auth":
      return config.tunnels[index]!.auth;
    case "tunnel.forward_authorization":
      // Whatever the file says: what was for the edge is not passed on.
      return config.tunnels[index]!.auth === "edge" ? false : undefined;
    case "tunnel.mode":
      return config.tunnels[index]!.mode;
    // Only an aware tunnel judges.
    case "tunnel.default":
      return config.tunnels[index]!.mode === "aware"
        ? config.tunnels[index]!.rules.default ?? "deny"
        : undefined;
    case "tunnel.on_deny":
      return config.tunnels[index]!.mode === "aware"
        ? config.tunnels[index]!.rules.onDeny ?? "hide"
        : undefined;
    case "tunnel.path":
      return config.tunnels[index]!.path;
    case "rift.expose.protocol":
      return config.rift.exposes[index]!.protocol;
    case "rift.expose.upstream":
      return shownUrl(config.rift.exposes[index]!.upstream);
    default:
      return undefined;
  }
}

function writtenAt(
  written: Readonly<Record<string, unknown>>,
  key: KeyDescription,
  index: number,
): unknown {
  let value: unknown = written;
  for (const part of key.path.split(".")) {
    if (Array.isArray(value)) value = value[index];
    // The configuration was accepted, so what has keys here is a table.
    value = (value as Record<string, unknown> | undefined)?.[part];
  }
  return value;
}
