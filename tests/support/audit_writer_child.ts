/**
 * A process that writes records until it is killed: `FOLDER SYNC START`. It prints the number of each
 * call whose intent is written, as a private server would do the call then.
 *
 * @module
 */

import process from "node:process";
import { join } from "node:path";

import { openAudit } from "../../src/cli/audit_setup.ts";
import { systemClock } from "../../src/clock.ts";
import { silentLogger } from "../../src/log.ts";
import { recordOf } from "./audit_records.ts";

const [folder = "", sync = "", start = "0"] = process.argv.slice(2);
const audit = await openAudit({
  settings: {
    file: join(folder, "audit.jsonl"),
    onFailure: "block",
    sync: sync === "always" ? "always" : "batch",
    intent: true,
    rotateBytes: 200_000,
    rotateMs: 0,
    keepFiles: 0,
    keepMs: 0,
    checkpointRecords: 100,
  },
  edgeId: "edge-1",
  stateDir: join(folder, "state"),
  clock: systemClock,
  log: silentLogger,
});

async function calls(from: number): Promise<void> {
  for (let number = from;; number += IN_FLIGHT) {
    const isWritten = await audit.intent({ ...recordOf(number), type: "intent" });
    if (isWritten !== true) throw new Error(`No intent for call ${number}`);
    process.stdout.write(`${number}\n`);
    audit.write(recordOf(number));
  }
}

const IN_FLIGHT = 16;
await Promise.all(
  Array.from({ length: IN_FLIGHT }, (_, lane) => calls(Number(start) + lane)),
);
