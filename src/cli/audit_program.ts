/** The `audit` commands: names, flags, help. @module */

import { Command, Option } from "@commander-js/extra-typings";

import { auditVerifyCommand } from "./audit_verify_program.ts";
import { DAY_TEXT, examples } from "./help_text.ts";
import type { Io } from "./io.ts";
import { configOption } from "./key_option.ts";

/** `mcptun audit` with its commands. */
export function auditCommand(io: Io, outcome: { exitCode: 0 | 1 }): Command {
  return new Command("audit")
    .description("Read the audit trail: one record of every exchange")
    .addCommand(tailCommand(io))
    .addCommand(statsCommand(io))
    .addCommand(auditVerifyCommand(io, outcome))
    .addHelpText(
      "after",
      examples("mcptun audit tail -f", "mcptun audit stats --since 24h", "mcptun audit verify"),
    ) as unknown as Command;
}

/** `--file`, the same for every command that reads the trail. */
export function auditFileOption() {
  return new Option(
    "--file <file>",
    "the trail to read (default: audit.file of the configuration)",
  );
}

function tailCommand(io: Io): Command {
  return new Command("tail")
    .description("Show records, the newest ones or those of a time, and go on with new ones")
    .option("-f, --follow", "wait for new records, through rotation, until it is interrupted")
    .option("-n, --lines <number>", "begin at the last so many (default: 50, all with --since)")
    .option("--since <time>", "what began then or later: 1h ago, or 2026-11-23T10:00 (UTC)")
    .option("--until <time>", "what began before that")
    .option("--tunnel <glob>", "of these tunnels")
    .option("--user <glob>", "of these users")
    .option("--tool <glob>", "calls of these tools")
    .option("--resource <glob>", "reads of these resources; * matches / as well")
    .option("--decision <decision>", "what the policy said: allow or deny")
    .option("--result <results>", "what became of it, such as tool_error,timeout")
    .option("--where <condition>", "a condition over the fields of a record, see the examples")
    .addOption(auditFileOption())
    .addOption(configOption())
    .option("--json", "print the lines as they are in the file")
    .option("--no-color", "no colors (also: NO_COLOR)")
    .addHelpText(
      "after",
      examples(
        "mcptun audit tail -f --decision deny",
        "mcptun audit tail --since 1h --user 'alice*' --tool 'delete_*'",
        "mcptun audit tail --since 2026-11-23T10:00 --until 2026-11-23T11:00 --json | jq .name",
        "mcptun audit tail --where 'duration_ms > 2s and not (user = alice or status < 500)'",
        "mcptun audit tail --where 'groups = ops and name ~ \"read_*\"' --file audit.jsonl",
      ) + CONDITIONS,
    )
    .action(async (options) =>
      (await import("./audit_tail_command.ts")).runAuditTail(io, options)
    ) as unknown as Command;
}

function statsCommand(io: Io): Command {
  return new Command("stats")
    .description("Count calls, denials and errors, and how long calls took")
    .option(
      "--since <time>",
      `what began then or later: 1h ago, or 2026-11-23T10:00 (UTC) ${DAY_TEXT}`,
    )
    .option("--until <time>", "what began before that")
    .option("--tunnel <glob>", "of these tunnels")
    .option("--user <glob>", "of these users")
    .addOption(auditFileOption())
    .addOption(configOption())
    .option("--json", "print one line of JSON instead of tables")
    .addHelpText(
      "after",
      examples(
        "mcptun audit stats --since 24h",
        "mcptun audit stats --since 7d --tunnel code-server --json",
      ),
    )
    .action(async (options) =>
      (await import("./audit_stats_command.ts")).runAuditStats(io, options)
    ) as unknown as Command;
}

const CONDITIONS = `

Conditions:
  FIELD, FIELD = VALUE, also != < <= > >=, and ~ for a glob or a part; and, or, not, ( ).
  A field alone asks whether it is there. Fields: docs/audit.md.`;
