/**
 * Puts a changed configuration in force while the edge runs: on SIGHUP, and when a file changes.
 *
 * A file that is not valid changes nothing: its problems are logged and shown by `mcptun status`
 * (with `--state-dir`, as it reads the same file) until it is mended. Exchanges go on meanwhile, and
 * are judged by what was in force before, until all of the new one is.
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
   * file that the new configuration names before it reads it. It ends early when `signal` aborts.
   */
  readonly reload: (reads: (paths: readonly string[]) => void) => void | Promise<void>;
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
  #running: Promise<void> | undefined;
  #isAskedAgain = false;

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#state = { loadedAtMs: options.clock.wallNow(), problems: [] };
    this.#follow(options.files(), options.stamps);
  }

  get state(): ReloadState {
    return this.#state;
  }

  /**
   * Reads the configuration again now, or once more after a reload that has begun already. Resolves
   * when that is done; never rejects.
   */
  readonly now = (): Promise<void> => {
    if (this.#running === undefined) this.#running = this.#run();
    else this.#isAskedAgain = true;
    return this.#running;
  };

  async #run(): Promise<void> {
    do {
      this.#isAskedAgain = false;
      await this.#reload();
    } while (this.#isAskedAgain);
    this.#running = undefined;
  }

  async #reload(): Promise<void> {
    const { reload, files, clock, log, signal } = this.#options;
    if (signal.aborted) return;
    // Whatever it would see until the end of this reload, the next watch sees as well.
    this.#watch?.abort();
    // Before anything is read: what changes from here on is seen at the next look.
    const stamps = stampFiles(files());
    let watched: readonly string[] | undefined;
    try {
      await reload((paths) => void stampFiles(paths, stamps));
      watched = files();
      this.#state = { loadedAtMs: clock.wallNow(), problems: [] };
      log.info("Configuration is in force");
    } catch (error) {
      if (signal.aborted) return;
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
  }

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
