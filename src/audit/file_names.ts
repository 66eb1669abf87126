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

/** The rotated files beside `path`, oldest first: by number, since clocks are set back. Rejects as `readdir` does. */
export async function rotatedFiles(path: string): Promise<RotatedFile[]> {
  const found: RotatedFile[] = [];
  for (const name of await readdir(dirname(path))) {
    const parts = rotatedParts(path, name);
    if (parts !== undefined) found.push({ path: join(dirname(path), name), ...parts });
  }
  found.sort((a, b) => a.number - b.number || (a.path < b.path ? -1 : 1));
  return found.slice(-AUDIT_FILES);
}

/** The number in the name of a rotated file of the trail `path`; `undefined` for other names. */
export function rotatedNumber(path: string, name: string): number | undefined {
  return rotatedParts(path, name)?.number;
}

function rotatedParts(path: string, name: string): Omit<RotatedFile, "path"> | undefined {
  const { stem, extension } = partsOf(path);
  if (!name.startsWith(`${stem}-`) || !name.endsWith(extension)) return undefined;
  const match = STAMP.exec(name.slice(stem.length + 1, name.length - extension.length));
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second, number] = match.slice(1).map(Number);
  const rotatedMs = Date.UTC(year!, month! - 1, day!, hour!, minute!, second!);
  return { number: number!, rotatedMs };
}

function partsOf(path: string): { readonly stem: string; readonly extension: string } {
  const extension = extname(path);
  return { stem: basename(path, extension), extension };
}

const STAMP = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-(\d{6,15})$/;
