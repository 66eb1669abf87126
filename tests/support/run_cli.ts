/** Runs a command in this process, with text for its streams. @module */

import { Readable, Writable } from "node:stream";

import type { Io } from "../../src/cli/io.ts";
import { runCli } from "../../src/cli/program.ts";

/** How a command ended. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line with `cwd` as its folder. `stdout` replaces where its output goes. */
export async function runIn(
  cwd: string,
  argv: readonly string[],
  { stdout = new TextSink() }: { readonly stdout?: Writable } = {},
): Promise<RunResult> {
  const stderr = new TextSink();
  const io: Io = {
    stdin: Readable.from([]),
    stdout,
    stderr,
    env: {},
    cwd,
    signal: new AbortController().signal,
  };
  const code = await runCli(argv, io);
  return { code, stdout: stdout instanceof TextSink ? stdout.text : "", stderr: stderr.text };
}

/** A stream that keeps what is written to it. */
export class TextSink extends Writable {
  text = "";

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    this.text += new TextDecoder().decode(chunk);
    done();
  }
}
