/** `mcptun audit tail`: the records of the trail, for people or as they are. @module */

import { Buffer } from "node:buffer";

import { OpenIntents } from "../audit/open_intents.ts";
import { isAboutExchange, type SeenRecord } from "../audit/read_record.ts";
import { readTrail } from "../audit/read_trail.ts";
import { readWanted, type RecordFilter } from "../audit/record_filter.ts";
import { type Clock, systemClock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { MAX_TAIL_LINES, TAIL_HELD_ROWS } from "../limits.ts";
import { type FilterFlags, filterOf } from "./audit_filter.ts";
import { type AuditRow, type Outcome, rowOf } from "./audit_row.ts";
import { auditFile, AuditNotes, type AuditSourceOptions } from "./audit_source.ts";
import { AuditTable, type TableView } from "./audit_table.ts";
import { inertText } from "./fitted_table.ts";
import type { Io } from "./io.ts";
import { outputWidth, writeOut } from "./line_output.ts";

/** What `audit tail` is told. */
export interface AuditTailOptions extends FilterFlags, AuditSourceOptions {
  readonly follow?: true | undefined;
  readonly lines?: string | undefined;
  readonly json?: true | undefined;
  /** `false` with `--no-color`. */
  readonly color?: boolean | undefined;
}

/**
 * Prints records; with `follow` until `io.signal`.
 *
 * @throws {TunnelError} `USAGE`; `AUDIT_UNREADABLE`; `CONFIG_INVALID`
 */
export async function runAuditTail(
  io: Io,
  options: AuditTailOptions,
  clock: Clock = systemClock,
): Promise<void> {
  const { filter, where } = filterOf(options, clock.wallNow());
  const mode = options.follow === true ? "follow" : "once";
  if (mode === "follow" && options.until !== undefined) {
    throw new TunnelError("USAGE", "--until and --follow exclude each other");
  }
  const count = countOf(options);
  const path = auditFile(io, options);
  const notes = new AuditNotes(io);
  // Whoever names the type in a condition asks for lines of every type.
  const types = where?.fields.has("type") === true ? "every" : "exchanges";
  const printer = options.json === true ? new RawPrinter(io, filter) : new RowPrinter({
    io,
    filter,
    types,
    options,
    notes,
    last: mode === "once" && count !== undefined && count <= TAIL_HELD_ROWS ? count : undefined,
  });
  const counts = options.json === true || types === "every"
    ? () => true
    : ({ type }: SeenRecord) => type === "exchange" || type === "lost";
  const batches = readTrail({
    path,
    filter,
    ...(count === undefined ? {} : { last: { count, counts } }),
    mode,
    clock,
    signal: io.signal,
    onNote: notes.onNote,
    onWait: () => io.stderr.write(`mcptun: waiting for ${JSON.stringify(inertText(path))}\n`),
  });
  for await (const lines of batches) {
    await printer.print(lines);
    if (mode === "follow") notes.flush();
  }
  if (mode === "once") await printer.end();
  if (mode === "once" && printer.isOther && !io.signal.aborted) throw notATrail(path);
  notes.flush();
  if (mode === "once" && printer.isEmpty && count !== 0 && !io.signal.aborted) {
    const isAsked = filter.isSelective || options.since !== undefined ||
      options.until !== undefined;
    const text = isAsked ? "no record matches" : "the trail has no records yet";
    io.stderr.write(`mcptun: note: ${text}\n`);
  }
}

function notATrail(path: string): TunnelError {
  return new TunnelError(
    "AUDIT_UNREADABLE",
    `Cannot read the audit trail ${JSON.stringify(path)}: it is not an audit trail of mcptun`,
  );
}

interface Printer {
  /** Has nothing been printed, so that a person would wonder? Lines for machines speak for themselves. */
  readonly isEmpty: boolean;
  /** Were there lines, and none of them one of a trail? */
  readonly isOther: boolean;
  print(lines: readonly Buffer[]): Promise<void>;
  /** The trail has ended. */
  end(): Promise<void>;
}

/** Lines as they are, bytes unchanged. */
class RawPrinter implements Printer {
  readonly isEmpty = false;
  readonly isOther = false;
  readonly #io: Io;
  readonly #filter: RecordFilter;

  constructor(io: Io, filter: RecordFilter) {
    this.#io = io;
    this.#filter = filter;
  }

  async print(lines: readonly Buffer[]): Promise<void> {
    const parts: Buffer[] = [];
    for (const line of lines) if (this.#isWanted(line)) parts.push(line, LINE_FEED);
    await writeOut(this.#io, Buffer.concat(parts));
  }

  async end(): Promise<void> {}

  /** Without any filter everything is, also what no one can read: it is the trail. */
  #isWanted(line: Buffer): boolean {
    const { isSelective, sinceMs, untilMs } = this.#filter;
    if (!isSelective && sinceMs === -Infinity && untilMs === Infinity) return true;
    const record = readWanted(line, this.#filter);
    return typeof record !== "string" && this.#filter.matches(record);
  }
}

/** Rows for people. */
class RowPrinter implements Printer {
  readonly #io: Io;
  readonly #filter: RecordFilter;
  readonly #types: "exchanges" | "every";
  readonly #options: AuditTailOptions;
  readonly #notes: AuditNotes;
  readonly #intents = new OpenIntents();
  readonly #table = new AuditTable();
  readonly #last: number | undefined;
  /** The last ones, when only so many are to be shown: what has no outcome comes on top of them. */
  #held: AuditRow[] = [];
  #isEmpty = true;
  #isTrail = false;
  #isNoRecord = false;

  constructor({ io, filter, types, options, notes, last }: {
    readonly io: Io;
    readonly filter: RecordFilter;
    readonly types: "exchanges" | "every";
    readonly options: AuditTailOptions;
    readonly notes: AuditNotes;
    /** How many rows are shown at the end; absent: each as it comes. */
    readonly last: number | undefined;
  }) {
    this.#io = io;
    this.#filter = filter;
    this.#types = types;
    this.#options = options;
    this.#notes = notes;
    this.#last = last;
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  get isOther(): boolean {
    return this.#isNoRecord && !this.#isTrail;
  }

  async print(lines: readonly Buffer[]): Promise<void> {
    const rows: AuditRow[] = [];
    for (const line of lines) {
      const record = readWanted(line, this.#filter);
      if (record === "no_record") this.#isNoRecord = true;
      else this.#isTrail = true;
      if (record === "not_wanted") continue;
      if (record === "no_record" || record === "newer") {
        this.#notes.count(record);
        continue;
      }
      rows.push(...this.#unfinished(this.#intents.see(record), "lost"));
      if (this.#isShown(record)) rows.push(rowOf(record));
    }
    if (this.#last === undefined) await this.#write(rows);
    else this.#hold(rows, this.#last);
  }

  async end(): Promise<void> {
    const rows = this.#unfinished(this.#intents.takeAll(), "open");
    if (this.#last !== undefined) this.#hold(rows, this.#last);
    await this.#write(this.#last === undefined ? rows : this.#held.splice(0));
  }

  #hold(rows: readonly AuditRow[], last: number): void {
    this.#held.push(...rows);
    this.#held.splice(0, Math.max(0, this.#held.length - last));
  }

  /** Intents are no news, but for those without an outcome. */
  #isShown(record: SeenRecord): boolean {
    if (this.#types === "every") return this.#filter.matches(record);
    if (record.type === "exchange") return this.#filter.matches(record);
    // That records are missing is news to whoever asks for some of them, too.
    if (record.type !== "lost") return false;
    const { sinceMs, untilMs } = this.#filter;
    return record.time === undefined || (record.time >= sinceMs && record.time < untilMs);
  }

  #unfinished(intents: readonly SeenRecord[], outcome: Outcome): AuditRow[] {
    if (this.#types === "every") return [];
    return intents.filter((intent) => isAboutExchange(intent) && this.#filter.matches(intent))
      .map((intent) => rowOf(intent, outcome));
  }

  async #write(rows: readonly AuditRow[]): Promise<void> {
    if (rows.length > 0) this.#isEmpty = false;
    const lines = this.#table.lines(rows, viewOf(this.#io, this.#options));
    await writeOut(this.#io, lines.map((line) => `${line}\n`).join(""));
  }
}

/** How wide, and in colour or not (NO_COLOR: no-color.org). */
function viewOf(io: Io, { color }: AuditTailOptions): TableView {
  const width = outputWidth(io);
  if (width === Infinity) return { width, style: "plain" };
  const { NO_COLOR: noColor = "", TERM: term } = io.env;
  const isPlain = color === false || noColor !== "" || term === "dumb";
  return { width: Math.max(MIN_WIDTH, width), style: isPlain ? "plain" : "color" };
}

/** How many lines from the end; `undefined`: all of the asked time. @throws {TunnelError} `USAGE` */
function countOf({ lines, since }: AuditTailOptions): number | undefined {
  if (lines === undefined) return since === undefined ? DEFAULT_LINES : undefined;
  if (/^\d{1,9}$/.test(lines) && Number(lines) <= MAX_TAIL_LINES) return Number(lines);
  throw new TunnelError(
    "USAGE",
    `--lines: ${JSON.stringify(lines)} is not a number of lines (from 0 to ${MAX_TAIL_LINES})`,
  );
}

const LINE_FEED = Buffer.from("\n");
const DEFAULT_LINES = 50;
/** Below this nothing can be read anyway. */
const MIN_WIDTH = 60;
