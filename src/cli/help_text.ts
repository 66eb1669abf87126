/** Text that the help of commands shares. @module */

/** The examples at the end of a command's help. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

/** What `--since` is without being given, where commands look at one day. */
export const DAY_TEXT = "(default: a day before --until, or before now)";
