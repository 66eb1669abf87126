/** The reference texts made from the schema: the example file, the table of the docs, flag help. @module */

import { describeKeys, describeTables, type KeyDescription } from "./describe.ts";

/** `config.example.toml`: every key with its default, or commented out with an example. */
export function renderExample(): string {
  const lines = [
    "# Every key of mcptun.toml, with its default.",
    "# Keys that have no default are commented out and show an example.",
    "# Generated from src/config/schema.ts; write your own with: mcptun init",
    "#",
    "# Durations: a whole number and ms, s, m, h or d. Sizes: a whole number and B, KiB, MiB or GiB,",
    "# or bytes as an integer. Relative paths start from the folder of this file.",
    "# A value is overridden by the environment variable beside it, and that by a flag.",
  ];
  for (const table of describeTables()) {
    lines.push("", `# ${table.doc}`, table.header);
    for (const key of table.keys) {
      lines.push("", ...wrap(key.doc, "# "), ...facts(key), setting(key));
    }
  }
  return `${lines.join("\n")}\n`;
}

/** The tables of `docs/configuration.md`, as Markdown. */
export function renderTables(): string {
  return describeTables().map(({ header, doc, keys }) =>
    [
      `### \`${header}\``,
      "",
      doc,
      "",
      "| Key | Default | Form | Meaning |",
      "| --- | --- | --- | --- |",
      ...keys.map((key) =>
        `| \`${key.name}\` | ${defaultText(key)} | ${cell(key.form)} | ${cell(key.doc)} |`
      ),
    ].join("\n")
  ).join("\n\n");
}

/** Help for a flag that overrides `path`: the key's own words and default. */
export function flagHelp(path: string): string {
  const key = describeKeys().find((key) => key.path === path);
  if (key === undefined) throw new TypeError(`Cannot describe ${path}: no such key`);
  const doc = key.doc.replace(/\.$/, "");
  // An abbreviation keeps its capitals.
  const isWord = /^[A-Z][a-z ]/.test(doc);
  return `${isWord ? doc[0]!.toLowerCase() : doc[0]!}${doc.slice(1)} [${path}]`;
}

/** A value as it would stand in the file. */
export function tomlOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlOf).join(", ")}]`;
  return JSON.stringify(value);
}

function setting(key: KeyDescription): string {
  if (key.fallback !== undefined) return `${key.name} = ${tomlOf(key.fallback)}`;
  const line = `${key.name} = ${key.example}`;
  return key.required ? line : `# ${line}`;
}

function facts(key: KeyDescription): string[] {
  const lines = [`# Form: ${key.form}.`];
  if (key.fallback !== undefined && key.example !== undefined) {
    lines.push(`# Example: ${key.example}`);
  }
  if (key.env !== undefined) lines.push(`# Environment: ${key.env}`);
  return lines;
}

function defaultText(key: KeyDescription): string {
  if (key.required) return "required";
  return key.fallback === undefined ? "none" : `\`${tomlOf(key.fallback)}\``;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replace(
    /\/?<[a-z]+>(?:\/[a-z]+)?/g,
    (match) => `\`${match}\``,
  );
}

function wrap(text: string, prefix: string): string[] {
  const lines: string[] = [];
  let line = prefix;
  for (const word of text.split(" ")) {
    if (line.length + word.length + 1 > 98 && line !== prefix) {
      lines.push(line.trimEnd());
      line = prefix;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
