/** What a command sees of the process around it; tests pass their own. @module */

import type { Readable, Writable } from "node:stream";

/** Streams, environment, folder and the wish to stop. */
export interface Io {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder that relative paths start from. */
  readonly cwd: string;
  /** Aborted when the user asks the command to end in an orderly way. */
  readonly signal: AbortSignal;
  /** Calls `handle` on SIGHUP, which without it ends the command like the other signals. */
  readonly onHangup?: ((handle: () => void) => void) | undefined;
}

/** Why {@link Io.signal} is aborted when nobody reads standard output any more. */
export const OUTPUT_CLOSED = "Nobody reads the output any more";

/** Resolves when `signal` is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Everything from standard input, as text; more than `maxBytes` is an error of the caller's making. */
export async function readAll(stream: Readable, maxBytes: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const part = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk as Uint8Array;
    bytes += part.byteLength;
    if (bytes > maxBytes) return undefined;
    chunks.push(part);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return new TextDecoder().decode(whole);
}
