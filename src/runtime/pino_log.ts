/**
 * The logger of the commands, on pino: readable lines or JSON lines.
 *
 * Values come from the network, so nothing reaches the terminal unescaped: no line feed that
 * forges an event, no escape sequence, no bidirectional override (CWE-117, CWE-150).
 *
 * @module
 */

import type { Writable } from "node:stream";

import { destination as openDestination, type Logger as Pino, pino, stdTimeFunctions } from "pino";

import type { LogFields, Logger } from "../log.ts";

/** Options of {@link pinoLogger}. */
export interface PinoLoggerOptions {
  /** The least important level that is written. */
  readonly level: "debug" | "info" | "warn" | "error";
  /** `text`: one readable line per event, local time. `json`: one object per line, UTC time. */
  readonly format: "text" | "json";
  /**
   * Where lines go. By default standard error, written before the call returns, so nothing is lost
   * at exit.
   */
  readonly destination?: Writable;
}

/** Makes a logger. Each event is one line, whatever its fields hold. */
export function pinoLogger({ level, format, destination }: PinoLoggerOptions): Logger {
  const sink: LineSink = destination ?? openDestination({ fd: 2, sync: true });
  const render = format === "json" ? (line: string) => line : textOfJson;
  const core = pino(
    {
      level,
      base: null, // process id and host name belong to whoever collects the lines
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => void sink.write(escapeUnprintable(render(line.trimEnd())) + "\n") },
  );
  return new PinoLogger(core, {});
}

/** Back-pressure is not waited for: log lines are small, and the default sink has none. */
interface LineSink {
  write(line: string): unknown;
}

class PinoLogger implements Logger {
  readonly #core: Pino;
  readonly #fields: LogFields;

  constructor(core: Pino, fields: LogFields) {
    this.#core = core;
    this.#fields = fields;
  }

  debug(message: string, fields?: LogFields): void {
    if (this.#core.isLevelEnabled("debug")) this.#core.debug(this.#merge(fields), message);
  }

  info(message: string, fields?: LogFields): void {
    this.#core.info(this.#merge(fields), message);
  }

  warn(message: string, fields?: LogFields): void {
    this.#core.warn(this.#merge(fields), message);
  }

  error(message: string, fields?: LogFields): void {
    this.#core.error(this.#merge(fields), message);
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.#core, this.#merge(fields));
  }

  /** Merged here, because pino's own children and fields would repeat a key within one line. */
  #merge(fields: LogFields | undefined): LogFields {
    const merged: Record<string, LogFields[string]> = { ...this.#fields };
    for (const [key, value] of Object.entries(fields ?? {})) {
      merged[RESERVED.has(key) ? `${key}_` : key] = value;
    }
    return merged;
  }
}

/** What pino writes itself. */
const RESERVED: ReadonlySet<string> = new Set(["level", "time", "msg"]);

/** `12:34:56.789 INFO  message key=value key="two words"` */
function textOfJson(line: string): string {
  // pino wrote an object.
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const parts = [
    clockTime(String(time)),
    String(level).toUpperCase().padEnd(5),
    inert(String(msg)),
  ];
  for (const [key, value] of Object.entries(fields)) {
    parts.push(`${inert(key)}=${textOfValue(value)}`);
  }
  return parts.join(" ");
}

function clockTime(isoTime: string): string {
  const time = new Date(isoTime);
  const two = (part: number) => String(part).padStart(2, "0");
  const millis = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${millis}`;
}

function textOfValue(value: unknown): string {
  const text = String(value);
  return /^[^\s"'=\\\p{C}]+$/u.test(text) ? text : JSON.stringify(text);
}

/** Control characters as JSON escapes, without the quotes. */
function inert(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}

/**
 * JSON escapes C0 only. Left over are DEL and C1 (an 8-bit terminal reads U+009B as an escape
 * sequence), format characters such as bidirectional overrides, line separators and lone
 * surrogates.
 */
function escapeUnprintable(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`,
    ).join(""));
}
