/**
 * The files of a trail: the one that is written, and the rotated ones beside it.
 *
 * `audit.jsonl` is rotated to `audit-20261125T083000Z-000123.jsonl`; the number at the end grows.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { type FileHandle, stat } from "node:fs/promises";

import { openRegular } from "../runtime/regular_file.ts";
import { rotatedFiles } from "./file_names.ts";

/** A file that is open. It keeps being the same file when it is renamed. */
export class OpenFile {
  readonly #handle: FileHandle;
  /** Where it was found last. */
  path: string;
  /** What tells it from others, whatever they are called. */
  readonly key: string;

  private constructor(handle: FileHandle, path: string, key: string) {
    this.#handle = handle;
    this.path = path;
    this.key = key;
  }

  /** @returns `undefined` when there is no such file. Rejects when it may not be read, or is no file. */
  static async open(path: string): Promise<OpenFile | undefined> {
    let handle: FileHandle;
    try {
      handle = await openRegular(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    try {
      return new OpenFile(handle, path, keyOf(await handle.stat({ bigint: true })));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  /** Reads as much as there is from `offset` on. @returns How many bytes are in `buffer`. */
  async read(buffer: Buffer, offset: number): Promise<number> {
    let bytes = 0;
    while (bytes < buffer.length) {
      const { bytesRead } = await this.#handle.read(
        buffer,
        bytes,
        buffer.length - bytes,
        offset + bytes,
      );
      if (bytesRead === 0) break;
      bytes += bytesRead;
    }
    return bytes;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }

  #closed = false;
}

/** Paths of the rotated files of a trail, oldest first; none when there is no such folder. */
export async function rotatedPaths(path: string): Promise<string[]> {
  try {
    return (await rotatedFiles(path)).map((file) => file.path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** The key of whatever has this path now; `undefined` when nothing has. */
export async function keyAt(path: string): Promise<string | undefined> {
  try {
    return keyOf(await stat(path, { bigint: true }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * The files of a trail at one moment, oldest first. The one being written is opened before the
 * others are listed, so that a rotation in between leaves no gap.
 */
export class TrailSnapshot {
  /** Paths; the last one is that of `active` when there is one. */
  readonly paths: readonly string[];
  #active: OpenFile | undefined;

  private constructor(paths: readonly string[], active: OpenFile | undefined) {
    this.paths = paths;
    this.#active = active;
  }

  static async take(path: string): Promise<TrailSnapshot> {
    const active = await OpenFile.open(path);
    try {
      const rotated = await rotatedPaths(path);
      if (active === undefined) return new TrailSnapshot(rotated, undefined);
      // Rotated since it was opened: it and what came after it are not listed twice.
      for (let at = rotated.length - 1; at >= 0; at--) {
        if (await keyAt(rotated[at]!) !== active.key) continue;
        active.path = rotated[at]!;
        return new TrailSnapshot(rotated.slice(0, at + 1), active);
      }
      return new TrailSnapshot([...rotated, path], active);
    } catch (error) {
      await active?.close();
      throw error;
    }
  }

  /** Calls `use` with a file, open as long as it runs; with `undefined` when it is gone. */
  async with<T>(at: number, use: (file: OpenFile | undefined) => Promise<T>): Promise<T> {
    if (at === this.paths.length - 1 && this.#active !== undefined) return await use(this.#active);
    const file = await OpenFile.open(this.paths[at]!);
    try {
      return await use(file);
    } finally {
      await file?.close();
    }
  }

  /**
   * Gives a file away, open; the next one when it is gone, and `undefined` when all are. To be
   * called last: whoever took the file closes it.
   */
  async giveAway(
    at: number,
  ): Promise<{ readonly file: OpenFile; readonly at: number } | undefined> {
    for (let index = at; index < this.paths.length; index++) {
      const active = index === this.paths.length - 1 ? this.#active : undefined;
      if (active !== undefined) this.#active = undefined;
      const file = active ?? await OpenFile.open(this.paths[index]!);
      if (file !== undefined) return { file, at: index };
    }
    return undefined;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    await this.#active?.close();
  }
}

function keyOf({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}
