/**
 * Which principal got which session, task or event: possession of an id proves nothing (MCP
 * 2025-11-25, security best practices, "Session Hijacking").
 *
 * Bounded and forgetful: what is forgotten is nobody's, and its client starts anew.
 *
 * @module
 */

import type { Clock } from "../../clock.ts";
import {
  MAX_NAMED_CHARS,
  MAX_OWNED_IDS,
  MAX_OWNED_IDS_EACH,
  MAX_SESSION_ID_CHARS,
  OWNED_ID_MS,
} from "../../limits.ts";

/** What an id is of; `request` is one that a private server sent and that waits for its answer. */
export type OwnedKind = "session" | "task" | "event" | "request";

/** One id as a client shows it. */
export interface OwnedId {
  readonly tunnel: string;
  readonly kind: OwnedKind;
  readonly id: string;
}

/** One id, in the row of its owner and kind; the one that was used least recently is first. */
interface Entry {
  readonly key: string;
  readonly kind: OwnedKind;
  readonly owner: Owner;
  usedAtMs: number;
  previous: Entry | undefined;
  next: Entry | undefined;
}

/** Linked, so that using an id moves no key in a table. */
interface Row {
  first: Entry | undefined;
  last: Entry | undefined;
  size: number;
}

interface Owner {
  readonly name: string;
  readonly rows: Partial<Record<OwnedKind, Row>>;
  size: number;
}

/** The ids of all aware tunnels of an edge. */
export class OwnedIds {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #owners = new Map<string, Owner>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Notes that `owner` got this id. One that is somebody else's already stays theirs, and one that
   * no client could show again is not kept.
   */
  give(id: OwnedId, owner: string): void {
    if (id.id.length > MAX_CHARS[id.kind]) return;
    const key = keyOf(id);
    const known = this.#live(key);
    if (known !== undefined && known.owner.name !== owner) return;
    if (known !== undefined) return this.#use(known);
    let own = this.#owners.get(owner);
    const row = own?.rows[id.kind];
    if (row !== undefined && row.size >= MAX_OWNED_IDS_EACH) this.#forget(row.first);
    if (this.#entries.size >= MAX_OWNED_IDS) this.#makeRoom(own);
    // It may have been dropped with its last id just now.
    own = this.#owners.get(owner);
    if (own === undefined) {
      own = { name: owner, rows: {}, size: 0 };
      this.#owners.set(owner, own);
    }
    const entry: Entry = {
      key,
      kind: id.kind,
      owner: own,
      usedAtMs: this.#clock.now(),
      previous: undefined,
      next: undefined,
    };
    this.#entries.set(key, entry);
    append(entry);
  }

  /** Did `owner` get this id? Using it keeps it. */
  belongsTo(id: OwnedId, owner: string): boolean {
    const entry = this.#live(keyOf(id));
    if (entry === undefined || entry.owner.name !== owner) return false;
    this.#use(entry);
    return true;
  }

  /** The id is over. @returns whether it was there. */
  end(id: OwnedId): boolean {
    const entry = this.#entries.get(keyOf(id));
    this.#forget(entry);
    return entry !== undefined;
  }

  #live(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#clock.now() - entry.usedAtMs < OWNED_ID_MS) return entry;
    this.#forget(entry);
    return undefined;
  }

  #use(entry: Entry): void {
    unlink(entry);
    entry.usedAtMs = this.#clock.now();
    append(entry);
  }

  /** At the cost of who has as much as most or more: first of who asks, if that is so. */
  #makeRoom(asking: Owner | undefined): void {
    const fair = this.#entries.size / this.#owners.size;
    if (asking !== undefined && asking.size >= fair) return this.#forgetOldest(asking);
    for (const owner of this.#owners.values()) {
      if (owner.size >= fair) return this.#forgetOldest(owner);
    }
  }

  #forgetOldest({ rows }: Owner): void {
    for (const kind of LEAST_MISSED_FIRST) {
      const first = rows[kind]?.first;
      if (first !== undefined) return this.#forget(first);
    }
  }

  #forget(entry: Entry | undefined): void {
    if (entry === undefined) return;
    this.#entries.delete(entry.key);
    unlink(entry);
    if (entry.owner.size === 0) this.#owners.delete(entry.owner.name);
  }
}

function append(entry: Entry): void {
  const { owner, kind } = entry;
  const row = owner.rows[kind] ??= { first: undefined, last: undefined, size: 0 };
  entry.previous = row.last;
  if (row.last === undefined) row.first = entry;
  else row.last.next = entry;
  row.last = entry;
  row.size++;
  owner.size++;
}

function unlink(entry: Entry): void {
  const { owner, kind, previous, next } = entry;
  const row = owner.rows[kind]!;
  if (previous === undefined) row.first = next;
  else previous.next = next;
  if (next === undefined) row.last = previous;
  else next.previous = previous;
  entry.previous = entry.next = undefined;
  row.size--;
  owner.size--;
}

/** No part may hold the separator: a name has none, and ids with one are refused before. */
function keyOf({ tunnel, kind, id }: OwnedId): string {
  return `${tunnel}\n${kind}\n${id}`;
}

/** An event is only for resuming; without its session a client must begin anew. */
const LEAST_MISSED_FIRST: readonly OwnedKind[] = ["event", "request", "task", "session"];
/** Scoped ids carry their session, and an owner that the edge has checked. */
const MAX_CHARS: Readonly<Record<OwnedKind, number>> = {
  session: MAX_SESSION_ID_CHARS,
  task: MAX_NAMED_CHARS,
  event: 3 * MAX_SESSION_ID_CHARS,
  request: 3 * MAX_SESSION_ID_CHARS,
};
