/**
 * A candidate policy, asked about the calls of a trail.
 *
 * A record has the one target that decided, and its method: both are asked, and each must be
 * allowed. What a list would show, and further targets of one message, are not in a record and so not
 * asked about. Ownership of sessions and tasks is no matter of rules: such denials stay.
 *
 * @module
 */

import { AUDIT_TEXT_CHARS, MAX_REPLAY_CHANGES } from "../limits.ts";
import { decide, type Decision, type Layer } from "../policy/decide.ts";
import { reasonText } from "../policy/explain.ts";
import { type Target, TARGET_KINDS, type TargetKind } from "../policy/target.ts";
import type { Principal } from "../principal.ts";
import { callsOf, type SeenCall, type SeenRecord } from "./read_record.ts";

/** Calls whose decision would change in the same way. */
export interface ReplayChange {
  /** What the candidate says. */
  readonly to: "allow" | "deny";
  readonly user: string;
  readonly tunnel: string;
  readonly kind: string;
  readonly name: string;
  count: number;
  /** Times of the first and the last of them, ms since 1970. */
  firstMs: number;
  lastMs: number;
  /** Why it was decided as it was, and why the candidate decides otherwise: of the first of them. */
  readonly was: string;
  readonly because: string;
}

/** Why a call was not judged. */
export type ReplaySkip =
  /** Nobody was recognized, or it is of a tunnel where nothing is decided. */
  | "undecided"
  /** The candidate's configuration has no aware tunnel of this name. */
  | "tunnel"
  /** The record does not hold the whole name, or all groups. */
  | "cut";

/** Options of {@link PolicyReplay}. */
export interface ReplayOptions {
  /** The layers of a tunnel; `undefined` when there are none to ask. */
  readonly layersOf: (tunnel: string) => readonly Layer[] | undefined;
  /** Names of the layers that the candidate replaces. Denials of others stay. */
  readonly replaces: ReadonlySet<string>;
}

/** Takes records, gives what would change. */
export class PolicyReplay {
  readonly #options: ReplayOptions;
  readonly #layers = new Map<string, readonly Layer[] | undefined>();
  readonly #changes = new Map<string, ReplayChange>();
  judged = 0;
  changed = 0;
  /** Of `changed`, those that were no longer told apart. */
  otherChanges = 0;
  readonly skipped: Record<ReplaySkip, number> = { undecided: 0, tunnel: 0, cut: 0 };

  constructor(options: ReplayOptions) {
    this.#options = options;
  }

  /** Takes a record of a finished exchange. */
  add(record: SeenRecord): void {
    for (const call of callsOf(record)) {
      const skip = this.#judge(record, call);
      if (skip === undefined) this.judged++;
      else this.skipped[skip]++;
    }
  }

  /** New denials first, they break somebody's work; then by how often. */
  get changes(): readonly ReplayChange[] {
    return [...this.#changes.values()].sort((a, b) =>
      a.to === b.to ? b.count - a.count || a.firstMs - b.firstMs : a.to === "deny" ? -1 : 1
    );
  }

  #judge(record: SeenRecord, call: SeenCall): ReplaySkip | undefined {
    const { tunnel, user, groups = [], time } = record;
    const { kind, name, decision, layer } = call;
    if (tunnel === undefined || user === undefined || time === undefined) return "undecided";
    if (decision !== "allow" && decision !== "deny") return "undecided";
    if (kind === undefined || name === undefined) return "undecided";
    if (groups.at(-1) === CUT || [name, call.method ?? ""].some(isCut)) return "cut";
    const layers = this.#layersOf(tunnel);
    if (layers === undefined) return "tunnel";
    if (decision === "deny" && layer !== undefined && !this.#options.replaces.has(layer)) {
      return undefined;
    }
    const principal = { user, groups, how: howOf(record.how) };
    const candidate = decideAll(layers, principal, targetsOf({ kind, name, method: call.method }));
    if (candidate.allowed === (decision === "allow")) return undefined;
    this.changed++;
    this.#note({
      to: candidate.allowed ? "allow" : "deny",
      user,
      tunnel,
      kind,
      name,
      count: 1,
      firstMs: time,
      lastMs: time,
      was: wasText(call),
      because: becauseText(candidate),
    });
    return undefined;
  }

  #note(change: ReplayChange): void {
    const { to, user, tunnel, kind, name } = change;
    const key = JSON.stringify([to, user, tunnel, kind, name]);
    const known = this.#changes.get(key);
    if (known !== undefined) {
      known.count++;
      known.firstMs = Math.min(known.firstMs, change.firstMs);
      known.lastMs = Math.max(known.lastMs, change.lastMs);
    } else if (this.#changes.size < MAX_REPLAY_CHANGES) this.#changes.set(key, change);
    else this.otherChanges++;
  }

  #layersOf(tunnel: string): readonly Layer[] | undefined {
    const known = this.#layers.get(tunnel);
    if (known !== undefined || this.#layers.has(tunnel)) return known;
    const layers = this.#options.layersOf(tunnel);
    // Tunnels are declared, so they are few; a file that somebody wrote by hand may have any number.
    if (this.#layers.size < MAX_REPLAY_CHANGES) this.#layers.set(tunnel, layers);
    return layers;
  }
}

/** As the edge does it: the method, then what it names; the first denial decides. */
function decideAll(
  layers: readonly Layer[],
  principal: Principal,
  targets: readonly Target[],
): Decision {
  let last: Decision = { allowed: false, reason: "no_layer" };
  for (const target of targets) {
    last = decide(layers, principal, target);
    if (!last.allowed) return last;
  }
  return last;
}

function targetsOf({ kind, name, method }: {
  readonly kind: string;
  readonly name: string;
  readonly method: string | undefined;
}): Target[] {
  const targets: Target[] = [];
  if (method !== undefined) targets.push({ kind: "method", name: method });
  // Of a task its owner decides, who is not changed by rules.
  if (isTargetKind(kind) && !(kind === "method" && name === method)) targets.push({ kind, name });
  return targets;
}

function isTargetKind(kind: string): kind is TargetKind {
  return (TARGET_KINDS as readonly string[]).includes(kind);
}

/** No rule asks how; an unknown word must not end the replay. */
function howOf(how: string | undefined): Principal["how"] {
  return how === "jwt" || how === "certificate" || how === "proxy_header" ? how : "user_token";
}

function isCut(text: string): boolean {
  return text.length >= AUDIT_TEXT_CHARS - 1 && text.endsWith(CUT);
}

function wasText({ layer, rule, rule_at: ruleAt, reason }: SeenCall): string {
  const why = rule === undefined
    ? reason ?? "no reason given"
    : ruleAt === undefined
    ? rule
    : `${rule} (${ruleAt})`;
  return layer === undefined ? why : `${layer}: ${why}`;
}

function becauseText(decision: Decision): string {
  const text = reasonText({ ...decision, decision: decision.allowed ? "allow" : "deny" });
  return decision.layer === undefined ? text : `${decision.layer}: ${text}`;
}

/** How a writer of records marks what it has cut. */
const CUT = "…";
