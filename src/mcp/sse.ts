/**
 * A filter of event streams (WHATWG HTML, section 9.2): each event is looked at, and passed on as
 * the identical bytes unless the callback says otherwise.
 *
 * What is held: an event with fields, until its blank line, at most `maxEventBytes`, because a
 * verdict on half a message is none. Comments and blank lines pass at once, so that a keep-alive is
 * never late. Events that are whole inside of one chunk are passed on without a copy, in one piece.
 *
 * What is changed besides the callback's rewrites, because two parsers could read it differently:
 * a byte order mark goes; an event with a lone CR inside is written with LF; a lone CR at an event's
 * end becomes CRLF; a comment becomes an empty one, and inside of an event it goes; what some readers
 * end a line with (Python's `splitlines`: U+0085, U+2028, U+2029 and controls) is escaped in data,
 * where it can only stand in a string of JSON, and takes a field of another name with it;
 * unknown fields go; events of another type than `message` go, since no MCP client
 * reads them as JSON-RPC. Of an event that goes, its `id` and `retry` stay. What follows the last
 * blank line when the stream ends is no event, and goes.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { TunnelError } from "../errors.ts";
import { FREE_EVENT_BYTES, MAX_EVENT_LINES } from "../limits.ts";
import { asBuffer } from "./bytes.ts";

/** What becomes of an event: the bytes are its new data. */
export type EventVerdict = "pass" | "drop" | Uint8Array;

/** How to filter. */
export interface EventFilterOptions {
  /** Largest event with its field names, bytes. */
  readonly maxEventBytes: number;
  /** Judges the data of one event; the view is valid during the call only. */
  readonly inspect: (data: Buffer) => EventVerdict;
  /** Told the id of each event that has one and passes, or whose id does. */
  readonly onId?: ((id: string) => void) | undefined;
  /** Takes what passes; may be given views of the chunk that was pushed. */
  readonly emit: (bytes: Buffer) => void;
  /** Where memory for an event comes from that is not written yet; without it there is always some. */
  readonly room?: EventRoom | undefined;
}

/** A budget of bytes. Up to `FREE_EVENT_BYTES` of one stream are not asked for. */
export interface EventRoom {
  /** @returns false when there is no room; nothing is taken then. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** Why a stream must be cut. */
export type EventProblem = "too_large" | "too_many_lines" | "no_room";

/** A stream cannot be filtered any further. */
export class EventRefusal extends TunnelError {
  readonly reason: EventProblem;

  constructor(reason: EventProblem, what: string) {
    super("UPSTREAM_FAILED", `Cannot pass on an event ${what}`);
    this.reason = reason;
  }
}

/** Filters one stream. */
export class EventStreamFilter {
  readonly #options: EventFilterOptions;
  /** How many bytes of a byte order mark were seen at the start; -1 after the start. */
  #markBytes = 0;
  /** Bytes of a unit that began in an earlier chunk. */
  #held: Buffer = EMPTY;
  #heldLength = 0;
  /** How much of its room was asked for: for the unfinished event, and for those that are not written. */
  #taken = 0;
  #unwritten = 0;
  /** Where in its unit the scan stands. */
  #inComment = false;
  #lineIsEmpty = true;
  #afterCr = false;
  /** The unit before ended with a CR, so an LF now belongs to it. */
  #skipLf = false;
  /** Did the line that was found last end its unit? */
  #unitEnds = false;
  #failed = false;

  constructor(options: EventFilterOptions) {
    this.#options = options;
  }

  /**
   * Takes the next bytes.
   *
   * @throws {EventRefusal} `UPSTREAM_FAILED` for an event above the limit of bytes or lines, or without room, and
   *   whatever `inspect` throws; the stream must then be cut, and nothing more passes.
   */
  push(chunk: Uint8Array): void {
    if (this.#failed) throw tooLarge(this.#options.maxEventBytes);
    const bytes = asBuffer(chunk);
    this.#failed = true;
    const start = this.#markBytes < 0 ? 0 : this.#skipMark(bytes);
    if (start < bytes.length) this.#scan(bytes, start);
    this.#failed = false;
  }

  /** What was emitted has left: it needs no room any more. */
  written(): void {
    if (this.#unwritten === 0) return;
    this.#options.room?.give(this.#unwritten);
    this.#unwritten = 0;
  }

  /** The stream is over. How many bytes of an unfinished event were left out. */
  end(): number {
    const left = this.#heldLength + Math.max(0, this.#markBytes);
    this.#letGo();
    this.written();
    this.#failed = true;
    return left;
  }

  /** Leaves out a byte order mark, also one that is cut in two. Where to go on. */
  #skipMark(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.#markBytes < MARK.length) {
      if (bytes[at] !== MARK[this.#markBytes]) {
        const seen = this.#markBytes;
        this.#markBytes = -1;
        // They came in earlier chunks and were no mark.
        if (seen > at) this.#scan(MARK.subarray(0, seen - at), 0);
        return 0;
      }
      this.#markBytes++;
      at++;
    }
    if (this.#markBytes === MARK.length) this.#markBytes = -1;
    return at;
  }

  /** Cuts the bytes into units: a comment line, a blank line, or an event with its blank line. */
  #scan(bytes: Buffer, from: number): void {
    const { maxEventBytes } = this.#options;
    const passed = new Pieces(this.#options.emit);
    const hasCr = bytes.indexOf(CR, from) >= 0;
    /** Start of the units that pass and have not been emitted. */
    let runStart = from;
    /** Start of the unit, as far as it is in this chunk. */
    let unitStart = from;
    let at = from;
    while (at < bytes.length) {
      if (this.#heldLength === 0 && at === unitStart) {
        const skip = this.#skipLf && bytes[at] === LF;
        this.#skipLf = false;
        if (skip) {
          // It is in what was emitted already.
          at++;
          runStart = unitStart = at;
          continue;
        }
        this.#inComment = bytes[at] === COLON;
        this.#lineIsEmpty = true;
        this.#afterCr = false;
      }
      const end = this.#lineEnd(bytes, at, hasCr);
      if (end < 0) break;
      at = end;
      if (!this.#unitEnds) continue;

      const endsWithCr = bytes[at - 1] === CR;
      if (this.#heldLength + at - unitStart > maxEventBytes) throw tooLarge(maxEventBytes);
      const isHeld = this.#heldLength > 0;
      const unit = isHeld ? this.#takeHeld(bytes, unitStart, at) : bytes.subarray(unitStart, at);
      const output = this.#inComment ? withoutText(unit) : this.#judge(unit);
      // A lone CR gets its LF here, and one that comes in the next chunk is left out.
      this.#skipLf = endsWithCr;
      if (output === unit && !isHeld && !endsWithCr) {
        unitStart = at;
        continue;
      }
      if (unitStart > runStart && !isHeld) passed.add(bytes.subarray(runStart, unitStart));
      if (output.length > 0) passed.add(output);
      if (output === unit && endsWithCr) passed.add(LINE_FEED);
      runStart = unitStart = at;
    }
    if (unitStart > runStart) passed.add(bytes.subarray(runStart, unitStart));
    passed.end();
    if (unitStart < bytes.length) this.#hold(bytes, unitStart);
  }

  /** The place after the next line end, with the LF of a CRLF; -1 when it is not in these bytes. */
  #lineEnd(bytes: Buffer, from: number, hasCr: boolean): number {
    let at = from;
    this.#unitEnds = false;
    if (this.#afterCr && at < bytes.length) {
      this.#afterCr = false;
      if (bytes[at] === LF) at++;
    }
    const start = at;
    if (hasCr) {
      while (at < bytes.length && bytes[at] !== LF && bytes[at] !== CR) at++;
    } else {
      at = bytes.indexOf(LF, at);
      if (at < 0) at = bytes.length;
    }
    if (at > start) this.#lineIsEmpty = false;
    if (at >= bytes.length) return -1;
    this.#unitEnds = this.#inComment || this.#lineIsEmpty;
    this.#lineIsEmpty = true;
    if (bytes[at] === LF) return at + 1;
    if (at + 1 < bytes.length) return bytes[at + 1] === LF ? at + 2 : at + 1;
    this.#afterCr = true;
    return at + 1;
  }

  #hold(bytes: Buffer, from: number): void {
    const length = this.#heldLength + bytes.length - from;
    if (length > this.#options.maxEventBytes) throw tooLarge(this.#options.maxEventBytes);
    if (length > this.#held.length) this.#grow(length);
    bytes.copy(this.#held, this.#heldLength, from);
    this.#heldLength = length;
  }

  #grow(length: number): void {
    // Doubled, so that an event in one-byte chunks is not copied for each of them.
    const most = Math.min(2 * length, this.#options.maxEventBytes);
    const capacity = Math.max(MIN_HELD_BYTES, most);
    const { room } = this.#options;
    if (room !== undefined && capacity > FREE_EVENT_BYTES) {
      if (!room.take(capacity - this.#taken)) {
        throw new EventRefusal("no_room", "for which there is no room");
      }
      this.#taken = capacity;
    }
    const larger = Buffer.allocUnsafeSlow(capacity);
    this.#held.copy(larger, 0, 0, this.#heldLength);
    this.#held = larger;
  }

  /** Nothing is held any more; its room is given back when it is written. */
  #letGo(): void {
    this.#held = EMPTY;
    this.#heldLength = 0;
    this.#unwritten += this.#taken;
    this.#taken = 0;
  }

  /** The held unit with its last part; the buffer is given away with it. */
  #takeHeld(bytes: Buffer, from: number, end: number): Buffer {
    const length = this.#heldLength + end - from;
    let unit = this.#held;
    if (length > unit.length) {
      unit = Buffer.allocUnsafeSlow(length);
      this.#held.copy(unit, 0, 0, this.#heldLength);
    }
    bytes.copy(unit, this.#heldLength, from, end);
    this.#letGo();
    return unit.subarray(0, length);
  }

  /** The event itself when it passes as it is; else what takes its place. */
  #judge(unit: Buffer): Buffer {
    const event = readEvent(unit);
    if (event.id !== undefined) this.#options.onId?.(event.id);
    if (event.data === undefined) return event.isPlain ? unit : writeEvent(event, undefined);
    if (event.type !== "" && event.type !== "message") return writeEvent(event, "drop");
    // Without data nothing is dispatched: legacy servers begin a stream with an id and no data.
    const verdict = event.data.length === 0 ? "pass" : this.#options.inspect(event.data);
    if (verdict === "drop") return writeEvent(event, verdict);
    const given = verdict === "pass" ? event.data : asBuffer(verdict);
    const data = withoutLineEnds(given);
    if (verdict === "pass" && event.isPlain && data === given) return unit;
    return writeEvent(event, data);
  }
}

interface Event {
  /** Joined with LF; `undefined` when there is no such field. */
  readonly data: Buffer | undefined;
  readonly type: string;
  /** Of its last `id` field. */
  readonly id: string | undefined;
  /** Does every parser read it the same as it is? */
  readonly isPlain: boolean;
  /** Lines without their ends, in order; the place of the data is `undefined`. */
  readonly lines: readonly (Buffer | undefined)[];
}

function readEvent(unit: Buffer): Event {
  const parts: Buffer[] = [];
  const lines: (Buffer | undefined)[] = [];
  let lineCount = 0;
  let type = "";
  let id: string | undefined;
  let isPlain = true;
  let at = 0;
  while (at < unit.length) {
    let end = at;
    while (end < unit.length && unit[end] !== LF && unit[end] !== CR) end++;
    const isCrLf = unit[end] === CR && unit[end + 1] === LF;
    // The last one is completed by the caller.
    if (unit[end] === CR && !isCrLf && end + 1 < unit.length) isPlain = false;
    const next = end + (isCrLf ? 2 : 1);
    if (++lineCount > MAX_EVENT_LINES) throw tooManyLines();
    if (end > at) {
      const line = unit.subarray(at, end);
      const colon = line.indexOf(COLON);
      const field = colon < 0 ? line.toString("latin1") : line.toString("latin1", 0, colon);
      const skip = colon < 0 ? line.length : colon + (line[colon + 1] === SPACE ? 2 : 1);
      switch (field) {
        case "data":
          if (parts.length === 0) lines.push(undefined);
          parts.push(line.subarray(skip));
          break;
        case "event":
        case "id":
        case "retry": {
          const value = line.toString("utf8", skip);
          if (field === "event") type = value;
          // Section 9.2.6: an id with NUL is ignored; not every parser does.
          if (LINE_END.test(value)) isPlain = false;
          else {
            if (field === "id") id = value;
            lines.push(line);
          }
          break;
        }
        default:
          isPlain = false;
      }
    }
    at = next;
  }
  const data = parts.length <= 1
    ? parts[0]
    : Buffer.concat(parts.flatMap((part, index) => index === 0 ? [part] : [LINE_FEED, part]));
  return { data, type, id, isPlain, lines };
}

/** The event with other data, or without any; ends with LF. */
function writeEvent(event: Event, data: "drop" | Uint8Array | undefined): Buffer {
  const output: Buffer[] = [];
  for (const line of event.lines) {
    if (line !== undefined) {
      // The type without its data would be an event of no meaning.
      const isType = line.toString("latin1", 0, 5) === "event";
      if (data !== "drop" || !isType) output.push(line, LINE_FEED);
    } else if (data !== undefined && data !== "drop") {
      for (const part of splitLines(data)) output.push(DATA_FIELD, part, LINE_FEED);
    }
  }
  if (output.length === 0) return EMPTY;
  return Buffer.concat([...output, LINE_FEED]);
}

/** A comment that says nothing; the same one when it does not. */
function withoutText(comment: Buffer): Buffer {
  return comment.length === COMMENT.length && comment[1] === LF ? comment : COMMENT;
}

/** JSON without the line ends of other readers; the same bytes when there are none. */
function withoutLineEnds(data: Buffer): Buffer {
  if (SEPARATORS.every((bytes) => !data.includes(bytes))) return data;
  // Bytes to characters and back: whatever else is in it stays what it is.
  const text = data.toString("latin1").replace(
    SEPARATOR_BYTES,
    (found) => `\\u${found === "\xc2\x85" ? "0085" : found.endsWith("\xa8") ? "2028" : "2029"}`,
  );
  return Buffer.from(text, "latin1");
}

/** Gives on what passes of one chunk: small pieces together, as each one may become a packet. */
class Pieces {
  readonly #emit: (bytes: Buffer) => void;
  #small: Buffer[] = [];

  constructor(emit: (bytes: Buffer) => void) {
    this.#emit = emit;
  }

  add(piece: Buffer): void {
    if (piece.length < SMALL_PIECE_BYTES) this.#small.push(piece);
    else {
      this.end();
      this.#emit(piece);
    }
  }

  end(): void {
    const [first] = this.#small;
    if (first === undefined) return;
    this.#emit(this.#small.length === 1 ? first : Buffer.concat(this.#small));
    this.#small = [];
  }
}

function splitLines(data: Uint8Array): Buffer[] {
  const bytes = asBuffer(data);
  const lines: Buffer[] = [];
  let start = 0;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== LF && bytes[at] !== CR) continue;
    lines.push(bytes.subarray(start, at));
    if (bytes[at] === CR && bytes[at + 1] === LF) at++;
    start = at + 1;
  }
  lines.push(bytes.subarray(start));
  return lines;
}

function tooManyLines(): EventRefusal {
  return new EventRefusal("too_many_lines", `of more than ${MAX_EVENT_LINES} lines`);
}

function tooLarge(maxEventBytes: number): EventRefusal {
  return new EventRefusal("too_large", `of more than ${maxEventBytes} bytes, or one after it`);
}

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const EMPTY = Buffer.alloc(0);
const LINE_FEED = Buffer.from("\n");
const DATA_FIELD = Buffer.from("data: ");
const COMMENT = Buffer.from(":\n");
/** In UTF-8; control characters cannot stand in JSON. */
const SEPARATORS = ["\u0085", "\u2028", "\u2029"].map((text) => Buffer.from(text));
const SEPARATOR_BYTES = /\xc2\x85|\xe2\x80[\xa8\xa9]/g;
const LINE_END = /[\0-\x08\x0a-\x1f\x7f\x85\u2028\u2029]/;
const SMALL_PIECE_BYTES = 4_096;
const MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const MIN_HELD_BYTES = 1_024;
