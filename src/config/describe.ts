/** The schema as data: what each key is called, means and defaults to. @module */

import * as v from "valibot";

import {
  AdminSchema,
  AuthSchema,
  EdgeSchema,
  ExposeSchema,
  FileSchema,
  type FormFacts,
  IssuerSchema,
  type KeyFacts,
  LogSchema,
  PolicySchema,
  RiftSchema,
  TunnelSchema,
} from "./schema.ts";

/** One key, ready to be shown, overridden or looked up. */
export interface KeyDescription {
  /** Table and key as people write them, such as `edge.listen` or `rift.expose.upstream`. */
  readonly path: string;
  readonly name: string;
  readonly doc: string;
  readonly form: string;
  readonly unit: "size" | undefined;
  /** As written in TOML; `undefined` when there is none. */
  readonly fallback: string | number | boolean | readonly string[] | undefined;
  readonly required: boolean;
  /** TOML text that shows the key in use, when it has no default or an empty one. */
  readonly example: string | undefined;
  readonly isPath: boolean;
  /** The environment variable that overrides it; only scalar keys of single tables have one. */
  readonly env: string | undefined;
  /** How text from the environment or a flag becomes a TOML value. */
  readonly base: "text" | "number" | "boolean" | "list";
}

/** One table of the file. */
export interface TableDescription {
  readonly path: string;
  /** `[edge]` or `[[tunnel]]`. */
  readonly header: string;
  readonly doc: string;
  readonly keys: readonly KeyDescription[];
}

/** Every table in the order people read them. */
export function describeTables(): TableDescription[] {
  return [
    table("edge", "single", "The public role: mcptun edge.", EdgeSchema.entries),
    table(
      "tunnel",
      "many",
      "One public endpoint; repeat for more. Read by the edge.",
      TunnelSchema.entries,
    ),
    table(
      "auth",
      "single",
      'How tunnels with auth = "edge" recognize clients, besides user tokens of "mcptun token issue".',
      AuthSchema.entries,
    ),
    table(
      "auth.issuer",
      "many",
      "One issuer of tokens (JWT); repeat for more.",
      IssuerSchema.entries,
    ),
    table(
      "policy",
      "single",
      'Rules per user, for tunnels with mode = "aware".',
      PolicySchema.entries,
    ),
    table("admin", "single", "The operator's own listener: mcptun status.", AdminSchema.entries),
    table("rift", "single", "The private role: mcptun rift.", RiftSchema.entries),
    table(
      "rift.expose",
      "many",
      "One tunnel this rift serves; repeat for more.",
      ExposeSchema.entries,
    ),
    table("log", "single", "Log events of both roles, on stderr.", LogSchema.entries),
  ];
}

/** The tables that may stand several times, with their keys in the typed configuration. */
export const MANY: readonly string[] = ["tunnel", "auth.issuer", "rift.expose"];

/** Every key. */
export function describeKeys(): KeyDescription[] {
  return describeTables().flatMap(({ keys }) => keys);
}

/** The names that may stand directly below a table, by the table's path; "" is the file itself. */
export function knownNames(tablePath: string): string[] | undefined {
  switch (tablePath) {
    case "":
      return Object.keys(FileSchema.entries);
    case "edge":
      return Object.keys(EdgeSchema.entries);
    case "tunnel":
      return Object.keys(TunnelSchema.entries);
    case "auth":
      return Object.keys(AuthSchema.entries);
    case "auth.issuer":
      return Object.keys(IssuerSchema.entries);
    case "policy":
      return Object.keys(PolicySchema.entries);
    case "admin":
      return Object.keys(AdminSchema.entries);
    case "rift":
      return Object.keys(RiftSchema.entries);
    case "rift.expose":
      return Object.keys(ExposeSchema.entries);
    case "log":
      return Object.keys(LogSchema.entries);
    default:
      return undefined;
  }
}

function table(
  path: string,
  times: "single" | "many",
  doc: string,
  entries: v.ObjectEntries,
): TableDescription {
  const keys = Object.entries(entries)
    .filter(([, entry]) => !holdsTables(entry))
    .map(([name, entry]) => describe(path, name, entry, times));
  return { path, header: times === "single" ? `[${path}]` : `[[${path}]]`, doc, keys };
}

/** A list of tables is described on its own. */
function holdsTables(entry: v.ObjectEntries[string]): boolean {
  if (entry.type !== "optional") return false;
  // Proof of the casts: the type names what each schema holds.
  const { wrapped } = entry as unknown as v.OptionalSchema<v.GenericSchema, unknown>;
  if (wrapped.type !== "array") return false;
  return (wrapped as unknown as { item: v.GenericSchema }).item.type === "strict_object";
}

function describe(
  tablePath: string,
  name: string,
  entry: v.ObjectEntries[string],
  times: "single" | "many",
): KeyDescription {
  const schema: v.GenericSchema = entry.type === "optional"
    ? (entry as unknown as v.OptionalSchema<v.GenericSchema, unknown>).wrapped
    : entry as v.GenericSchema;
  // The schema file puts these facts on every key and form; a test reads them all.
  const facts = v.getMetadata(entry as v.GenericSchema) as unknown as KeyFacts;
  const form = v.getMetadata(schema) as unknown as FormFacts;
  const base = BASE_OF_TYPE[schema.type] ?? "text";
  const envName = `MCPTUN_${tablePath}_${name}`.toUpperCase();
  return {
    path: `${tablePath}.${name}`,
    name,
    doc: facts.doc,
    form: form.form,
    unit: form.unit,
    fallback: entry.type === "optional"
      ? v.getDefault(entry as v.GenericSchema) as KeyDescription["fallback"]
      : undefined,
    required: entry.type !== "optional",
    example: facts.example,
    isPath: form.path === true,
    env: times === "single" && base !== "list" ? envName : undefined,
    base,
  };
}

const BASE_OF_TYPE: Readonly<Record<string, KeyDescription["base"]>> = {
  boolean: "boolean",
  number: "number",
  array: "list",
};
