/**
 * What a token looks like, before it is sent.
 *
 * A JWT is decoded and NOT verified: what it says is compared, never trusted.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { fail, type Finding, note, ok, plain, shown, shownList } from "./finding.ts";
import type { ResourceMetadata } from "./metadata.ts";
import { isObject, parseJson, stringsOf } from "./mcp_message.ts";

/** What a token was found to be. */
export interface TokenReading {
  readonly finding: Finding;
  /** May it be sent? Not what is surely something else. */
  readonly usable: boolean;
  readonly kind: "user" | "jwt" | "opaque" | "wrong";
  /** Why a server may refuse it, for the hint of the next step. */
  readonly doubts: readonly string[];
}

/** What a token is compared with. */
export interface TokenContext {
  readonly nowMs: number;
  readonly urlText: string;
  readonly metadata: ResourceMetadata | undefined;
  /** `scope` of the challenge. */
  readonly wantedScope: string | undefined;
}

/** Reads the form of a token; no part of it that is secret is repeated. */
export function readToken(token: string, context: TokenContext): TokenReading {
  const wrong = (detail: string, hint: string): TokenReading => ({
    finding: fail([detail, "Not sent"], hint),
    usable: false,
    kind: "wrong",
    doubts: [],
  });
  if (/^["'`]/.test(token)) {
    return wrong("It is in quotes", "write the token alone, without quotes");
  }
  if (/^bearer\s/i.test(token)) {
    return wrong(
      'It begins with "Bearer"',
      "write the token alone: the word is added when it is sent",
    );
  }
  if (token.startsWith("mcpt_")) {
    return wrong(
      "This is the credential of a rift (mcpt_), not the token of a user",
      "give a user token (mcpu_) or one of the issuer; nobody but the rift should have this one",
    );
  }
  if (/\s/.test(token)) return wrong("It has white space inside", "copy it again, as one line");
  if (!/^[A-Za-z0-9\-._~+/]+=*$/.test(token)) {
    return wrong(
      "It has characters that no bearer token has (RFC 6750, 2.1)",
      "copy it again; is this another file?",
    );
  }
  if (token.startsWith("mcpu_")) {
    return token.length === USER_TOKEN_CHARS
      ? { finding: ok("A user token of mcptun (mcpu_)"), usable: true, kind: "user", doubts: [] }
      : wrong(
        `A user token of mcptun (mcpu_) with ${token.length} characters instead of ${USER_TOKEN_CHARS}`,
        "copy all of it",
      );
  }
  const claims = claimsOf(token);
  if (claims === undefined) {
    return {
      finding: ok(`Opaque, ${token.length} characters: only the server can tell what it is`),
      usable: true,
      kind: "opaque",
      doubts: [],
    };
  }
  return judgeClaims(claims, context);
}

function judgeClaims(
  claims: Readonly<Record<string, unknown>>,
  context: TokenContext,
): TokenReading {
  const { nowMs, urlText, metadata, wantedScope } = context;
  const text = (name: string): string | undefined => {
    const value = claims[name];
    return typeof value === "string" ? value : undefined;
  };
  const issuer = text("iss");
  const single = text("aud");
  const audiences = single === undefined ? stringsOf(claims["aud"]) : [single];
  const scopes = text("scope")?.split(" ").filter((scope) => scope !== "") ??
    stringsOf(claims["scp"]);
  const facts = [
    `A JWT (not verified here) from ${issuer === undefined ? "no issuer" : shown(issuer)}`,
    `for ${audiences.length === 0 ? "no audience" : shownList(audiences, 3)}` +
    `; scope ${scopes.length === 0 ? "none" : shownList(scopes)}`,
  ];
  const doubts: string[] = [];
  const expiresMs = timeOf(claims["exp"]);
  const fromMs = timeOf(claims["nbf"]);
  if (expiresMs !== undefined && expiresMs <= nowMs) {
    return {
      finding: fail(
        [...facts, `It has ended at ${timeText(expiresMs)}`],
        "get a new one from the issuer",
      ),
      usable: true,
      kind: "jwt",
      doubts: ["it has ended"],
    };
  }
  if (expiresMs === undefined) doubts.push("it has no end (exp)");
  else facts.push(`until ${timeText(expiresMs)}`);
  if (fromMs !== undefined && fromMs > nowMs) {
    doubts.push(`it is not valid before ${timeText(fromMs)}: compare the clocks`);
  }
  const known = metadata?.authorizationServers;
  if (known !== undefined && known.length > 0 && !known.includes(issuer ?? "")) {
    doubts.push(`its issuer is none of authorization_servers (${shownList(known, 3)})`);
  }
  const resource = metadata?.resource ?? urlText;
  if (!audiences.includes(resource)) {
    doubts.push(
      `its audience is not ${
        shown(resource)
      } (ask for it with resource=, or see audiences of [[auth.issuer]])`,
    );
  }
  const lacking = (wantedScope ?? "").split(" ")
    .filter((scope) => scope !== "" && !scopes.includes(scope));
  if (lacking.length > 0) doubts.push(`it lacks scope ${shownList(lacking)}`);
  if (claims["nonce"] !== undefined || claims["at_hash"] !== undefined) {
    doubts.push("it looks like an ID token: send the access token");
  }
  return {
    finding: doubts.length === 0
      ? ok(...facts)
      : note([...facts, ...doubts.map((doubt) => `But ${doubt}`)]),
    usable: true,
    kind: "jwt",
    doubts: doubts.map((doubt) => plain(doubt, 400)),
  };
}

/** The claims of a JWT, or `undefined` when the token is none. */
function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  const [header, payload] = parts.slice(0, 2)
    .map((part) => parseJson(Buffer.from(part, "base64url").toString("utf8")));
  return isObject(header) && typeof header["alg"] === "string" && isObject(payload)
    ? payload
    : undefined;
}

/** A NumericDate (RFC 7519, 2) as wall time, ms; `undefined` when it is none that a date can hold. */
function timeOf(value: unknown): number | undefined {
  const ms = typeof value === "number" ? value * 1_000 : NaN;
  return Math.abs(ms) <= MAX_DATE_MS ? ms : undefined;
}

function timeText(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** `mcpu_` and 256 bits in base64url. */
const USER_TOKEN_CHARS = 48;
/** ECMA-262, 21.4.1.1. */
const MAX_DATE_MS = 8_640_000_000_000_000;
