/**
 * A table that fits into a terminal: columns that matter less are left out first, then long cells
 * are shortened.
 *
 * @module
 */

/** One column. */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Columns with the highest number go first; those without one stay. */
  readonly dispensable?: number;
  /** May be shortened, but not below this. */
  readonly minWidth?: number;
  readonly align?: "left" | "right";
}

/** Lines of a table, and the titles of what did not fit. */
export interface FittedTable {
  readonly head: string;
  readonly rows: readonly string[];
  readonly leftOut: readonly string[];
}

/** @param width Characters; `Infinity` for something that has no width, such as a pipe. */
export function fitTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
): FittedTable {
  let shown = columns.map((column) => {
    const cells = rows.map(column.cell);
    const wide = Math.max(column.title.length, ...cells.map((cell) => cell.length));
    return { column, cells, width: wide };
  });
  const total = (): number =>
    shown.reduce((sum, one) => sum + one.width, 0) + GAP * (shown.length - 1);
  const smallest = (): number =>
    shown.reduce((sum, one) => sum + Math.min(one.width, one.column.minWidth ?? one.width), 0) +
    GAP * (shown.length - 1);
  const leftOut: string[] = [];
  // Shortening a name by a little is better than losing a column, and losing one than a stump.
  while (smallest() > width) {
    const next = shown.filter(({ column }) => column.dispensable !== undefined)
      .sort((a, b) => b.column.dispensable! - a.column.dispensable!)[0];
    if (next === undefined) break;
    leftOut.push(next.column.title);
    shown = shown.filter((one) => one !== next);
  }
  while (total() > width) {
    const next = shown.filter((one) => one.width > (one.column.minWidth ?? one.width))
      .sort((a, b) => b.width - a.width)[0];
    if (next === undefined) break;
    next.width--;
  }
  const line = (cellOf: (one: (typeof shown)[number]) => string): string =>
    shown.map((one) => {
      const cell = shorten(cellOf(one), one.width);
      return one.column.align === "right" ? cell.padStart(one.width) : cell.padEnd(one.width);
    }).join(" ".repeat(GAP)).trimEnd();
  return {
    head: line(({ column }) => column.title),
    rows: rows.map((_, at) => line(({ cells }) => cells[at]!)),
    leftOut,
  };
}

/** At most `width` characters; what is cut off is marked. */
export function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/**
 * Text from another machine as plain ASCII: everything else is escaped, so that it can neither
 * steer the terminal nor look like another text (CWE-150).
 */
export function inertText(text: string): string {
  return text.replace(
    /[^\x20-\x7e]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** Breaks at spaces; a word that is too long is cut. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    for (; word.length > width; word = word.slice(width)) lines.push(word.slice(0, width));
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

const GAP = 2;
