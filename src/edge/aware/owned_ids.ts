/**
 * Which principal got which session, task or event: possession of an id proves nothing (MCP
 * 2025-11-25, security best practices, "Session Hijacking").
 *
 * Bounded and forgetful: what is forgotten is nobody's, and its client starts anew.
 *
 * @module
 */

import type { Clock } from "../../clock.ts";
import { MAX_OWNED_IDS, MAX_OWNED_IDS_EACH, OWNED_ID_MS } from "../../limits.ts";

/** What an id is of; `request` is one that a private server sent and that waits for its answer. */
export type OwnedKind = "session" | "task" | "event" | "request";

/** One id as a client shows it. */
export interface OwnedId {
  readonly tunnel: string;
  readonly kind: OwnedKind;
  readonly id: string;
}

interface Entry {
  readonly owner: string;
  usedAtMs: number;
}

/** The ids of all aware tunnels of an edge. */
export class OwnedIds {
  readonly #clock: Clock;
  /** The one that was used least recently is first. */
  readonly #entries = new Map<string, Entry>();
  /** Keys of each owner, oldest first: nobody pushes out what belongs to others. */
  readonly #byOwner = new Map<string, Set<string>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Notes that `owner` got this id. One that is somebody else's already stays theirs. */
  give(id: OwnedId, owner: string): void {
    const key = keyOf(id);
    const known = this.#live(key);
    if (known !== undefined && known.owner !== owner) return;
    this.#forget(key);
    const own = this.#byOwner.get(owner) ?? new Set();
    this.#byOwner.set(owner, own);
    if (own.size >= MAX_OWNED_IDS_EACH) this.#forgetFirst(own);
    if (this.#entries.size >= MAX_OWNED_IDS) this.#forgetFirst(this.#entries);
    own.add(key);
    // The set may have been dropped with its last key just now.
    this.#byOwner.set(owner, own);
    this.#entries.set(key, { owner, usedAtMs: this.#clock.now() });
  }

  /** Did `owner` get this id? Using it keeps it. */
  belongsTo(id: OwnedId, owner: string): boolean {
    const key = keyOf(id);
    const entry = this.#live(key);
    if (entry === undefined || entry.owner !== owner) return false;
    this.#entries.delete(key);
    entry.usedAtMs = this.#clock.now();
    this.#entries.set(key, entry);
    return true;
  }

  /** The id is over. */
  end(id: OwnedId): void {
    this.#forget(keyOf(id));
  }

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#clock.now() - entry.usedAtMs < OWNED_ID_MS) return entry;
    this.#forget(key);
    return undefined;
  }

  #forgetFirst(keys: { keys(): Iterator<string> }): void {
    const first = keys.keys().next();
    if (first.done !== true) this.#forget(first.value);
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const own = this.#byOwner.get(entry.owner);
    own?.delete(key);
    if (own?.size === 0) this.#byOwner.delete(entry.owner);
  }
}

/** No part may hold the separator: a name has none, and ids with one are refused before. */
function keyOf({ tunnel, kind, id }: OwnedId): string {
  return `${tunnel}\n${kind}\n${id}`;
}
