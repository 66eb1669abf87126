/**
 * The files of a trail: the one being written and those that were rotated away from it, whose names
 * sort by time: `audit.jsonl`, `audit-20261125T083000Z-000123.jsonl`.
 *
 * @module
 */

import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";

import { AUDIT_FILES } from "../limits.ts";
import { timeText } from "./line_text.ts";

/** A file that was rotated away. */
export interface RotatedFile {
  readonly path: string;
  readonly number: number;
  /** When it was rotated, wall clock, ms; whole seconds. */
  readonly rotatedMs: number;
}

/** Where the file goes when it is rotated. */
export function rotatedPath(path: string, number: number, wallMs: number): string {
  const { stem, extension } = partsOf(path);
  const time = timeText(wallMs).replace(/[-:]|\.\d+/g, "");
  return join(dirname(path), `${stem}-${time}-${String(number).padStart(6, "0")}${extension}`);
}

/** The rotated files beside `path`, oldest first. Rejects as `readdir` does. */
export async function rotatedFiles(path: string): Promise<RotatedFile[]> {
  const { stem, extension } = partsOf(path);
  const found: RotatedFile[] = [];
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(`${stem}-`) || !name.endsWith(extension)) continue;
    const middle = name.slice(stem.length + 1, name.length - extension.length);
    const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-(\d{6,15})$/.exec(middle);
    if (match === null) continue;
    const [year, month, day, hour, minute, second, number] = match.slice(1).map(Number);
    const rotatedMs = Date.UTC(year!, month! - 1, day!, hour!, minute!, second!);
    found.push({ path: join(dirname(path), name), number: number!, rotatedMs });
  }
  found.sort((a, b) => a.number - b.number || (a.path < b.path ? -1 : 1));
  return found.slice(-AUDIT_FILES);
}

function partsOf(path: string): { readonly stem: string; readonly extension: string } {
  const extension = extname(path);
  return { stem: basename(path, extension), extension };
}
