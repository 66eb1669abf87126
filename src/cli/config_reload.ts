/**
 * Puts a changed configuration in force while the edge runs: on SIGHUP, and when a file changes.
 *
 * A file that is not valid changes nothing: its problems are logged and shown by `mcptun status`
 * (with `--state-dir`, as it reads the same file) until it is mended.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { CONFIG_POLL_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import { type FileStamps, stampFiles, watchFiles } from "../runtime/file_watch.ts";

/** Which configuration is in force. */
export interface ReloadState {
  readonly loadedAtMs: number;
  /** What was wrong with the newest one, when it is not the one in force. */
  readonly problems: readonly string[];
}

/** How a configuration is read and put in force. */
export interface ReloadOptions {
  /**
   * Reads everything and puts it in force, or throws and changes nothing. It tells `reads` of each
   * file that the new configuration names before it reads it.
   */
  readonly reload: (reads: (paths: readonly string[]) => void) => void;
  /** The files that what is in force was made from. */
  readonly files: () => readonly string[];
  /** What these were before they were read. */
  readonly stamps: FileStamps;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Watches until `signal` aborts. */
export class ConfigReload {
  readonly #options: ReloadOptions;
  #state: ReloadState;
  #watch: AbortController | undefined;

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#state = { loadedAtMs: options.clock.wallNow(), problems: [] };
    this.#follow(options.files(), options.stamps);
  }

  get state(): ReloadState {
    return this.#state;
  }

  /** Reads the configuration again now. Never throws. */
  readonly now = (): void => {
    const { reload, files, clock, log, signal } = this.#options;
    if (signal.aborted) return;
    // Before anything is read: what changes from here on is seen at the next look.
    const stamps = stampFiles(files());
    let watched: readonly string[] | undefined;
    try {
      reload((paths) => void stampFiles(paths, stamps));
      watched = files();
      this.#state = { loadedAtMs: clock.wallNow(), problems: [] };
      log.info("Configuration is in force");
    } catch (error) {
      const problems = error instanceof TunnelError
        ? error.message.split("\n")
        : [`internal error: ${String(error)}`];
      this.#state = { ...this.#state, problems };
      for (const problem of problems) {
        log.error("New configuration refused, the one before stays in force", { problem });
      }
    }
    // Also what a refused one names: it may be refused because that is not there yet.
    this.#follow(watched ?? [...stamps.keys()], stamps);
  };

  #follow(paths: readonly string[], since: FileStamps): void {
    const { clock, signal } = this.#options;
    this.#watch?.abort();
    this.#watch = new AbortController();
    watchFiles({
      paths,
      since,
      everyMs: CONFIG_POLL_MS,
      clock,
      signal: AbortSignal.any([signal, this.#watch.signal]),
      onChange: this.now,
    });
  }
}
