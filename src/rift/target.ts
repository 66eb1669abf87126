/**
 * From an exchange's target to the path that the upstream is asked for.
 *
 * The edge has checked the target; the rift checks it again, because what is behind it is its own.
 *
 * @module
 */

import { TunnelError } from "../errors.ts";
import { UNSAFE_PATH, WELL_KNOWN } from "../wire/text.ts";
import type { Expose } from "./rift_options.ts";

/** An upstream, read once. */
export interface UpstreamTarget {
  /** Scheme, host and port. */
  readonly origin: string;
  /** The path of an exchange. @throws {TunnelError} `BAD_REQUEST` when it would leave the base. */
  pathOf(target: string): string;
  /** The path of a well-known document. @throws as `pathOf`, and for tunnels other than `mcp`. */
  wellKnownPath(target: string): string;
}

/** Reads the upstream of `expose`. @throws {TunnelError} `CONFIG_INVALID`. */
export function upstreamTarget(expose: Expose): UpstreamTarget {
  const url = URL.parse === undefined ? tryUrl(expose.upstream) : URL.parse(expose.upstream);
  const problem = url === null || !/^https?:$/.test(url.protocol)
    ? "not an http or https URL"
    : url.username !== "" || url.password !== ""
    ? "user and password are not supported"
    : url.hash !== "" || url.search !== ""
    ? "a query or fragment is not supported"
    : undefined;
  if (url === null || problem !== undefined) {
    throw new TunnelError(
      "CONFIG_INVALID",
      `Cannot expose "${expose.tunnel}": its upstream is ${problem ?? "not a URL"}`,
    );
  }
  const path = url.pathname;
  return {
    origin: url.origin,
    pathOf: expose.protocol === "mcp"
      ? (target) => {
        if (target.startsWith("/")) throw outside();
        return path + target;
      }
      : prefixed(path.replace(/\/+$/, "")),
    wellKnownPath(target) {
      const [, document = "", query = ""] = /^([^?]*)(.*)$/.exec(target) ?? [];
      const known = expose.protocol === "mcp" && WELL_KNOWN.test(document) &&
        !UNSAFE_PATH.test(document);
      if (!known) throw outside();
      return document + query;
    },
  };
}

function prefixed(base: string): (target: string) => string {
  return (target) => {
    const mark = target.indexOf("?");
    const path = mark < 0 ? target : target.slice(0, mark);
    if (UNSAFE_PATH.test(path)) throw outside();
    return path === "" ? (base || "/") + target : base + target;
  };
}

function outside(): TunnelError {
  return new TunnelError("BAD_REQUEST", "Cannot forward request: its target leaves the upstream");
}

function tryUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    // Not a URL: that is the answer.
    return null;
  }
}
