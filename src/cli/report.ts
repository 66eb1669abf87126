/** How commands speak to people: errors, warnings, aligned columns. @module */

import { CommanderError } from "@commander-js/extra-typings";

import { TunnelError } from "../errors.ts";
import { type Io, OUTPUT_CLOSED } from "./io.ts";
import { readProduct } from "./product.ts";

/** The exit code of a bug, as `EX_SOFTWARE` of sysexits.h. */
const EXIT_BUG = 70;
const EXIT_USAGE = 2;
/** What a disk says, when standard output goes to one; some runtimes throw it, some emit it. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG", "EIO"]);

/** Prints why a command failed and gives the exit code. Only bugs show a stack. */
export function reportFailure(io: Io, error: unknown): number {
  // Commander has printed its own text by now.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (error instanceof TunnelError) {
    // A reader that has seen enough, such as head(1), is no failure.
    if (error.code === "ABORTED" && io.signal.reason === OUTPUT_CLOSED) return 0;
    const lines = error.message.split("\n");
    const text = lines.length === 1
      ? lines[0]!
      : [`${lines.length} problems`, ...lines].join("\n  ");
    io.stderr.write(`mcptun: ${text}\n`);
    return error.facts.exit;
  }
  const systemCode = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  if (FULL.has(systemCode)) {
    io.stderr.write(`mcptun: Cannot write: ${systemCode} (make room, or write to another place)\n`);
    return 1;
  }
  const stack = error instanceof Error ? error.stack ?? String(error) : String(error);
  io.stderr.write(
    `mcptun: internal error\n${stack}\n\nThis is a bug in mcptun. ` +
      `Please report it, with the lines above, to ${readProduct().bugs}\n`,
  );
  return EXIT_BUG;
}

/** Prints a warning: the command goes on. */
export function warn(io: Io, text: string): void {
  io.stderr.write(`mcptun: warning: ${text}\n`);
}

/** Lines with columns as wide as their widest cell, two spaces between, `indent` before. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows.map((row) =>
    indent +
    row.map((cell, at) => at === row.length - 1 ? cell : cell.padEnd(widths[at]!)).join("  ")
  ).map((line) => `${line.trimEnd()}\n`).join("");
}

/** A wall time to the minute, `2026-12-23 04:32 UTC`. */
export function timeOf(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
