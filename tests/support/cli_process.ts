/** The program as a child process, on the runtime that runs the test or on the other one. @module */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** How one run ended. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running program. */
export interface CliProcess {
  readonly child: ChildProcess;
  readonly result: Promise<CliResult>;
  /** Resolves with the first `count` whole lines of stdout; rejects when the program ends before. */
  lines(count: number): Promise<string[]>;
  /** Sends a signal, as a person or a supervisor would. */
  signal(name: "SIGHUP" | "SIGINT" | "SIGTERM" | "SIGKILL"): void;
  /** Resolves with the match when stderr matches; rejects when the program ends before. */
  stderrMatch(pattern: RegExp): Promise<RegExpExecArray>;
}

/** What a run may change. */
export interface CliRunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** By default the one that runs the test. */
  readonly runtime?: CliRuntime;
}

/** What can run the program. */
export type CliRuntime = "node" | "deno";

/** The runtime that runs this test. */
export const OWN_RUNTIME: CliRuntime = "Deno" in globalThis ? "deno" : "node";

/** Starts the program; call `await result` after a signal or at its natural end. */
export function startCli(argv: readonly string[], options: CliRunOptions = {}): CliProcess {
  const { command, programArguments } = commandOf(options.runtime ?? OWN_RUNTIME);
  const child = spawn(command, [...programArguments, ...argv], {
    cwd: options.cwd ?? repositoryRoot(),
    env: { ...withoutOurs(process.env), ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  let ended = false;
  const waiters = new Set<() => void>();
  const onText = (): void => {
    for (const waiter of waiters) waiter();
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    onText();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    onText();
  });
  child.stdin.on("error", () => {}); // the program may end without reading it
  child.stdin.end(options.stdin ?? "");
  const result = new Promise<CliResult>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      ended = true;
      onText();
      resolve({ code, stdout, stderr });
    });
  });
  const until = <T>(read: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = read();
        if (found !== undefined) resolve(found);
        else if (ended) reject(new Error(`The program ended early:\n${stdout}\n${stderr}`));
        else return;
        waiters.delete(look);
      };
      waiters.add(look);
      look();
    });
  return {
    child,
    result,
    // Not `child.kill`: Deno then reports the signal as the cause of death, whatever the exit code.
    signal: (name) => void process.kill(child.pid!, name),
    lines: (count) =>
      until(() => {
        const lines = stdout.split("\n");
        return lines.length > count ? lines.slice(0, count) : undefined;
      }),
    stderrMatch: (pattern) => until(() => pattern.exec(stderr) ?? undefined),
  };
}

/** Runs the program to its end. */
export function runCliProcess(
  argv: readonly string[],
  options?: CliRunOptions,
): Promise<CliResult> {
  return startCli(argv, options).result;
}

/** The folder that holds `package.json`, from the sources as well as from the built files. */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** How a runtime is told to run the program. */
export interface CliCommand {
  readonly command: string;
  readonly programArguments: readonly string[];
}

/** Deno runs the source, Node the built file. */
export function commandOf(runtime: CliRuntime): CliCommand {
  const root = repositoryRoot();
  if (runtime === "node") {
    const own = new URL("../../src/main.js", import.meta.url);
    return runtime === OWN_RUNTIME
      ? { command: process.execPath, programArguments: [fileURLToPath(own)] }
      : { command: "node", programArguments: [join(root, "dist", "src", "main.js")] };
  }
  return {
    command: runtime === OWN_RUNTIME ? process.execPath : installedDeno(root),
    programArguments: [
      ...["run", "-A", "--unstable-net", "--no-check"],
      join(root, "src", "main.ts"),
    ],
  };
}

/** The binary that came with the npm package `deno`. @throws When there is none. */
function installedDeno(root: string): string {
  const folder = join(root, "node_modules", "@deno");
  const name = process.platform === "win32" ? "deno.exe" : "deno";
  const found = readdirSync(folder).map((platform) => join(folder, platform, name)).find(
    existsSync,
  );
  if (found === undefined) throw new Error("No Deno binary is installed");
  return found;
}

function withoutOurs(env: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("MCPTUN_")));
}
