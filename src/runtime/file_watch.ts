/**
 * Tells when files change, by looking: a file system's own events get lost on network mounts and
 * in containers, and follow a file that was renamed away.
 *
 * @module
 */

import { statSync } from "node:fs";
import { stat } from "node:fs/promises";

import type { Clock } from "../clock.ts";

/** What files were when their stamps were taken, by path. */
export type FileStamps = Map<string, string>;

/** Options of {@link watchFiles}. */
export interface FileWatchOptions {
  /** Files that exist or not; symbolic links are followed. */
  readonly paths: readonly string[];
  /** What they were before they were read; absent, for all or one: what they are now. */
  readonly since?: FileStamps | undefined;
  /** Pause between two looks, ms. */
  readonly everyMs: number;
  readonly clock: Clock;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /**
   * Some of `paths` are not what they were at the last look: written, replaced, removed, made.
   * Handles its own failures. The next look comes after the promise, so no two calls overlap.
   */
  readonly onChange: (changed: readonly string[]) => void | Promise<void>;
}

/**
 * Takes what files are now. Read them afterwards, and watch them with these stamps: then no change
 * is missed.
 *
 * @param stamps Gets them; a path that is in it already keeps what it was.
 */
export function stampFiles(paths: readonly string[], stamps: FileStamps = new Map()): FileStamps {
  for (const path of paths) if (!stamps.has(path)) stamps.set(path, stampNow(path));
  return stamps;
}

/**
 * Watches files until `signal` aborts. Without `since`, what they are now is taken before it
 * returns: read them afterwards, and no change is missed. The process does not stay alive for it.
 */
export function watchFiles(options: FileWatchOptions): void {
  const { paths, everyMs, clock, signal, onChange } = options;
  if (signal.aborted) return;
  const stamps = stampFiles(paths, new Map(options.since));

  async function look(): Promise<void> {
    const changed: string[] = [];
    for (const path of paths) {
      const stamp = await fileStamp(path);
      if (stamp === stamps.get(path)) continue;
      stamps.set(path, stamp);
      changed.push(path);
    }
    if (signal.aborted) return;
    if (changed.length > 0) await onChange(changed);
    if (!signal.aborted) wait();
  }

  const wait = (): void => {
    // Rejects only when `onChange` does, which it must not.
    timer = clock.setTimer(everyMs, () => void look(), "no");
  };
  let timer = clock.setTimer(everyMs, () => void look(), "no");
  signal.addEventListener("abort", () => timer.cancel(), { once: true });
}

/**
 * What tells two states of a file apart without reading it. A replacement by `rename` brings a new
 * inode; a write changes the times, which have nanoseconds.
 */
export async function fileStamp(path: string): Promise<string> {
  try {
    return stampOf(await stat(path, { bigint: true }));
  } catch (error) {
    return stampOfFailure(error);
  }
}

function stampNow(path: string): string {
  try {
    return stampOf(statSync(path, { bigint: true }));
  } catch (error) {
    return stampOfFailure(error);
  }
}

interface Stats {
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

function stampOf({ ino, size, mtimeNs, ctimeNs }: Stats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

/** Absent, or not readable: whoever reads the file gets the real complaint. */
function stampOfFailure(error: unknown): string {
  return `absent ${error instanceof Error && "code" in error ? String(error.code) : ""}`;
}
