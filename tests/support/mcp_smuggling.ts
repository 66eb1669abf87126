/**
 * The corpus of `tests/vectors/smuggling/`: requests that two parties could read differently, and
 * what must become of each under one fixed policy.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";

import type { Target } from "../../src/mcp/client_message.ts";

/** One request. */
export interface SmugglingCase {
  readonly name: string;
  readonly era: "legacy" | "modern";
  /** `POST` when absent. */
  readonly httpMethod?: string;
  /** Flat pairs. */
  readonly headers: readonly string[];
  readonly body: string | { readonly base64: string } | {
    /** Texts, and how many times each. */
    readonly repeat: readonly (readonly [text: string, times: number])[];
  };
  /** Headers that must not travel on; none when absent. */
  readonly strip?: readonly string[];
  readonly verdict:
    | { readonly outcome: "allowed" }
    /** Denied by policy; `id` as its JSON text, when the case is about it. */
    | {
      readonly outcome: "denied";
      readonly kind: string;
      readonly name: string;
      readonly id?: string;
    }
    | {
      readonly outcome: "refused";
      readonly status: number;
      readonly code: number;
      readonly reason: string;
    };
}

/** Body limit that the corpus counts with, bytes. */
export const SMUGGLING_MAX_BYTES = 4_194_304;

/** The policy of the corpus. */
export function isAllowed({ kind, name }: Target): boolean {
  switch (kind) {
    case "tool":
      return name === "read_file" || name === "search";
    case "resource":
      return name.startsWith("file:///repo/");
    case "prompt":
      return name.startsWith("review_");
    case "task":
      return name === "task-1";
    case "method":
      return false;
  }
}

/** One message of a server. */
export interface AnswerCase {
  readonly name: string;
  readonly era: "legacy" | "modern";
  readonly expect?: string;
  readonly body: string;
  readonly verdict: {
    readonly outcome: "unchanged" | "rewritten" | "dropped" | "refused";
    readonly body?: string;
    readonly reason?: string;
  };
}

/** Every case of `tests/vectors/answers/`. */
export function answerCases(): AnswerCase[] {
  const file = new URL("tests/vectors/answers/answers.json", rootUrl());
  return JSON.parse(readFileSync(file, "utf8")) as AnswerCase[];
}

/** Every case, from every file. */
export function smugglingCases(): SmugglingCase[] {
  const folder = new URL("tests/vectors/smuggling/", rootUrl());
  return readdirSync(folder).filter((file) => file.endsWith(".json")).sort().flatMap((file) =>
    JSON.parse(readFileSync(new URL(file, folder), "utf8")) as SmugglingCase[]
  );
}

/** The bytes of a case's body. */
export function bodyOf({ body }: SmugglingCase): Buffer {
  if (typeof body === "string") return Buffer.from(body);
  if ("base64" in body) return Buffer.from(body.base64, "base64");
  return Buffer.concat(body.repeat.map(([text, times]) => Buffer.from(text.repeat(times))));
}

/** The root of the repository: this file also runs from the build. */
function rootUrl(): URL {
  const here = new URL("../../", import.meta.url);
  return here.pathname.endsWith("/dist/") ? new URL("../", here) : here;
}
