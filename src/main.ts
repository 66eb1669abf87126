#!/usr/bin/env node
/** The process: arguments, streams and signals in, exit code out. @module */

import process from "node:process";

import type { Io } from "./cli/io.ts";
import { runCli } from "./cli/program.ts";
import { reportFailure } from "./cli/report.ts";

const stop = new AbortController();
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  process.on(signal, () => {
    // The first asks for an orderly end, the second does not wait for it.
    if (stop.signal.aborted) process.exit(code);
    stop.abort();
  });
}
// A reader that has seen enough, such as head(1), is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") stop.abort();
  else throw error;
});

const io: Io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  signal: stop.signal,
};
// Nothing expected arrives here; what does is a bug, told like every other one.
process.on("uncaughtException", (error) => process.exit(reportFailure(io, error)));

process.exitCode = await runCli(process.argv.slice(2), io);
// Commands close what they open. Should a native handle live on, it must not hold the process.
setTimeout(() => process.exit(), 1_000).unref();
