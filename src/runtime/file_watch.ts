/**
 * Notices that a file was changed, replaced, made or removed.
 *
 * By looking now and then, not by `fs.watch`: editors replace files, certificates are links that are
 * switched, and network file systems tell nobody.
 *
 * @module
 */

import { stat } from "node:fs/promises";

import { type Clock, delay } from "../clock.ts";

/** What to watch. */
export interface WatchOptions {
  readonly paths: readonly string[];
  readonly everyMs: number;
  readonly clock: Clock;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /** Called once for all changes that one look finds. */
  readonly onChange: () => void;
}

/** Starts to watch; the state of now counts as seen. */
export function watchFiles(options: WatchOptions): void {
  // Handles its own failures and ends with the signal.
  void watch(options);
}

async function watch(
  { paths, everyMs, clock, signal, onChange }: WatchOptions,
): Promise<void> {
  let seen = await stampsOf(paths);
  while (await delay(clock, everyMs, signal) === "elapsed") {
    const now = await stampsOf(paths);
    if (signal.aborted) return;
    if (now === seen) continue;
    seen = now;
    onChange();
  }
}

async function stampsOf(paths: readonly string[]): Promise<string> {
  return (await Promise.all(paths.map(stampOf))).join("\n");
}

/** Changes with every replacement and every write of the file. */
export async function stampOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return "absent"; // or not readable: reading it gives the real complaint
  }
}
