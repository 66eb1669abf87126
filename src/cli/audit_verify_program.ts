/** `mcptun audit verify`: name, flags, help. @module */

import { Command } from "@commander-js/extra-typings";

import { examples } from "./help_text.ts";
import type { Io } from "./io.ts";
import { configOption } from "./key_option.ts";

/** The command; `outcome` becomes 1 when the trail is not what was written. */
export function auditVerifyCommand(io: Io, outcome: { exitCode: 0 | 1 }): Command {
  return new Command("verify")
    .description("Check that no line of the audit trail was changed, removed, moved or added")
    .argument("[files...]", "the files of one trail, in any order (default: those of audit.file)")
    .addOption(configOption())
    .option(
      "--key <file>",
      "file with a public key that signed, or the key's id; repeat for more (default: the key in " +
        "state_dir)",
      (value: string, before: string[] | undefined) => [...(before ?? []), value],
    )
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun audit verify",
        "mcptun audit verify --config /etc/mcptun/mcptun.toml --json",
        "mcptun audit verify audit.jsonl audit-*.jsonl --key audit-key.pub.pem",
      ) + MEANING,
    )
    .action(async (files, options) => {
      const { runAuditVerify } = await import("./audit_verify_command.ts");
      outcome.exitCode = await runAuditVerify(io, files, options);
    }) as unknown as Command;
}

const MEANING = `

Exit code:
  0  intact, and signed with a key that is trusted
  1  damaged; incomplete, when files from before those that are named are not here; or unproven,
     when nothing is wrong in itself, but no key that is trusted says so
  2  wrong usage or configuration, or a file that cannot be read`;
