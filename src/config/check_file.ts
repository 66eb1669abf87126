/** Judges the values of a configuration and gives either the typed one or every problem. @module */

import * as v from "valibot";

import { authOf, type Config, configOf, edgeOf, tunnelOf } from "./config.ts";
import { describeKeys, knownNames, MANY } from "./describe.ts";
import type { KeyPath } from "./key_locator.ts";
import { nearest } from "./nearest.ts";
import {
  checkAdmin,
  checkAudit,
  checkAuth,
  checkEdge,
  checkExposes,
  checkTunnelRules,
  checkTunnels,
  type Problem,
} from "./rules.ts";
import {
  AdminSchema,
  AuditSchema,
  AuthSchema,
  EdgeSchema,
  ExposeSchema,
  FileSchema,
  TunnelSchema,
} from "./schema.ts";
import { quote } from "./value.ts";

/** Turns a path value as written into an absolute one; asked per key, for it depends on the source. */
export type PathResolver = (path: KeyPath, value: string) => string;

/** Checks names, forms, ranges and the relations between keys of `written`. */
export function checkFile(
  written: Readonly<Record<string, unknown>>,
  resolver: PathResolver,
): { readonly config: Config } | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const known = withKnownKeys(written, problems) as Record<string, unknown>;
  const whole = v.safeParse(FileSchema, known);
  for (const issue of whole.issues ?? []) problems.push(problemOf(issue));
  problems.push(...relations(known));
  if (!whole.success || problems.length > 0) return { problems };
  return { config: configOf(withResolvedPaths(whole.output, resolver)) };
}

/** The rules between keys, over the parts that are well formed on their own. */
function relations(known: Readonly<Record<string, unknown>>): Problem[] {
  const edgeFile = v.safeParse(EdgeSchema, known.edge ?? {});
  const edge = edgeFile.success ? edgeOf(edgeFile.output) : undefined;
  const tunnels = elements(known.tunnel).map((element) => {
    const tunnel = v.safeParse(TunnelSchema, element);
    return tunnel.success ? tunnelOf(tunnel.output) : undefined;
  });
  const authFile = v.safeParse(AuthSchema, known.auth ?? {});
  const auth = authFile.success ? authOf(authFile.output) : undefined;
  const adminFile = v.safeParse(AdminSchema, known.admin ?? {});
  const auditFile = v.safeParse(AuditSchema, known.audit ?? {});
  const rift = known.rift as { expose?: unknown } | undefined;
  const exposes = elements(rift?.expose).map((element) => {
    const expose = v.safeParse(ExposeSchema, element);
    return expose.success ? expose.output : undefined;
  });
  return [
    ...(edge === undefined ? [] : checkEdge(edge)),
    ...checkTunnels(tunnels, edge),
    ...checkTunnelRules(tunnels),
    ...(edge === undefined || auth === undefined ? [] : checkAuth(auth, edge)),
    ...(adminFile.success ? checkAdmin(adminFile.output) : []),
    ...(auditFile.success ? checkAudit(auditFile.output) : []),
    ...checkExposes(exposes),
  ];
}

function elements(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * A copy without unknown keys, each reported. Not left to `strictObject`: it reports one unknown
 * key per table, and takes inherited names such as `constructor` for known.
 */
function withKnownKeys(value: unknown, problems: Problem[], path: KeyPath = []): unknown {
  const tablePath = path.filter((part) => typeof part === "string").join(".");
  const names = knownNames(tablePath);
  if (names === undefined) return value;
  if (Array.isArray(value) && !isList(tablePath)) {
    const hint = tablePath === "policy"
      ? "tables with rules of users belong to a policy file, which policy.file names; this is read as " +
        "mcptun.toml"
      : `write [${tablePath}] once`;
    problems.push({ path, text: `a list is not a table (${hint})` });
    return undefined;
  }
  if (Array.isArray(value)) {
    return value.map((inner, index) => withKnownKeys(inner, problems, [...path, index]));
  }
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (names.includes(name)) {
      copy[name] = withKnownKeys(inner, problems, [...path, name]);
    } else {
      problems.push({ path: [...path, name], text: unknownKey(name, names, tablePath) });
    }
  }
  return copy;
}

function unknownKey(name: string, names: readonly string[], tablePath: string): string {
  const kind = tablePath === "" ? "table" : "key";
  const suggestion = nearest(name, names);
  if (suggestion !== undefined) return `unknown ${kind} (did you mean "${suggestion}"?)`;
  const elsewhere = describeKeys().find((key) => key.name === name);
  if (elsewhere !== undefined) return `unknown ${kind} (it belongs to ${elsewhere.path})`;
  return `unknown ${kind} (known here: ${names.join(", ")})`;
}

function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const path = (issue.path ?? []).map(({ key }) => key as string | number);
  if (issue.kind !== "schema") return { path, text: issue.message };
  const name = showKey(path);
  const key = describeKeys().find((key) => key.path === name);
  const isElement = key !== undefined && typeof path.at(-1) === "number";
  const choices = isElement && issue.type === "picklist" ? choicesOf(issue) : [];
  if (choices.length > 0) {
    return { path, text: `${received(issue)} is not accepted (accepted: ${choices.join(", ")})` };
  }
  const form = isElement
    ? "string"
    : key?.form ?? (isList(name) ? `list of tables, [[${name}]]` : `table, [${name}]`);
  if (issue.received === "undefined") {
    const hint = key?.example === undefined ? "" : ` (such as ${key.name} = ${key.example})`;
    return { path, text: `missing${hint}` };
  }
  const article = /^["t]?true|^"/.test(form) ? "" : /^[aeiou]/.test(form) ? "an " : "a ";
  return { path, text: `${received(issue)} is not ${article}${form}` };
}

/** What a list may hold; the library has it as `("a" | "b")`. */
function choicesOf({ expected }: v.BaseIssue<unknown>): string[] {
  return [...(expected ?? "").matchAll(/"([^"]+)"/g)].map(([, choice]) => choice!);
}

function received(issue: v.BaseIssue<unknown>): string {
  if (issue.received === "Object") return "a table";
  if (issue.received === "Array") return "a list";
  if (issue.received === "Date") return "a date";
  // A string arrives in quotes.
  return issue.received.startsWith('"') ? quote(issue.received.slice(1, -1)) : issue.received;
}

function showKey(path: KeyPath): string {
  return path.filter((part) => typeof part === "string").join(".");
}

function isList(name: string): boolean {
  return MANY.includes(name);
}

/** A copy in which every path is absolute. */
function withResolvedPaths<T extends v.InferOutput<typeof FileSchema>>(
  file: T,
  resolver: PathResolver,
): T {
  const paths = new Set(describeKeys().filter(({ isPath }) => isPath).map(({ path }) => path));
  const resolved = (value: unknown, path: KeyPath): unknown => {
    if (typeof value === "string") return paths.has(showKey(path)) ? resolver(path, value) : value;
    if (Array.isArray(value)) return value.map((inner, index) => resolved(inner, [...path, index]));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, resolved(inner, [...path, name])]),
    );
  };
  // Proof of the cast: strings become strings, and nothing else changes.
  return resolved(file, []) as T;
}
