/** The `audit` commands: names, flags, help. @module */

import { Command } from "@commander-js/extra-typings";

import { auditVerifyCommand } from "./audit_verify_program.ts";
import { examples } from "./help_text.ts";
import type { Io } from "./io.ts";

/** `mcptun audit` with its commands. */
export function auditCommand(io: Io, outcome: { exitCode: 0 | 1 }): Command {
  return new Command("audit")
    .description("Read the audit trail: one record of every exchange")
    .addCommand(auditVerifyCommand(io, outcome))
    .addHelpText("after", examples("mcptun audit verify")) as unknown as Command;
}
