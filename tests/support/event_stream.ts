/** A plain reader of event streams, and what the filter makes of a stream held against it. @module */

import { Buffer } from "node:buffer";

import { TunnelError } from "../../src/errors.ts";
import { EventStreamFilter, type EventVerdict } from "../../src/mcp/sse.ts";

/** What a client is told. */
export interface ReadEvent {
  readonly type: string;
  readonly data: string;
  readonly lastId: string;
}

/** What ends a line for some readers: a field with it does not pass. */
const LINE_END = /[\0-\x08\x0a-\x1f\x7f\x85\u2028\u2029]/;

/** WHATWG HTML, 9.2.6, as it is written, over the whole text at once. */
export function readEvents(bytes: Uint8Array): ReadEvent[] {
  const text = new TextDecoder("utf-8").decode(bytes); // leaves out a byte order mark
  const events: ReadEvent[] = [];
  const lines = text.split(/\r\n|\n|\r/);
  lines.pop(); // no line end: it never came
  let data = "";
  let type = "";
  let lastId = "";
  for (const line of lines) {
    if (line === "") {
      if (data !== "") events.push({ type, data: data.replace(/\n$/, ""), lastId });
      data = type = "";
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data += `${value}\n`;
    else if (field === "event") type = value;
    else if (field === "id" && !LINE_END.test(value)) lastId = value;
  }
  return events;
}

/** By what is in the data, so that every reader can tell. */
function verdictOn(data: string): EventVerdict {
  if (data.includes("drop")) return "drop";
  return data.includes("rewrite") ? Buffer.from(`new\n${data.length % 7}`) : "pass";
}

/**
 * What is wrong with how the filter treats this stream, cut at these places; `undefined`: nothing.
 *
 * @param maxEventBytes Above it the filter must throw, and may have emitted what came before.
 */
export function eventStreamProblem(
  bytes: Uint8Array,
  cuts: readonly number[],
  maxEventBytes: number,
): string | undefined {
  const whole = filtered(bytes, [], maxEventBytes);
  const cut = filtered(bytes, cuts, maxEventBytes);
  if (typeof whole === "string") return whole;
  if (typeof cut === "string") return cut;
  // At the limit itself, the LF of a CRLF counts or not, depending on its chunk.
  if (whole.isCut || cut.isCut) return undefined;
  if (!whole.output.equals(cut.output)) return "the output depends on the chunks";
  const expected = readEvents(bytes).flatMap(({ type, data, lastId }) => {
    if (type !== "" && type !== "message") return [];
    // Without data there is nothing to judge.
    const verdict = data === "" ? "pass" : verdictOn(data);
    if (verdict === "drop") return [];
    const passed = (verdict === "pass" ? data : String(verdict)).replace(
      /[\x85\u2028\u2029]/g,
      (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    return [{ data: passed, lastId }];
  });
  const read = readEvents(whole.output).map(({ data, lastId }) => ({ data, lastId }));
  return JSON.stringify(read) === JSON.stringify(expected)
    ? undefined
    : `read ${JSON.stringify(read)}, expected ${JSON.stringify(expected)}`;
}

function filtered(bytes: Uint8Array, cuts: readonly number[], maxEventBytes: number) {
  const parts: Buffer[] = [];
  const filter = new EventStreamFilter({
    maxEventBytes,
    inspect: (data) => verdictOn(data.toString("utf8")),
    emit: (part) => parts.push(Buffer.from(part)),
  });
  let isCut = false;
  try {
    let from = 0;
    for (const to of [...cuts, bytes.length]) {
      filter.push(bytes.slice(from, to));
      from = to;
    }
    filter.end();
  } catch (error) {
    if (!(error instanceof TunnelError)) return String(error);
    isCut = true;
  }
  return { isCut, output: Buffer.concat(parts) };
}
