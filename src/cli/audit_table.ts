/**
 * Lines of `audit tail`, aligned although they come one by one.
 *
 * The widths are those of the first rows; what comes later fits into them. A pipe has no width:
 * there every column is shown and nothing is shortened.
 *
 * @module
 */

import { type AuditRow, NO_TUNNEL } from "./audit_row.ts";
import { shorten } from "./fitted_table.ts";

/** What the lines are for. */
export interface TableView {
  /** Characters; `Infinity` when it is no terminal. */
  readonly width: number;
  readonly style: "plain" | "color";
}

/** Makes lines out of rows, with a head whenever the layout changes. */
export class AuditTable {
  #layout: Layout | undefined;
  #day: string | undefined;

  /** The lines for some rows; the first rows decide about the widths. */
  lines(rows: readonly AuditRow[], view: TableView): string[] {
    if (rows.length === 0) return [];
    const lines: string[] = [];
    const old = this.#layout;
    const isStale = old === undefined || old.view.width !== view.width ||
      (old.tunnel !== undefined &&
        rows.some(({ tunnel }) => tunnel !== old.tunnel && tunnel !== NO_TUNNEL));
    const layout = isStale ? layoutOf(rows, view, old === undefined) : old;
    if (layout !== old) {
      this.#layout = layout;
      if (old !== undefined) lines.push("");
      lines.push(headOf(layout));
    }
    for (const row of rows) {
      if (layout.dated) lines.push(lineOf(row, layout));
      else lines.push(...this.#dayLine(row, layout), lineOf(row, layout));
    }
    return lines;
  }

  /** Times without a date stand below their day. */
  #dayLine({ timeMs }: AuditRow, { view }: Layout): string[] {
    const day = timeMs === undefined ? undefined : instantText(timeMs).slice(0, 10);
    if (day === undefined || day === this.#day) return [];
    this.#day = day;
    return [styled(`-- ${day} UTC`, DIM, view)];
  }
}

interface Column {
  readonly title: string;
  readonly cell: (row: AuditRow, dated: boolean) => string;
  /** Terminals below this many characters do without it. */
  readonly from: number;
  /** It has at least this width, however short the first cells are; a narrow terminal may take it down to `min`. */
  readonly usual: number;
  readonly min: number;
  readonly max: number;
  /** How much more than others it needs its width, when there is not enough; by default 1. */
  readonly weight?: number;
  readonly align?: "right";
  readonly codes?: (row: AuditRow) => Codes | undefined;
}

interface Layout {
  readonly view: TableView;
  readonly columns: readonly { readonly column: Column; readonly width: number }[];
  /** Characters between two columns. */
  readonly gap: number;
  /** Does each line have its date? */
  readonly dated: boolean;
  /** All rows are about this tunnel, so there is no column for it. */
  readonly tunnel: string | undefined;
}

type Codes = readonly [on: string, off: string];

/** @param maySpare May a column be left out that has the same in each of the rows? */
function layoutOf(rows: readonly AuditRow[], view: TableView, maySpare: boolean): Layout {
  const dated = view.width >= DATED_FROM;
  const named = rows.map(({ tunnel }) => tunnel).filter((tunnel) => tunnel !== NO_TUNNEL);
  const first = named[0];
  const isOne = maySpare && !dated && first !== undefined &&
    named.every((tunnel) => tunnel === first);
  const columns = COLUMNS
    .filter(({ from, title }) => view.width >= from && !(isOne && title === TUNNEL))
    .map((column) => {
      const widest = rows.reduce(
        (width, row) => Math.max(width, column.cell(row, dated).length),
        Math.max(column.usual, dated || column.title !== TIME ? column.title.length : 0),
      );
      return { column, width: view.width === Infinity ? widest : Math.min(widest, column.max) };
    });
  const gap = dated ? GAP : NARROW_GAP;
  const total = () => columns.reduce((sum, { width }) => sum + width + gap, -gap);
  const need = ({ column, width }: typeof columns[number]) => width / (column.weight ?? 1);
  while (total() > view.width) {
    const next = columns.filter(({ column, width }) => width > column.min && column.title !== TIME)
      .sort((a, b) => need(b) - need(a))[0];
    if (next === undefined) break;
    next.width--;
  }
  return { view, columns, gap, dated, tunnel: isOne ? first : undefined };
}

function headOf(layout: Layout): string {
  const { view, columns, gap, dated, tunnel } = layout;
  const cells = columns.map(({ column, width }) => {
    const title = column.title === TIME && !dated ? "UTC" : column.title;
    return column.align === "right" ? title.padStart(width) : title.padEnd(width);
  });
  const head = cells.join(" ".repeat(gap)).trimEnd();
  const about = tunnel === undefined ? [] : [shorten(`tunnel ${tunnel}`, view.width)];
  return [...about, shorten(head, view.width)].map((line) => styled(line, DIM, view)).join("\n");
}

function lineOf(row: AuditRow, { view, columns, gap, dated }: Layout): string {
  let line = "";
  let left = view.width;
  const last = columns.length - 1;
  for (const [at, { column, width }] of columns.entries()) {
    // The last one takes what is left.
    const room = at === last ? Math.max(0, left) : Math.min(width, left);
    const cell = column.cell(row, dated);
    const text = view.width === Infinity ? cell : shorten(cell, room);
    const padding = " ".repeat(Math.max(0, width - text.length));
    const shown = styled(text, column.codes?.(row), view);
    if (at === last) line += shown;
    else line += (column.align === "right" ? padding + shown : shown + padding) + " ".repeat(gap);
    left -= Math.max(width, text.length) + gap;
  }
  return line.trimEnd();
}

function styled(text: string, codes: Codes | undefined, { style }: TableView): string {
  if (codes === undefined || style === "plain" || text === "") return text;
  return `${codes[0]}${text}${codes[1]}`;
}

function timeCell({ timeMs }: AuditRow, dated: boolean): string {
  if (timeMs === undefined) return "-";
  const text = instantText(timeMs);
  return dated ? text : text.slice(11, 19);
}

/** `2026-11-25 08:30:00.123` */
function instantText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace("T", " ");
}

const GAP = 2;
const NARROW_GAP = 1;
/** From here on a line has room for its date and milliseconds. */
const DATED_FROM = 120;
const DIM: Codes = ["\x1b[2m", "\x1b[22m"];
const BOLD_RED: Codes = ["\x1b[1;31m", "\x1b[22;39m"];
const RED: Codes = ["\x1b[31m", "\x1b[39m"];
const YELLOW: Codes = ["\x1b[33m", "\x1b[39m"];
const TIME = "TIME (UTC)";
const TUNNEL = "TUNNEL";

const COLUMNS: readonly Column[] = [
  { title: TIME, cell: timeCell, from: 0, usual: 8, min: 8, max: 23, codes: () => DIM },
  {
    title: "RESULT",
    cell: ({ result }) => result,
    from: 0,
    usual: 8,
    min: 8,
    max: 10,
    codes: ({ tone }) => tone === "denied" ? BOLD_RED : tone === "failed" ? YELLOW : undefined,
  },
  { ...number("HTTP", ({ status }) => status, 120), usual: 4 },
  { ...number("TOOK", ({ took }) => took, 0), usual: 6 },
  { ...number("IN", ({ bytesIn }) => bytesIn, 200), usual: 5 },
  { ...number("OUT", ({ bytesOut }) => bytesOut, 100), usual: 5 },
  { title: "CLIENT", cell: ({ client }) => client, from: 180, usual: 12, min: 12, max: 39 },
  { title: "USER", cell: ({ user }) => user, from: 0, usual: 6, min: 6, max: 32 },
  { title: TUNNEL, cell: ({ tunnel }) => tunnel, from: 0, usual: 6, min: 6, max: 32 },
  { title: "CALL", cell: ({ call }) => call, from: 0, usual: 16, min: 10, max: 60, weight: 2 },
  {
    title: "RULE",
    cell: ({ rule, shortRule }, dated) => dated ? rule : shortRule,
    from: 0,
    usual: 14,
    min: 10,
    max: 60,
    weight: 2,
    codes: ({ tone }) => tone === "denied" ? RED : undefined,
  },
];

function number(
  title: string,
  cell: (row: AuditRow) => string,
  from: number,
): Omit<Column, "usual"> {
  return { title, cell, from, min: 4, max: 8, align: "right" };
}
