/**
 * Opens a file for reading, if it is a regular one: a FIFO would wait for its writer, and a device may
 * never end.
 *
 * @module
 */

import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** A path leads to something that is no regular file. */
export class NotRegularError extends Error {
  readonly path: string;
  /** Is it a folder? */
  readonly isFolder: boolean;

  constructor(path: string, isFolder: boolean) {
    super(isFolder ? "it is a folder" : "it is not a regular file");
    this.path = path;
    this.isFolder = isFolder;
  }
}

/** Opens to read. The caller closes it. @throws {NotRegularError} Else rejects with the system's error. */
export async function openRegular(path: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, READ_FLAGS);
  } catch (cause) {
    throw translated(path, cause);
  }
  try {
    refuseOthers(path, await handle.stat());
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** As {@link openRegular}, at once; gives the descriptor. */
export function openRegularSync(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, READ_FLAGS);
  } catch (cause) {
    throw translated(path, cause);
  }
  try {
    refuseOthers(path, fstatSync(fd));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Windows has no O_NONBLOCK. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

function refuseOthers(path: string, stats: Stats): void {
  if (!stats.isFile()) throw new NotRegularError(path, stats.isDirectory());
}

/** ENXIO: a socket. EISDIR: a folder, where folders cannot be opened. */
function translated(path: string, cause: unknown): unknown {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return code === "ENXIO" || code === "EISDIR"
    ? new NotRegularError(path, code === "EISDIR")
    : cause;
}
