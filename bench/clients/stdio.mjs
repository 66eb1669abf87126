/** How a bench client is driven: one JSON command per stdin line, one JSON answer per stdout line. @module */

import { createInterface } from "node:readline";

/** Answers commands with `handle` until stdin ends, one at a time, then exits. */
export async function serveCommands(handle) {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer;
    try {
      answer = await handle(JSON.parse(line));
    } catch (error) {
      answer = { error: String(error?.message ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}
