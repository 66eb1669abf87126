/**
 * The lines of a trail besides records: who writes it from where on, what is signed, what was lost.
 * They are made here and read here, by the one that goes on with a file and by `audit verify`.
 *
 * @module
 */

import { hash } from "node:crypto";

import { AUDIT_TEXT_CHARS } from "../limits.ts";
import { quoteText, timeText } from "./line_text.ts";
import { RECORD_VERSION } from "./record.ts";

/** Where the chain is: what the next line continues from. */
export interface ChainState {
  /** Name of the edge. */
  readonly edge: string;
  /** Number of the file, from 1. */
  readonly file: number;
  /** Number of the oldest file that retention has kept. */
  readonly first: number;
  /** Records (exchanges and intents) since the start of the chain. */
  readonly records: number;
  /** Hash of the last line; `undefined` before the first. */
  readonly prev: string | undefined;
}

/** Bytes that a crash left between the last whole line and the `open` line. */
export interface Torn {
  readonly bytes: number;
  readonly hash: string;
}

/** What an `open` line says besides the state of the chain. */
export interface Opening {
  readonly wallMs: number;
  readonly state: ChainState;
  /** Public key of the signatures that follow: SPKI, base64url. */
  readonly key: string;
  readonly keyId: string;
  readonly torn?: Torn | undefined;
  /** What had been signed before and was not there when the edge started. */
  readonly missing?: { readonly records: number; readonly hash: string } | undefined;
}

/** The hash of a line, without its newline: what the next line has as `prev`. */
export function lineHash(line: string | Uint8Array): string {
  return hash("sha256", line, "base64url");
}

/** The first line of a file, and the first that an edge writes to a file that was there. */
export function openLine({ wallMs, state, key, keyId, torn, missing }: Opening): string {
  return head("open", wallMs, state) +
    `,"first":${state.first},"records":${state.records},"key":"${key}","key_id":"${keyId}"` +
    (torn === undefined ? "" : `,"torn":{"bytes":${torn.bytes},"hash":"${torn.hash}"}`) +
    (missing === undefined
      ? ""
      : `,"missing":{"records":${missing.records},"hash":"${missing.hash}"}`) +
    (state.prev === undefined ? "}" : `,"prev":"${state.prev}"}`);
}

/** What a checkpoint says besides the state of the chain. */
export interface Checkpoint {
  readonly wallMs: number;
  readonly state: ChainState;
  readonly keyId: string;
  /** `rotated`: the last line of its file. `end`: the edge stopped in an orderly way. */
  readonly why: "count" | "rotated" | "end";
}

/** A checkpoint up to its signature: {@link signedText} of it is what is signed. */
export function checkpointBody({ wallMs, state, keyId, why }: Checkpoint): string {
  return head("checkpoint", wallMs, state) + `,"first":${state.first},"records":${state.records}` +
    (why === "count" ? "" : `,"${why}":true`) +
    `,"key_id":"${keyId}","prev":"${state.prev ?? ""}"`;
}

/** Ends a checkpoint. */
export function checkpointLine(body: string, signature: string): string {
  return `${body}${SIGNATURE_MEMBER}${signature}"}`;
}

/** The exact text that a signature is over. The name in front keeps it from meaning anything else. */
export function signedText(checkpointBody: string): string {
  return `mcptun audit checkpoint 1\n${checkpointBody}`;
}

/** Splits a checkpoint into what is signed and the signature; `undefined` when it has none. */
export function splitCheckpoint(line: string): { body: string; signature: string } | undefined {
  const at = line.lastIndexOf(SIGNATURE_MEMBER);
  if (at === -1 || !line.endsWith('"}')) return undefined;
  return { body: line.slice(0, at), signature: line.slice(at + SIGNATURE_MEMBER.length, -2) };
}

/** What a `lost` line says: records that came while nothing could be written and no room was left. */
export interface Loss {
  readonly edge: string;
  readonly wallMs: number;
  /** When the first of them was lost. */
  readonly sinceMs: number;
  readonly count: number;
}

/** A `lost` line up to `prev`. */
export function lostBody({ edge, wallMs, sinceMs, count }: Loss): string {
  return `{"v":${RECORD_VERSION},"type":"lost","time":"${timeText(wallMs)}"` +
    `,"edge":${quoteText(edge, AUDIT_TEXT_CHARS)},"lost":${count},"since":"${timeText(sinceMs)}"`;
}

/** A line that is not a record, as it was read. */
export type Marker =
  | {
    readonly type: "open";
    readonly time: string;
    readonly edge: string;
    readonly file: number;
    readonly first: number;
    readonly records: number;
    readonly key: string;
    readonly keyId: string;
    readonly torn: Torn | undefined;
    readonly missing: { readonly records: number; readonly hash: string } | undefined;
    readonly prev: string | undefined;
  }
  | {
    readonly type: "checkpoint";
    readonly time: string;
    readonly edge: string;
    readonly file: number;
    readonly first: number;
    readonly records: number;
    readonly keyId: string;
    readonly why: Checkpoint["why"];
    readonly prev: string;
  }
  | { readonly type: "lost"; readonly time: string; readonly lost: number };

/** Reads a line that may be a marker; `undefined` when it is none, or not a well-formed one. */
export function readMarker(line: string): Marker | undefined {
  const value = parseObject(line);
  if (value === undefined || value["v"] !== RECORD_VERSION) return undefined;
  const { type, time, edge, file, first, records, key, key_id: keyId, prev } = value;
  if (typeof time !== "string" || typeof edge !== "string") return undefined;
  if (type === "lost") {
    return isCount(value["lost"]) ? { type, time, lost: value["lost"] } : undefined;
  }
  if (!isCount(file) || !isCount(first) || !isCount(records)) return undefined;
  if (typeof keyId !== "string" || (prev !== undefined && typeof prev !== "string")) {
    return undefined;
  }
  const common = { time, edge, file, first, records, keyId };
  if (type === "open" && typeof key === "string") {
    const torn = pair(value["torn"], "bytes");
    const missing = pair(value["missing"], "records");
    return {
      type,
      ...common,
      key,
      torn: torn === undefined ? undefined : { bytes: torn.count, hash: torn.hash },
      missing: missing === undefined ? undefined : { records: missing.count, hash: missing.hash },
      prev,
    };
  }
  if (type !== "checkpoint" || prev === undefined) return undefined;
  const why = value["end"] === true ? "end" : value["rotated"] === true ? "rotated" : "count";
  return { type, ...common, why, prev };
}

/** Is it a line of a trail at all, of any type? */
export function isTrailLine(line: string): boolean {
  const value = parseObject(line);
  return value !== undefined && typeof value["v"] === "number" && typeof value["type"] === "string";
}

const SIGNATURE_MEMBER = ',"sig":"';

function head(type: "open" | "checkpoint", wallMs: number, { edge, file }: ChainState): string {
  return `{"v":${RECORD_VERSION},"type":"${type}","time":"${timeText(wallMs)}"` +
    `,"edge":${quoteText(edge, AUDIT_TEXT_CHARS)},"file":${file}`;
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    // Proof of the cast: an object that is no list, from JSON.
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return value as Record<string, unknown>;
  } catch {
    // Half a line of a crash, or none of ours: the caller says which.
    return undefined;
  }
}

function pair(value: unknown, countName: string): { count: number; hash: string } | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const members = value as Record<string, unknown>; // an object, from JSON
  const count = members[countName];
  const digest = members["hash"];
  return isCount(count) && typeof digest === "string" ? { count, hash: digest } : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
