/** Hands out a secret once: on standard output, or in a new private file. @module */

import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

import { TunnelError } from "../errors.ts";
import type { Secret } from "../runtime/secret.ts";
import type { Io } from "./io.ts";
import { writeProblem } from "./write_problem.ts";

/** What decides where the secret goes. */
export interface TokenOutputOptions {
  /** A file that must not exist yet. */
  readonly out?: string | undefined;
  /** One line of JSON on standard output, with the secret or the file's path. */
  readonly json?: true | undefined;
}

/** Where one secret goes. */
export interface TokenOutput {
  /** @param facts What the line of JSON says besides. @throws {TunnelError} `STATE_UNUSABLE` */
  give(secret: Secret, facts: Readonly<Record<string, unknown>>): Promise<void>;
}

/**
 * Takes the file before the secret exists, so that a taken name leaves no lost secret behind; when
 * `work` fails, the file is gone.
 *
 * @throws {TunnelError} `FILE_EXISTS`, `STATE_UNUSABLE`, and what `work` throws.
 */
export async function withTokenOutput<T>(
  io: Io,
  { out, json }: TokenOutputOptions,
  work: (output: TokenOutput) => Promise<T>,
): Promise<T> {
  const file = out === undefined ? undefined : reserve(io, out);
  const output: TokenOutput = {
    async give(secret, facts) {
      file?.fill(`${secret.reveal()}\n`);
      const where = file === undefined ? { token: secret.reveal() } : { file: file.path };
      if (json === true) await writeOut(io, `${JSON.stringify({ ...facts, ...where })}\n`);
      else if (file === undefined) await writeOut(io, `${secret.reveal()}\n`);
    },
  };
  try {
    return await work(output);
  } catch (error) {
    file?.discard();
    throw error;
  }
}

/** A new file that is either filled or gone. */
interface Reservation {
  readonly path: string;
  fill(text: string): void;
  discard(): void;
}

function reserve(io: Io, shown: string): Reservation {
  const path = resolve(io.cwd, shown);
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EEXIST") {
        throw new TunnelError(
          "FILE_EXISTS",
          `${JSON.stringify(shown)} exists and stays as it is: move it away first, or name ` +
            "another file with --out",
        );
      }
      throw cannotWrite(JSON.stringify(shown), writeProblem(error, path));
    }
  };
  // Kept open: the name could lead to another file by the time the secret is there.
  const file = attempt(() => openSync(path, "wx", 0o600));
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    closeSync(file);
  };
  return {
    path,
    fill: (text) =>
      attempt(() => {
        writeFileSync(file, text);
        close();
      }),
    discard: () => {
      close();
      rmSync(path, { force: true });
    },
  };
}

/** Writes to standard output and waits until it is out. @throws {TunnelError} `STATE_UNUSABLE` */
async function writeOut(io: Io, text: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      // Some runtimes throw for a file that is full, others tell the callback.
      io.stdout.write(text, (error) => error ? reject(error) : resolve());
    });
  } catch (error) {
    throw cannotWrite("standard output", writeProblem(error, ""));
  }
}

function cannotWrite(place: string, problem: string): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot write ${place}: ${problem}`);
}
