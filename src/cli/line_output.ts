/** Standard output for commands that may write much: how wide it is, and waiting for a slow reader. @module */

import type { Writable } from "node:stream";

import type { Io } from "./io.ts";

/**
 * Writes, and waits until there is room for more.
 *
 * A reader that has left, such as `head`, aborts `io.signal`; nothing is written after that.
 */
export async function writeOut(io: Io, data: string | Uint8Array): Promise<void> {
  if (io.signal.aborted || data.length === 0) return;
  if (io.stdout.write(data)) return;
  await roomIn(io.stdout, io.signal);
}

/** Characters of a line of standard output; `Infinity` when it is no terminal. */
export function outputWidth({ stdout }: Io): number {
  // A terminal's stream has these; other streams lack them or have them undefined.
  const { isTTY, columns } = stdout as { readonly isTTY?: unknown; readonly columns?: unknown };
  return isTTY === true && typeof columns === "number" && columns > 0 ? columns : Infinity;
}

function roomIn(stream: Writable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done).off("error", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    stream.once("drain", done).once("close", done).once("error", done);
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted || !stream.writableNeedDrain) done();
  });
}
