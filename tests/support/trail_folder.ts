/** Folders with the files of a trail, and the lines that a reader finds in them. @module */

import type { Buffer } from "node:buffer";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readTrail, type TrailQuery } from "../../src/audit/read_trail.ts";
import { compileFilter } from "../../src/audit/record_filter.ts";
import type { TrailNote } from "../../src/audit/trail_reader.ts";
import { fakeClock } from "./fake_clock.ts";

/** A folder of its own; `close` removes it. */
export class TrailFolder {
  readonly folder = mkdtempSync(join(tmpdir(), "mcptun-test-"));
  /** The file that is written. */
  readonly path = join(this.folder, "audit.jsonl");

  /** Path of a rotated file. */
  rotated(number: number): string {
    const stamp = String(number).padStart(6, "0");
    return join(this.folder, `audit-20261125T08${stamp.slice(-4)}Z-${stamp}.jsonl`);
  }

  /** Writes files in place of those that are there; the last one is the active one. */
  write(files: readonly (string | Uint8Array)[]): void {
    for (const name of readdirSync(this.folder)) rmSync(join(this.folder, name));
    for (const [at, content] of files.entries()) {
      writeFileSync(at === files.length - 1 ? this.path : this.rotated(at + 1), content);
    }
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A query for everything, once, with changes. */
export function queryOf(path: string, changes: Partial<TrailQuery> = {}): TrailQuery {
  return {
    path,
    filter: compileFilter({}),
    mode: "once",
    clock: fakeClock(),
    signal: new AbortController().signal,
    onNote: () => {},
    ...changes,
  };
}

/** All lines of a query as texts, and what was noted. */
export async function linesOf(
  path: string,
  changes: Partial<TrailQuery> = {},
): Promise<{ readonly lines: string[]; readonly notes: TrailNote[] }> {
  const notes: TrailNote[] = [];
  const lines: string[] = [];
  for await (
    const batch of readTrail(queryOf(path, { onNote: (note) => notes.push(note), ...changes }))
  ) lines.push(...batch.map((line: Buffer) => line.toString("utf8")));
  return { lines, notes };
}
