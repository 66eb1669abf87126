/**
 * Lines of `audit tail`, aligned although they come one by one.
 *
 * Columns have a usual width, grow when a wider cell comes, as far as the terminal allows, and stay so.
 * A pipe has no width: there every column is shown and nothing is shortened.
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
  /** By title, what each column would like to have. */
  #wanted: ReadonlyMap<string, number> = new Map();

  /** The lines for some rows. */
  lines(rows: readonly AuditRow[], view: TableView): string[] {
    if (rows.length === 0) return [];
    const lines: string[] = [];
    const old = this.#layout;
    const isResized = old?.view.width !== view.width;
    const known = old === undefined
      ? rows.find(({ tunnel }) => tunnel !== NO_TUNNEL)?.tunnel
      : old.tunnel;
    const tunnel = cellView(view).dated ? undefined : sameTunnel(rows, known);
    const wanted = wantedBy(rows, view, isResized ? new Map() : this.#wanted);
    this.#wanted = wanted;
    const layout = layoutOf({ wanted, view, tunnel });
    this.#layout = layout;
    // In a pipe a second head would be one more line that is no record.
    const isNew = old === undefined || isResized ||
      (view.width !== Infinity && !looksTheSame(layout, old));
    if (isNew) {
      if (old !== undefined) lines.push("");
      lines.push(...headOf(layout, old?.tunnel));
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
  readonly cell: (row: AuditRow, view: CellView) => string;
  /** The cell in less room than it needs; without it, the end is cut off. */
  readonly fit?: (row: AuditRow, room: number, view: CellView) => string;
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

/** What a cell depends on. */
interface CellView {
  /** Is there room for dates, and for rules by their whole name? */
  readonly dated: boolean;
  /** Is there room for where a rule stands? */
  readonly placed: boolean;
  /** Is there room for everything? */
  readonly whole: boolean;
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

/** The tunnel that all rows are about: there is then no column for it. */
function sameTunnel(rows: readonly AuditRow[], known: string | undefined): string | undefined {
  return rows.every(({ tunnel }) => tunnel === known || tunnel === NO_TUNNEL) ? known : undefined;
}

function cellView({ width }: TableView): CellView {
  return { dated: width >= DATED_FROM, placed: width >= PLACED_FROM, whole: width === Infinity };
}

/** The widths that columns would like to have; never less than `before`, and more in steps. */
function wantedBy(
  rows: readonly AuditRow[],
  view: TableView,
  before: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const cells = cellView(view);
  return new Map(COLUMNS.map((column) => {
    const { title, usual, max, cell } = column;
    const known = before.get(title);
    const least = known ??
      Math.max(usual, cells.dated || title !== TIME ? title.length : 0);
    const widest = rows.reduce(
      (width, row) => Math.max(width, cell(row, cells).length),
      least,
    );
    // Each step moves what stands below one another: few of them.
    const stepped = known === undefined || widest === known
      ? widest
      : Math.ceil(widest / GROWTH) * GROWTH;
    return [title, cells.whole ? stepped : Math.min(stepped, max)];
  }));
}

function looksTheSame(one: Layout, other: Layout): boolean {
  return one.tunnel === other.tunnel && one.columns.length === other.columns.length &&
    one.columns.every(({ width }, at) => width === other.columns[at]?.width);
}

function layoutOf({ wanted, view, tunnel }: {
  readonly wanted: ReadonlyMap<string, number>;
  readonly view: TableView;
  readonly tunnel: string | undefined;
}): Layout {
  const { dated } = cellView(view);
  const columns = COLUMNS
    .filter(({ from, title }) => view.width >= from && !(tunnel !== undefined && title === TUNNEL))
    .map((column) => ({ column, width: wanted.get(column.title) ?? column.usual }));
  const gap = dated ? GAP : NARROW_GAP;
  const total = () => columns.reduce((sum, { width }) => sum + width + gap, -gap);
  const need = ({ column, width }: typeof columns[number]) => width / (column.weight ?? 1);
  while (total() > view.width) {
    const next = columns.filter(({ column, width }) => width > column.min && column.title !== TIME)
      .sort((a, b) => need(b) - need(a))[0];
    if (next === undefined) break;
    next.width--;
  }
  return { view, columns, gap, dated, tunnel };
}

/** @param told The tunnel that was named last. */
function headOf(layout: Layout, told: string | undefined): string[] {
  const { view, columns, gap, dated, tunnel } = layout;
  const cells = columns.map(({ column, width }) => {
    const title = column.title === TIME && !dated ? "UTC" : column.title;
    return column.align === "right" ? title.padStart(width) : title.padEnd(width);
  });
  const head = cells.join(" ".repeat(gap)).trimEnd();
  const about = tunnel === undefined || tunnel === told
    ? []
    : [shorten(`tunnel ${tunnel}`, view.width)];
  return [...about, shorten(head, view.width)].map((line) => styled(line, DIM, view));
}

function lineOf(row: AuditRow, { view, columns, gap }: Layout): string {
  const cells = cellView(view);
  let line = "";
  let left = view.width;
  const last = columns.length - 1;
  for (const [at, { column, width }] of columns.entries()) {
    // The last one takes what is left.
    const room = at === last ? Math.max(0, left) : Math.min(width, left);
    const cell = column.cell(row, cells);
    const text = cells.whole || cell.length <= room
      ? cell
      : column.fit?.(row, room, cells) ?? shorten(cell, room);
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

function timeCell({ timeMs }: AuditRow, { dated }: CellView): string {
  if (timeMs === undefined) return "-";
  const text = instantText(timeMs);
  return dated ? text : text.slice(11, 19);
}

function joined(rule: string, place: string): string {
  return place === "" ? rule : `${rule} ${place}`;
}

/** The line of the place is what leads to the rule: it stays as long as there is room for both. */
function withPlace({ rule, shortRule, shortPlace: place }: AuditRow, room: number): string {
  if (place === "") return shorten(rule, room);
  const left = room - place.length - 1;
  if (left >= MIN_RULE) return joined(shorten(shortRule, left), place);
  const placeRoom = room - MIN_RULE - 1;
  if (placeRoom < MIN_PLACE) return shorten(shortRule, room);
  return joined(shorten(shortRule, MIN_RULE), `…${place.slice(1 - placeRoom)}`);
}

/** `2026-11-25 08:30:00.123` */
function instantText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace("T", " ");
}

const GAP = 2;
const NARROW_GAP = 1;
/** From here on a line has room for its date and milliseconds. */
const DATED_FROM = 140;
/** And from here on for the place of a rule. */
const PLACED_FROM = 120;
/** Columns grow by this much at least. */
const GROWTH = 4;
/** Below this a rule, and its place, say nothing. */
const MIN_RULE = 8;
const MIN_PLACE = 8;
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
  { title: "USER", cell: ({ user }) => user, from: 0, usual: 8, min: 6, max: 32 },
  { title: TUNNEL, cell: ({ tunnel }) => tunnel, from: 0, usual: 8, min: 6, max: 32 },
  { title: "CALL", cell: ({ call }) => call, from: 0, usual: 24, min: 10, max: 60, weight: 2 },
  {
    title: "RULE",
    cell: (row, { dated, placed, whole }) =>
      joined(
        dated ? row.rule : row.shortRule,
        whole ? row.place : placed ? row.shortPlace : "",
      ),
    fit: (row, room, { placed }) => placed ? withPlace(row, room) : shorten(row.shortRule, room),
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
