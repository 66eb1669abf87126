/**
 * Puts a changed configuration in force while the edge runs: on SIGHUP, and when a file changes.
 *
 * A file that is not valid changes nothing: its problems are logged and shown by `mcptun status`
 * until it is mended.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { CONFIG_POLL_MS } from "../limits.ts";
import type { Logger } from "../log.ts";
import { watchFiles } from "../runtime/file_watch.ts";

/** Which configuration is in force. */
export interface ReloadState {
  readonly loadedAtMs: number;
  /** What was wrong with the newest one, when it is not the one in force. */
  readonly problems: readonly string[];
}

/** How a configuration is read and put in force. */
export interface ReloadOptions {
  /** Reads everything and puts it in force, or throws and changes nothing. */
  readonly reload: () => void;
  /** The files that it depends on now. */
  readonly files: () => readonly string[];
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
    this.#follow();
  }

  get state(): ReloadState {
    return this.#state;
  }

  /** Reads the configuration again now. Never throws. */
  readonly now = (): void => {
    const { reload, clock, log, signal } = this.#options;
    if (signal.aborted) return;
    try {
      reload();
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
    this.#follow();
  };

  /** A new configuration may name other files. */
  #follow(): void {
    const { files, clock, signal } = this.#options;
    this.#watch?.abort();
    this.#watch = new AbortController();
    watchFiles({
      paths: files(),
      everyMs: CONFIG_POLL_MS,
      clock,
      signal: AbortSignal.any([signal, this.#watch.signal]),
      onChange: this.now,
    });
  }
}
