/**
 * What is checked before an admin listener answers. Pure: the head of a request in, a verdict out.
 *
 * A loopback port can be reached by every web page that the operator's browser shows, under a name
 * that its author controls (DNS rebinding). So a request that names another host, or that a page
 * has caused, is refused before anything else is looked at.
 *
 * @module
 */

import { createHash, timingSafeEqual } from "node:crypto";

import type { ErrorCode } from "../errors.ts";
import type { Secret } from "../runtime/secret.ts";

/** The head of a request, as node gives it. */
export interface AdminHead {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
}

/** The rules of one listener. */
export interface DoorRules {
  /** The only accepted values of `Host`, lower case. */
  readonly hosts: ReadonlySet<string>;
  /** Who proves to be the operator: everyone that file permissions let in, or who has the token. */
  readonly operator: "anyone" | { readonly token: Secret | undefined };
}

/** A request that may be answered. */
export interface AdminAdmitted {
  readonly admitted: true;
  readonly path: string;
  readonly query: URLSearchParams;
  /** May the caller see names and numbers? */
  readonly caller: "operator" | "stranger";
}

/** A request that is refused. */
export interface AdminRefused {
  readonly admitted: false;
  readonly code: ErrorCode;
  readonly detail?: string;
}

/** Judges one request. Which paths need the operator is decided where they are answered. */
export function judgeAdmin(head: AdminHead, rules: DoorRules): AdminAdmitted | AdminRefused {
  const headers = valuesOf(head.rawHeaders);
  const hosts = headers.get("host") ?? [];
  if (hosts.length !== 1 || !rules.hosts.has(hosts[0]!.toLowerCase())) {
    return refuse("HOST_REFUSED");
  }
  // No page has business here, not even one of another port of this host ("same-site").
  const pageAsks = (headers.get("sec-fetch-site") ?? []).some((site) => site !== "none");
  if (pageAsks || headers.has("origin")) return refuse("ORIGIN_REFUSED");
  if (head.method !== "GET" && head.method !== "HEAD") return refuse("METHOD_REFUSED");
  const length = headers.get("content-length") ?? [];
  if (headers.has("transfer-encoding") || length.some((text) => !/^0+$/.test(text))) {
    return refuse("BAD_REQUEST", "no body is taken here");
  }
  const [path = "", ...query] = head.url.split("?");
  return {
    admitted: true,
    path,
    query: new URLSearchParams(query.join("?")),
    caller: isOperator(headers.get("authorization") ?? [], rules) ? "operator" : "stranger",
  };
}

/** Hashes of equal length are compared, so the time tells nothing, not even the token's length. */
function isOperator(authorizations: readonly string[], { operator }: DoorRules): boolean {
  if (operator === "anyone") return true;
  const shown = authorizations.length === 1
    ? /^bearer +([^\s]+) *$/i.exec(authorizations[0]!)?.[1]
    : undefined;
  if (shown === undefined || operator.token === undefined) return false;
  return timingSafeEqual(sha256(shown), sha256(operator.token.reveal()));
}

function sha256(text: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(text, "utf8").digest());
}

/** Values by lower case name, each as often as it was sent. */
function valuesOf(rawHeaders: readonly string[]): Map<string, string[]> {
  const values = new Map<string, string[]>();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    const value = rawHeaders[at + 1]!.trim();
    const known = values.get(name);
    if (known === undefined) values.set(name, [value]);
    else known.push(value);
  }
  return values;
}

function refuse(code: ErrorCode, detail?: string): AdminRefused {
  return detail === undefined ? { admitted: false, code } : { admitted: false, code, detail };
}
