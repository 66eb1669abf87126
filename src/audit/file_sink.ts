/**
 * An open file that lines are appended to, through sonic-boom: it writes whole texts whatever part
 * the system takes at a time, and keeps the rest when the disk fails, so that the next try goes on
 * where the last one stopped.
 *
 * Opened here and not by sonic-boom, which follows links and opens whatever a path leads to.
 *
 * @module
 */

import { close, closeSync, constants, fstatSync, fsync, openSync } from "node:fs";
import process from "node:process";

import sonic from "sonic-boom";

import { TunnelError } from "../errors.ts";

/** An open file. One call at a time, except for `sync`. */
export interface LineSink {
  /** What stands behind the path, to tell whether it still does. */
  readonly inode: string;
  /** Bytes there when it was opened. */
  readonly size: number;
  /** Bytes that were written since. */
  readonly written: number;
  /** Appends text. Rejects with the system's error; then {@link retry} writes what is left. */
  write(text: string): Promise<void>;
  /** Writes what is left of the text that failed. */
  retry(): Promise<void>;
  /** Resolves when all that was written is on the disk. Rejects with the system's error. */
  sync(): Promise<void>;
  /** Closes the file; what is left of a text that failed is dropped. Idempotent, never rejects. */
  close(): Promise<void>;
}

/** Opens a file to append to. */
export type OpenSink = (path: string, how: "create" | "append") => LineSink;

/**
 * Opens a regular file of mode 0600, no link, nothing that others can read.
 *
 * @throws {TunnelError} `STATE_UNUSABLE` when it is something else; the system's error when it
 *   cannot be opened.
 */
export function openFileSink(path: string, how: "create" | "append"): LineSink {
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
  const create = how === "create" ? O_CREAT | O_EXCL : 0;
  // Windows has neither of the last two. Without O_NONBLOCK, a FIFO would wait for its reader.
  const flags = O_WRONLY | O_APPEND | create | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0);
  let fd: number;
  try {
    fd = openSync(path, flags, 0o600);
  } catch (cause) {
    // ENXIO: a FIFO without a reader, or a socket.
    if (codeOf(cause) === "ELOOP") throw unusable(path, "it is a symbolic link", "name the file");
    if (codeOf(cause) === "ENXIO") throw unusable(path, "it is not a regular file", REMEDY);
    throw cause;
  }
  try {
    return new FileSink(fd, path);
  } catch (cause) {
    closeSync(fd);
    throw cause;
  }
}

class FileSink implements LineSink {
  readonly inode: string;
  readonly size: number;
  #written = 0;
  readonly #fd: number;
  readonly #boom: sonic.SonicBoom;
  #settle: ((error?: Error) => void) | undefined;
  #closed: Promise<void> | undefined;
  #syncing: Promise<unknown> = Promise.resolve();

  constructor(fd: number, path: string) {
    const stats = fstatSync(fd, { bigint: true });
    if (!stats.isFile()) throw unusable(path, "it is not a regular file", REMEDY);
    const mode = Number(stats.mode & 0o777n);
    // Windows has no group and other bits.
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      const text = mode.toString(8).padStart(3, "0");
      throw unusable(path, `others have access to it (mode ${text})`, `run: chmod 600 "${path}"`);
    }
    this.inode = `${stats.dev} ${stats.ino}`;
    this.size = Number(stats.size);
    this.#fd = fd;
    this.#boom = new sonic.SonicBoom({ fd, sync: false, retryEAGAIN: () => false });
    this.#boom.on("write", (bytes: number) => this.#written += bytes);
    this.#boom.on("drain", () => this.#settle?.());
    this.#boom.on("error", (error: Error) => this.#settle?.(error));
  }

  get written(): number {
    return this.#written;
  }

  write(text: string): Promise<void> {
    return this.#write(text);
  }

  retry(): Promise<void> {
    return this.#write("");
  }

  sync(): Promise<void> {
    const synced = new Promise<void>((resolve, reject) => {
      fsync(this.#fd, (error) => error === null ? resolve() : reject(error));
    });
    this.#syncing = synced.catch(() => {}); // told to the caller
    return synced;
  }

  close(): Promise<void> {
    // Not by sonic-boom, which forgets what fsync says, and which would write what is left. Not under
    // an fsync that still runs: the number may be another file's by then.
    this.#closed ??= this.#syncing.then(() =>
      new Promise((resolve) => close(this.#fd, () => resolve()))
    );
    return this.#closed;
  }

  #write(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = (error) => {
        this.#settle = undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#boom.write(text);
    });
  }
}

const REMEDY = "name another audit.file";

function unusable(path: string, problem: string, remedy: string): TunnelError {
  return new TunnelError("STATE_UNUSABLE", `Cannot write to "${path}": ${problem} (${remedy})`);
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
