/**
 * What one rift connection brings into the edge's log once, however often it happens: a rift must
 * not fill the disk of its edge.
 *
 * @module
 */

import { MAX_REFUSALS_LOGGED, MAX_TUNNELS_PER_RIFT } from "../limits.ts";
import type { LogFields, Logger } from "../log.ts";

/** The news of one connection. */
export class RiftNews {
  readonly #log: Logger;
  readonly #refused = new Set<string>();
  readonly #served = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Warns of each `key` once, and of a bounded number; what comes again is `debug`. */
  refused(message: string, key: string, fields: LogFields): void {
    const isNews = this.#refused.size < MAX_REFUSALS_LOGGED && !this.#refused.has(key);
    if (isNews) this.#refused.add(key);
    this.#log[isNews ? "warn" : "debug"](message, fields);
  }

  /** Tunnels that came up after the hello: each once, and a bounded number. */
  served(rift: string, tunnels: readonly string[]): void {
    const room = MAX_TUNNELS_PER_RIFT - this.#served.size;
    const news = tunnels.filter((name) => !this.#served.has(name)).slice(0, room);
    for (const name of news) this.#served.add(name);
    if (news.length === 0) return;
    this.#log.info("Rift serves a tunnel now", { rift, tunnels: news.join(" ") });
  }
}
