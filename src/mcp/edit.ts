/**
 * Edits of a JSON text by byte ranges: what is not edited stays the same bytes, so big integers,
 * `1e2`, escapes and spaces come through as they were.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { MAX_FOLDED_NAME_BYTES, MAX_PROTOCOL_MEMBERS } from "../limits.ts";
import type { ByteRange, JsonDocument } from "./document.ts";
import { NONE } from "./document.ts";
import { foldName } from "./member_names.ts";
import type { Family } from "./methods.ts";

/** Put `text` where the range is; an empty text removes it. */
export interface Edit extends ByteRange {
  readonly text: string;
}

/** The bytes after the edits, which must not overlap; any order. */
export function applyEdits(bytes: Buffer, edits: readonly Edit[]): Buffer {
  const sorted = [...edits].sort((a, b) => a.start - b.start || a.end - b.end);
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of sorted) {
    if (start < at) throw new RangeError(`Edits overlap at byte ${start}`);
    parts.push(bytes.subarray(at, start));
    if (text !== "") parts.push(Buffer.from(text));
    at = end;
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

/** How many members or elements there were, how many stay, and the edits that remove the others. */
export interface Removal {
  readonly before: number;
  readonly after: number;
  readonly edits: readonly Edit[];
}

/** Removes what `keeps` does not keep from an object or array, each with one comma. */
export function removeChildren(
  document: JsonDocument,
  container: number,
  keeps: (child: number) => boolean,
): Removal {
  const edits: Edit[] = [];
  let before = 0;
  let after = 0;
  /** End of the child before this one; and the start of the first, while none was kept. */
  let previousEnd = -1;
  let pendingStart = -1;
  for (let child = document.first(container); child >= 0; child = document.next(child)) {
    before++;
    const start = document.memberStart(child);
    if (keeps(child)) {
      // Those before it go up to here, with the comma after the last of them.
      if (pendingStart >= 0) edits.push({ start: pendingStart, end: start, text: "" });
      pendingStart = -1;
      after++;
    } else if (after > 0) {
      // With the comma before it.
      edits.push({ start: previousEnd, end: document.end(child), text: "" });
    } else if (pendingStart < 0) {
      pendingStart = start;
    }
    previousEnd = document.end(child);
  }
  if (pendingStart >= 0) edits.push({ start: pendingStart, end: previousEnd, text: "" });
  return { before, after, edits };
}

/** Puts `text` in place of a value. */
export function replaceValue(document: JsonDocument, node: number, text: string): Edit {
  return { ...document.range(node), text };
}

/** Puts a member at the end of an object; `valueText` is JSON. */
export function appendMember(
  document: JsonDocument,
  object: number,
  name: string,
  valueText: string,
): Edit {
  const comma = document.first(object) === NONE ? "" : ",";
  const at = document.end(object) - 1;
  return { start: at, end: at, text: `${comma}${JSON.stringify(name)}:${valueText}` };
}

/**
 * The request without some of the client's capabilities, so that the server must not use them:
 * in `initialize` (legacy) and in `_meta` (modern). `undefined` when none of them was there.
 */
export function stripCapabilities(
  document: JsonDocument,
  families: readonly Family[],
): Buffer | undefined {
  if (families.length === 0) return undefined;
  const params = document.member(document.root, "params");
  const places = [
    document.member(params, "capabilities"),
    document.member(
      document.member(params, "_meta"),
      "io.modelcontextprotocol/clientCapabilities",
    ),
  ];
  const removed: (readonly Edit[])[] = [];
  // Folded, because a server that ignores case would read "Sampling" as well.
  // What is too long or too much to be folded goes as well: no capability of the protocol is.
  let folded = 0;
  const keeps = (member: number): boolean => {
    const name = document.name(member);
    if (name.length > MAX_FOLDED_NAME_BYTES || ++folded > MAX_PROTOCOL_MEMBERS) return false;
    return !(families as readonly string[]).includes(foldName(name));
  };
  for (const place of places) {
    if (place !== NONE) removed.push(removeChildren(document, place, keeps).edits);
    // 2025-11-25: which of the server's requests may become tasks.
    const requests = document.member(document.member(place, "tasks"), "requests");
    if (requests !== NONE) removed.push(removeChildren(document, requests, keeps).edits);
  }
  const edits = removed.flat();
  return edits.length === 0 ? undefined : applyEdits(document.bytes, edits);
}
