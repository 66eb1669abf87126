#!/usr/bin/env node
/** The process: arguments, streams and signals in, exit code out. @module */

import process from "node:process";

import { type Io, OUTPUT_CLOSED } from "./cli/io.ts";
import { runCli } from "./cli/program.ts";
import { reportFailure } from "./cli/report.ts";

const stop = new AbortController();
let hangup: (() => void) | undefined;
for (const [signal, code] of [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const) {
  process.on(signal, () => {
    if (signal === "SIGHUP" && hangup !== undefined) return hangup();
    // The first asks for an orderly end, the second does not wait for it.
    if (stop.signal.aborted) process.exit(code);
    stop.abort();
  });
}
let outputError: NodeJS.ErrnoException | undefined;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough, such as head(1), is no failure.
  if (error.code === "EPIPE") return stop.abort(OUTPUT_CLOSED);
  outputError ??= error;
  stop.abort();
});
// A role serves on when nobody reads its log any more.
process.stderr.on("error", () => {});

const io: Io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  signal: stop.signal,
  onHangup: (handle) => void (hangup = handle),
};
// Nothing expected arrives here; what does is a bug, told like every other one.
process.on("uncaughtException", (error) => process.exit(reportFailure(io, error)));

const code = await runCli(process.argv.slice(2), io);
// A failed write is told a turn later.
await new Promise((resolve) => setImmediate(resolve));
process.exitCode = code !== 0 || outputError === undefined ? code : reportFailure(io, outputError);
// Commands close what they open. Should a native handle live on, it must not hold the process.
setTimeout(() => process.exit(), 1_000).unref();
