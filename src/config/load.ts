/**
 * Defaults, file, environment and flags become one checked, frozen configuration.
 *
 * All problems are reported at once, each with file, line, column and key, or with the variable or
 * flag it came from.
 *
 * @module
 */

import { dirname, resolve } from "node:path";

import { parse, TomlError } from "smol-toml";

import { TunnelError } from "../errors.ts";
import { MAX_CONFIG_FILE_BYTES } from "../limits.ts";
import { readNamedFile, unreadReason } from "../runtime/named_file.ts";
import { checkFile } from "./check_file.ts";
import type { Config } from "./config.ts";
import { describeKeys, type KeyDescription } from "./describe.ts";
import { type KeyLocator, type KeyPath, locateKeys, type Position } from "./key_locator.ts";
import { nearest } from "./nearest.ts";
import type { Problem } from "./rules.ts";

/** Where an effective value came from. */
export type Origin = "default" | "file" | "environment" | "flag";

/** A value given on the command line. It replaces the key, also when that is a list. */
export interface FlagValue {
  /** The key it overrides, such as `edge.listen` or `rift.expose`. */
  readonly key: string;
  /** As people type it, such as `--listen`. */
  readonly flag: string;
  readonly value: unknown;
}

/** What {@link loadConfig} reads. */
export interface LoadOptions {
  /** The file to read, as people named it; without it: defaults, environment and flags only. */
  readonly file?: string | undefined;
  /** The file's text, when it is already at hand; `file` then only names it. */
  readonly text?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly flags?: readonly FlagValue[];
  /** The folder that relative `file`, and relative paths outside the file, start from. */
  readonly cwd?: string;
}

/** A checked configuration and where it came from. */
export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read, absolute. */
  readonly file: string | undefined;
  /** Key path, such as `edge.listen` or `tunnel[0].path`, to origin; defaults are not listed. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The values as written, before units are converted, without defaults. */
  readonly written: Readonly<Record<string, unknown>>;
  /** What is probably a mistake but refuses nothing. */
  readonly warnings: readonly string[];
  /** Who set a key, for complaints: `mcptun.toml:3:1 edge.listen`, a variable or a flag. */
  readonly place: (path: KeyPath) => string;
  /** Where a key of the file stands, for rules. */
  readonly locate: (path: KeyPath) => Position;
  /** The file as people named it; `"config"` without one. */
  readonly shown: string;
}

/**
 * Loads and checks the configuration.
 *
 * @throws {TunnelError} `CONFIG_INVALID`; its message has one line per problem,
 *   `mcptun.toml:14:3 edge.listn: unknown key (did you mean "listen"?)`.
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const cwd = resolve(options.cwd ?? ".");
  const file = options.file === undefined ? undefined : resolve(cwd, options.file);
  const fileFolder = file === undefined ? cwd : dirname(file);
  const text = options.text ?? (file === undefined ? "" : readText(options.file!, file));
  const written = parseToml(text, options.file ?? "config");
  const locator = locateKeys(text);
  const sources = new Sources(options.file ?? "config", locator);
  const warnings = overlay(written, sources, options);

  // A path in the file, and a default path, mean a place beside the file; a typed one means cwd.
  const folderOf = (path: KeyPath) => sources.originOf(path) === "file" ? fileFolder : cwd;
  const checked = checkFile(written, (path, value) => resolve(folderOf(path), value));
  if ("problems" in checked) throw problemsError(checked.problems, sources);
  const { audit } = checked.config;
  if (isTable(written["audit"]) && audit.file === undefined && audit.otlpEndpoint === undefined) {
    warnings.push(
      `${sources.place(["audit"])}: nothing is recorded by this table alone (set audit.file, or ` +
        "audit.otlp_endpoint)",
    );
  }
  return {
    config: checked.config,
    file,
    origins: sources.origins(written),
    written,
    warnings,
    place: (path) => sources.place(path),
    locate: (path) => locator.locate(path),
    shown: options.file ?? "config",
  };
}

/** Knows for each key path who set it, and how to name that place. */
class Sources {
  readonly #file: string;
  readonly #locator: KeyLocator;
  readonly #overrides = new Map<string, { origin: "environment" | "flag"; name: string }>();

  constructor(file: string, locator: KeyLocator) {
    this.#file = file;
    this.#locator = locator;
  }

  override(key: string, origin: "environment" | "flag", name: string): void {
    this.#overrides.set(key, { origin, name });
  }

  originOf(path: KeyPath): Origin {
    return this.#overrideOf(path)?.origin ?? "file";
  }

  /** `mcptun.toml:3:1 edge.listen`, `MCPTUN_EDGE_LISTEN` or `--listen`. */
  place(path: KeyPath): string {
    const override = this.#overrideOf(path);
    if (override !== undefined) return override.name;
    const { line, column } = this.#locator.locate(path);
    return `${this.#file}:${line}:${column} ${showPath(path)}`;
  }

  /** For sorting: the file from top to bottom, then the rest. */
  order(path: KeyPath): number {
    if (this.#overrideOf(path) !== undefined) return Number.MAX_SAFE_INTEGER;
    const { line, column } = this.#locator.locate(path);
    return line * 1_000_000 + column;
  }

  origins(written: Readonly<Record<string, unknown>>): Map<string, Origin> {
    const origins = new Map<string, Origin>();
    const visit = (value: unknown, path: KeyPath): void => {
      if (isTable(value)) {
        for (const [name, inner] of Object.entries(value)) visit(inner, [...path, name]);
      } else if (Array.isArray(value) && value.some(isTable)) {
        for (const [index, inner] of value.entries()) visit(inner, [...path, index]);
      } else origins.set(showPath(path), this.originOf(path));
    };
    visit(written, []);
    return origins;
  }

  #overrideOf(path: KeyPath): { origin: "environment" | "flag"; name: string } | undefined {
    for (let length = path.length; length > 0; length--) {
      const override = this.#overrides.get(showPath(path.slice(0, length)));
      if (override !== undefined) return override;
    }
    return undefined;
  }
}

/** `edge.listen`, `tunnel[1].path`; names that are not bare keys are quoted. */
export function showPath(path: KeyPath): string {
  return path.map((part, index) => {
    if (typeof part === "number") return `[${part}]`;
    const name = /^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part);
    return index === 0 ? name : `.${name}`;
  }).join("");
}

function overlay(
  written: Record<string, unknown>,
  sources: Sources,
  { env = {}, flags = [] }: LoadOptions,
): string[] {
  const keys = describeKeys();
  for (const key of keys) {
    const text = key.env === undefined ? undefined : env[key.env];
    if (text === undefined || text === "") continue;
    if (setKey(written, key.path, coerce(key, text))) {
      sources.override(key.path, "environment", key.env!);
    }
  }
  for (const { key: path, flag, value } of flags) {
    const key = keys.find((key) => key.path === path);
    const typed = key !== undefined && typeof value === "string" ? coerce(key, value) : value;
    if (setKey(written, path, typed)) sources.override(path, "flag", flag);
  }
  // Only near misses: a cluster may set variables such as MCPTUN_EDGE_SERVICE_HOST on its own.
  const known = keys.flatMap(({ env }) => env ?? []);
  return Object.keys(env).flatMap((name) => {
    if (!/^MCPTUN_(EDGE|AUTH|POLICY|AUDIT|ADMIN|RIFT|LOG)_/.test(name) || known.includes(name)) {
      return [];
    }
    const suggestion = nearest(name, known.map((name) => name.toLowerCase()))?.toUpperCase();
    return suggestion === undefined ? [] : [`${name} is not read (did you mean ${suggestion}?)`];
  });
}

/** Sets `edge.listen`, or all of `tunnel`, in the tree; false when the file has something else than a table there. */
function setKey(written: Record<string, unknown>, path: string, value: unknown): boolean {
  const [tableName, name] = path.split(".") as [string, string?];
  if (name === undefined) {
    written[tableName] = value;
    return true;
  }
  const table = Object.hasOwn(written, tableName) ? written[tableName] : undefined;
  if (table === undefined) written[tableName] = { [name]: value };
  else if (isTable(table)) table[name] = value;
  else return false;
  return true;
}

function coerce(key: KeyDescription, text: string): unknown {
  if (key.base === "boolean" && /^(true|false)$/.test(text)) return text === "true";
  const isNumber = key.base === "number" || key.unit === "size";
  if (isNumber && /^\d{1,15}$/.test(text)) return Number(text);
  return text;
}

function readText(shown: string, file: string): string {
  try {
    return readNamedFile(file, MAX_CONFIG_FILE_BYTES).bytes.toString("utf8");
  } catch (error) {
    const reason = unreadReason(error, {
      ENOENT: 'no such file (create one with "mcptun init", or name another with --config)',
    });
    throw new TunnelError(
      "CONFIG_INVALID",
      `Cannot read config file ${JSON.stringify(shown)}: ${reason}`,
      {
        cause: error,
      },
    );
  }
}

/** Reads TOML. @throws {TunnelError} `CONFIG_INVALID` with the place of what is not TOML. */
export function parseToml(text: string, shown: string): Record<string, unknown> {
  try {
    return parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
    throw new TunnelError(
      "CONFIG_INVALID",
      `${shown}:${error.line}:${error.column} not valid TOML: ${reason}`,
      { cause: error },
    );
  }
}

function problemsError(problems: readonly Problem[], sources: Sources): TunnelError {
  const lines = problems
    .map(({ path, text }) => ({
      order: sources.order(path),
      line: `${sources.place(path)}: ${text}`,
    }))
    .sort((a, b) => a.order - b.order)
    .map(({ line }) => line);
  return new TunnelError("CONFIG_INVALID", lines.join("\n"));
}

/** Is it a table, and no list or date? */
export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Date);
}
