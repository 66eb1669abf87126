/**
 * Who a trusted proxy says the client is. That the proxy is one, the edge has checked.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { areGroups, isUserName } from "./user_name.ts";

/** What the proxy's headers say; each as it came, one character per byte. */
export interface ProxyHeaders {
  readonly user: string;
  /** Separated by commas. */
  readonly groups: string | undefined;
}

/** Who it is, or what is wrong; the reason is for the log. */
export type ProxyIdentity =
  | { readonly user: string; readonly groups: readonly string[] }
  | { readonly problem: string };

/** Reads the headers of a trusted proxy. */
export function proxyIdentity(headers: ProxyHeaders): ProxyIdentity {
  const user = utf8Of(headers.user);
  if (user === undefined || !isUserName(user)) {
    return { problem: "the proxy's user header is not a usable user name" };
  }
  const text = utf8Of(headers.groups ?? "");
  // Empty members count for nothing (RFC 9110, 5.6.1.2).
  const listed = text?.split(",").map((group) => group.trim()).filter((group) => group !== "");
  const groups = listed === undefined ? undefined : [...new Set(listed)];
  return groups !== undefined && areGroups(groups)
    ? { user, groups }
    : { problem: "the proxy's groups header is not a list of usable names" };
}

/** `node:http` gives bytes as Latin-1; people's names are UTF-8. `undefined` when they are not. */
function utf8Of(value: string): string | undefined {
  if (!/[^\x20-\x7e]/.test(value)) return value;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(value, "latin1"));
  } catch {
    return undefined; // the caller says what is wrong
  }
}
