/**
 * The import rule: imports go downward only, and every library has one room.
 *
 * Reads import statements with patterns, not with a parser: the formatter keeps them in one shape.
 *
 * @module
 */

/** Path of a file, relative to the repository root, to its text. */
export type FileTexts = ReadonlyMap<string, string>;

interface Import {
  readonly line: number;
  readonly specifier: string;
}

const LEVEL_OF_FOLDER: Readonly<Record<string, number>> = {
  wire: 1,
  mcp: 1,
  policy: 1,
  config: 2,
  identity: 2,
  audit: 2,
  transport: 2,
  runtime: 2,
  admin: 3,
  edge: 3,
  rift: 3,
  sample: 3,
  doctor: 3,
  cli: 4,
};
const LEVEL_OF_FILE: Readonly<Record<string, number>> = {
  "src/errors.ts": 0,
  "src/limits.ts": 0,
  "src/churn_set.ts": 0,
  "src/clock.ts": 0,
  "src/log.ts": 0,
  "src/principal.ts": 0,
  "src/steps.ts": 0,
  "src/main.ts": 5,
  "mod.ts": 5,
};
const PURE_LEVEL = 1;
/** Reads and writes bytes and nothing else. */
const PURE_BUILTIN = "node:buffer";
const SHARED_FOLDER = "runtime";

/** Where a library may be imported. A path ending in `/` is a folder. */
const ROOM_OF_LIBRARY: Readonly<Record<string, string>> = {
  "@matrixai/quic": "src/transport/quic/",
  "@commander-js/extra-typings": "src/cli/",
  commander: "src/cli/",
  "smol-toml": "src/config/",
  valibot: "src/config/",
  "@peculiar/x509": "src/identity/",
  picomatch: "src/policy/",
  pino: "src/runtime/pino_log.ts",
  "sonic-boom": "src/audit/file_sink.ts",
  "@opentelemetry/api": "src/audit/otel_sink.ts",
  "@opentelemetry/otlp-exporter-base": "src/audit/otel_sink.ts",
  "@opentelemetry/otlp-transformer": "src/audit/otel_sink.ts",
  "@opentelemetry/resources": "src/audit/otel_sink.ts",
  "@opentelemetry/sdk-logs": "src/audit/otel_sink.ts",
  undici: "src/rift/",
  jose: "src/identity/",
  "prom-client": "src/admin/",
  "@modelcontextprotocol/server": "src/sample/",
  "@modelcontextprotocol/node": "src/sample/",
};

/** What a pure folder must be given instead of taking it. */
const IMPURE =
  /\b(Date\.now|Math\.random|performance\.now|console\.|process\.|setTimeout|setInterval|fetch)\b\(?|new Date\(\)/;
const DENO = /(?<![\w.])Deno\./;

/** Every breach of the import rule in the product's files, as `path:line: complaint`. */
export function checkImports(files: FileTexts): string[] {
  const problems: string[] = [];
  for (const [path, text] of files) {
    if (path !== "mod.ts" && !path.startsWith("src/")) continue;
    if (!path.endsWith(".ts")) continue;
    const level = levelOf(path);
    if (level === undefined) {
      problems.push(`${path}:1: this folder has no level: give it one in check_imports.ts`);
      continue;
    }
    for (const { line, specifier } of importsOf(text)) {
      const complaint = specifier.startsWith(".")
        ? judgeLocal(path, level, specifier, files)
        : judgePackage(path, level, specifier);
      if (complaint !== undefined) problems.push(`${path}:${line}: ${complaint}`);
    }
    problems.push(...checkGlobals(path, level, text));
  }
  return problems;
}

/** The imports, re-exports and dynamic imports of a file, in order. */
export function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  const found: (Import & { readonly at: number })[] = [];
  const patterns = [
    /^\s*(?:import|export)\b[^;"'`=()]*?\bfrom\s*["']([^"']+)["']/gm,
    /^\s*import\s*["']([^"']+)["']/gm,
    /\bimport\(\s*["']([^"']+)["']/g,
    /\brequire\(\s*["']([^"']+)["']/g,
  ];
  for (const pattern of patterns) {
    for (const match of code.matchAll(pattern)) {
      const at = match.index + match[0].lastIndexOf(match[1] ?? "");
      found.push({ at, line: lineAt(code, at), specifier: match[1] ?? "" });
    }
  }
  return found.sort((a, b) => a.at - b.at).map(({ line, specifier }) => ({ line, specifier }));
}

function judgeLocal(
  path: string,
  level: number,
  specifier: string,
  files: FileTexts,
): string | undefined {
  if (!/\.(ts|json)$/.test(specifier)) return `"${specifier}" must end in .ts`;
  const target = new URL(specifier, `file:///${path}`).pathname.slice(1);
  if (target === "package.json") return undefined;
  const targetLevel = levelOf(target);
  if (targetLevel === undefined) return `"${specifier}" is outside of src/`;
  if (!files.has(target)) return `"${specifier}" does not exist`;
  if (targetLevel > level) return `"${specifier}" is of level ${targetLevel}, above ${level}`;
  if (targetLevel < level || level === 0) return undefined;
  const [from, to] = [folderOf(path), folderOf(target)];
  if (from === to || (to === SHARED_FOLDER && level > PURE_LEVEL)) return undefined;
  return `${from ?? path} and ${to ?? target} are of one level and never import each other`;
}

function judgePackage(path: string, level: number, specifier: string): string | undefined {
  if (specifier.startsWith("node:")) {
    if (level > PURE_LEVEL || specifier === PURE_BUILTIN) return undefined;
    return `"${specifier}" in a pure file: pass it in`;
  }
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const room = Object.hasOwn(ROOM_OF_LIBRARY, name) ? ROOM_OF_LIBRARY[name] : undefined;
  if (room === undefined) return `"${name}" has no room: give it one in check_imports.ts`;
  const atHome = room.endsWith("/") ? path.startsWith(room) : path === room;
  return atHome ? undefined : `"${name}" may be imported in ${room} only`;
}

function checkGlobals(path: string, level: number, text: string): string[] {
  const problems: string[] = [];
  withoutComments(text).split("\n").forEach((line, index) => {
    const where = `${path}:${index + 1}`;
    if (level === PURE_LEVEL && IMPURE.test(line)) {
      problems.push(`${where}: time, randomness and output are passed in to a pure folder`);
    }
    if (!path.startsWith("src/runtime/") && DENO.test(line)) {
      problems.push(`${where}: "Deno." belongs in src/runtime/`);
    }
    if (path !== "src/main.ts" && /\bprocess\.exit(Code)?\b/.test(line)) {
      problems.push(`${where}: the exit code belongs to src/main.ts`);
    }
  });
  return problems;
}

function levelOf(path: string): number | undefined {
  if (Object.hasOwn(LEVEL_OF_FILE, path)) return LEVEL_OF_FILE[path];
  const folder = folderOf(path);
  return folder !== undefined && Object.hasOwn(LEVEL_OF_FOLDER, folder)
    ? LEVEL_OF_FOLDER[folder]
    : undefined;
}

function folderOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1];
}

/** Blanks lines that are comments, keeping the line numbers. */
function withoutComments(text: string): string {
  return text.split("\n").map((line) => (/^\s*(\/\/|\/\*|\*)/.test(line) ? "" : line)).join("\n");
}

function lineAt(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}
