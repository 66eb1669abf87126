/** Where the trail is that commands read, and how they tell what they met in it. @module */

import { resolve } from "node:path";

import type { TrailNote } from "../audit/trail_reader.ts";
import type { LoadedConfig } from "../config/load.ts";
import { TunnelError } from "../errors.ts";
import { inertText } from "./fitted_table.ts";
import type { Io } from "./io.ts";
import { loadFor } from "./key_option.ts";

/** Which trail is meant. */
export interface AuditSourceOptions {
  /** The file itself; its configuration is then not needed. */
  readonly file?: string | undefined;
  readonly config?: string | undefined;
}

/** The file of the trail, absolute. @throws {TunnelError} `USAGE` when nothing says which. */
export function auditFile(
  io: Io,
  { file, config }: AuditSourceOptions,
  loaded?: LoadedConfig,
): string {
  if (file !== undefined) return resolve(io.cwd, file);
  const { config: found, shown, file: read } = loaded ?? loadFor(io, config, []);
  const named = found.audit.file;
  if (named !== undefined) return named;
  throw new TunnelError(
    "USAGE",
    read === undefined
      ? "Cannot tell where the audit trail is: there is no mcptun.toml here (name one with " +
        "--config, or the trail itself with --file)"
      : `Cannot tell where the audit trail is: ${shown} does not set audit.file (set it, or name ` +
        "the trail with --file)",
  );
}

/**
 * Counts lines that cannot be used, and collects what else is odd, for standard error: told between
 * records and not within them.
 */
export class AuditNotes {
  readonly #io: Io;
  readonly #texts: string[] = [];
  #noRecord = 0;
  #newer = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  /** For the reader of the trail. */
  readonly onNote = (note: TrailNote): void => {
    const file = inertText(note.file);
    switch (note.kind) {
      case "too_long":
        return this.#tell(`${file}: left out ${lines(note.count)} longer than any record`);
      case "torn":
        return this.#tell(
          `${file}: its last line has no end: it is being written, or a crash cut it off`,
        );
      case "truncated":
        return this.#tell(`${file}: it was cut, and is read from its start again`);
      case "gap":
        return this.#tell(`${file}: it was replaced, and lines may be missing before this one`);
    }
  };

  count(problem: "no_record" | "newer"): void {
    if (problem === "newer") this.#newer++;
    else this.#noRecord++;
  }

  /** Tells what has come up since it was told last. */
  flush(): void {
    if (this.#noRecord > 0) {
      this.#tell(
        `left out ${lines(this.#noRecord)} that ${this.#noRecord === 1 ? "is" : "are"} no record ` +
          '("mcptun audit verify" says where)',
      );
    }
    if (this.#newer > 0) {
      this.#tell(`left out ${lines(this.#newer)} of a newer version (update mcptun here)`);
    }
    this.#noRecord = 0;
    this.#newer = 0;
    for (const text of this.#texts.splice(0)) this.#io.stderr.write(`mcptun: note: ${text}\n`);
  }

  #tell(text: string): void {
    // The same again says nothing new, so there are a few per file.
    if (!this.#texts.includes(text)) this.#texts.push(text);
  }
}

function lines(count: number): string {
  return `${count} line${count === 1 ? "" : "s"}`;
}
