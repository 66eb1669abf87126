/** The logger every part is given. One event per fact: a fixed message, data in fields. @module */

/** Data beside a log message. Never secrets, never payloads. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Where log events go. `child` adds fields to everything logged through it. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
}

/** A logger that drops everything. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
