/** `mcptun status`: what the edge on this host is doing, once or again and again. @module */

import type { Writable } from "node:stream";

import { type Clock, delay, systemClock } from "../clock.ts";
import { parseDuration } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import { WATCH_MS } from "../limits.ts";
import { adminSocket, askAdmin } from "./admin_client.ts";
import { shorten, wrapped } from "./fitted_table.ts";
import type { Io } from "./io.ts";
import { stateDirOf } from "./key_option.ts";
import { readStatusAnswer } from "./status_answer.ts";
import { statusLines, type View } from "./status_view.ts";

/** What `status` is told. */
export interface StatusCommandOptions {
  readonly config?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly json?: true | undefined;
  /** `true` without a time. */
  readonly watch?: string | true | undefined;
}

/** Prints the status; with `watch` until `io.signal`. @throws {TunnelError} `NO_EDGE` when none answers. */
export async function runStatus(io: Io, options: StatusCommandOptions): Promise<void> {
  const everyMs = options.watch === undefined ? undefined : watchMs(options.watch);
  // The running edge can be asked while its file is being mended.
  const stateDir = stateDirOf(io, options, "ask the running edge");
  const question: StatusQuestion = {
    io,
    stateDir,
    format: options.json === true ? "json" : "table",
    clock: systemClock,
  };
  if (everyMs === undefined) {
    const { lines } = await ask(question);
    io.stdout.write(textOf(lines));
    return;
  }
  await watchStatus(question, everyMs);
}

/** Whom to ask, and for whom. */
export interface StatusQuestion {
  readonly io: Io;
  readonly stateDir: string;
  readonly format: "json" | "table";
  readonly clock: Clock;
}

/** The lines to show. @throws {TunnelError} `NO_EDGE` */
async function ask({ io, stateDir, format, clock }: StatusQuestion): Promise<{ lines: string[] }> {
  const answer = await askAdmin({ stateDir, signal: io.signal }, "/status");
  if (answer === undefined) {
    throw new TunnelError(
      "NO_EDGE",
      `No edge answers at "${adminSocket(stateDir)}" ` +
        '(start one with "mcptun edge"; if it runs, ask as its user, with its --config or --state-dir)',
    );
  }
  const status = readStatusAnswer(answer);
  if (status === undefined) {
    throw new TunnelError(
      "NO_EDGE",
      `Cannot read what the edge at "${adminSocket(stateDir)}" answers ` +
        "(run the same version of mcptun)",
    );
  }
  if (format === "json") return { lines: [JSON.stringify(answer)] };
  return { lines: statusLines(status, viewOf(io, clock)) };
}

/** Asks every `everyMs` until `io.signal`, whether an edge answers or not. */
export async function watchStatus(question: StatusQuestion, everyMs: number): Promise<void> {
  const { io, format, clock } = question;
  // JSON stays JSON on a terminal too: one line per look.
  const drawn = format === "table" && io.env["TERM"] !== "dumb";
  const screen = drawn && isTerminal(io.stdout) ? new Screen(io.stdout) : undefined;
  let waiting = false;
  try {
    do {
      let lines: string[];
      try {
        lines = (await ask(question)).lines;
        waiting = false;
      } catch (error) {
        if (!(error instanceof TunnelError) || error.code !== "NO_EDGE") throw error;
        if (io.signal.aborted) break;
        lines = ["No edge; waiting", "", ...wrapped(error.message, viewOf(io, clock).width)];
        // In a list that only grows, once is enough.
        if (screen === undefined) {
          if (!waiting) io.stderr.write(`mcptun: waiting: ${error.message}\n`);
          waiting = true;
          continue;
        }
      }
      if (screen !== undefined) screen.draw(lines);
      else io.stdout.write(textOf(format === "json" ? lines : [...lines, ""]));
    } while (await delay(clock, everyMs, io.signal) === "elapsed");
  } finally {
    screen?.close();
  }
}

/** Draws over what it drew before. */
class Screen {
  readonly #out: Writable & { readonly columns: number; readonly rows: number };
  #drawn = false;

  constructor(out: Writable & { readonly columns: number; readonly rows: number }) {
    this.#out = out;
  }

  draw(lines: readonly string[]): void {
    const { rows, columns } = this.#out;
    const room = Math.max(1, rows - 1);
    const shown = lines.length <= room
      ? lines
      : [...lines.slice(0, room - 1), shorten(`… ${lines.length - room + 1} more lines`, columns)];
    // Hide the cursor and clear at first; then home, each line to its end, the rest below.
    const start = this.#drawn ? "\x1b[H" : "\x1b[?25l\x1b[2J\x1b[H";
    this.#drawn = true;
    this.#out.write(`${start}${shown.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
  }

  /** Gives the cursor back. */
  close(): void {
    if (this.#drawn) this.#out.write("\x1b[?25h");
  }
}

function viewOf(io: Io, clock: Clock): View {
  const nowMs = clock.wallNow();
  if (!isTerminal(io.stdout)) return { width: Infinity, style: "plain", nowMs };
  const { NO_COLOR: noColor = "", TERM: term } = io.env;
  const style = noColor !== "" || term === "dumb" ? "plain" : "terminal";
  return { width: Math.max(MIN_WIDTH, io.stdout.columns), style, nowMs };
}

function isTerminal(
  out: Writable,
): out is Writable & { readonly columns: number; readonly rows: number } {
  // A terminal's stream has these; other streams lack them or have them undefined.
  const facts = out as {
    readonly isTTY?: unknown;
    readonly columns?: unknown;
    readonly rows?: unknown;
  };
  return facts.isTTY === true && typeof facts.columns === "number" && facts.columns > 0 &&
    typeof facts.rows === "number";
}

/** Seconds, or a duration with its unit. @throws {TunnelError} `USAGE` */
function watchMs(given: string | true): number {
  if (given === true) return WATCH_MS;
  const text = /^\d+$/.test(given) ? `${given}s` : given;
  const parsed = parseDuration(text, { minMs: 100, maxMs: 86_400_000 });
  if ("problem" in parsed) throw new TunnelError("USAGE", `--watch: ${parsed.problem}`);
  return parsed.value;
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/** Below this nothing can be read anyway. */
const MIN_WIDTH = 40;
