/** The `token` commands: names, flags, help. @module */

import { Command } from "@commander-js/extra-typings";

import { TunnelError } from "../errors.ts";
import { quotedName } from "../identity/user_name.ts";
import { examples } from "./help_text.ts";
import type { Io } from "./io.ts";
import { configOption, stateDirOption } from "./key_option.ts";

/** `mcptun token` with its commands. */
export function tokenCommand(io: Io): Command {
  return new Command("token")
    .description("Make, list and end credentials of rifts and tokens of users")
    .addCommand(issueCommand(io))
    .addCommand(listCommand(io))
    .addCommand(revokeCommand(io))
    .addCommand(rotateCommand(io))
    .addHelpText(
      "after",
      examples(
        "mcptun token issue --rift laptop --tunnels 'team-a-*' --ttl 30d --out laptop.token",
        "mcptun token issue --user alice --groups frontend --ttl 30d",
        "mcptun token list",
        "mcptun token revoke laptop",
      ),
    ) as unknown as Command;
}

function issueCommand(io: Io): Command {
  return new Command("issue")
    .description("Make a credential for a rift or a token for a user, and print it, once")
    .option("--rift <name>", "name of the rift, for the list of credentials and the logs")
    .option("--user <name>", "name of the user, for policy, the list of tokens and the logs")
    .option(
      "--tunnels <globs>",
      "tunnels a rift may claim, such as 'team-a-*'; separate with commas or repeat",
      collectGlobs,
    )
    .option("--groups <names>", "groups of a user; separate with commas or repeat", collectNames)
    .option("--ttl <duration>", "lifetime, such as 12h or 30d; a user's token may have none")
    .option("--out <file>", "write it to a new file, mode 0600, instead of printing it")
    .addOption(configOption())
    .addOption(stateDirOption())
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun token issue --rift laptop --tunnels 'team-a-*' --ttl 30d --out laptop.token",
        "mcptun token issue --rift ci --tunnels build,test --ttl 12h --out ci.token",
        "mcptun token issue --user alice --groups frontend,oncall --ttl 30d --out alice.token",
      ),
    )
    .action(async (options) =>
      (await import("./token_issue_command.ts")).runTokenIssue(io, options)
    ) as unknown as Command;
}

function listCommand(io: Io): Command {
  return new Command("list")
    .description("Show credentials and tokens: whose, until when, in use or not; never a secret")
    .option("--all", "also those that are revoked or have ended")
    .addOption(configOption())
    .addOption(stateDirOption())
    .option("--json", "print one line of JSON instead of text")
    .addHelpText("after", examples("mcptun token list", "mcptun token list --all --json"))
    .action(async (options) =>
      (await import("./token_list_command.ts")).runTokenList(io, options)
    ) as unknown as Command;
}

function revokeCommand(io: Io): Command {
  return new Command("revoke")
    .description("End the credential of a rift, or the tokens of a user, at once")
    .argument("[rift]", "name of the rift")
    .option("--user <name>", "name of a user, instead of a rift")
    .option("--id <id>", 'only this token of the user, as "token list" shows it')
    .addOption(configOption())
    .addOption(stateDirOption())
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun token revoke laptop",
        "mcptun token revoke --user alice",
        "mcptun token revoke --user alice --id 3f9a01bc",
      ),
    )
    .action(async (rift, options) =>
      (await import("./token_revoke_command.ts")).runTokenRevoke(io, { ...options, rift })
    ) as unknown as Command;
}

function rotateCommand(io: Io): Command {
  return new Command("rotate")
    .description("Make the next credential of a rift; the one in use still works for a while")
    .argument("<rift>", "name of the rift")
    .option("--ttl <duration>", "lifetime; by default that of the one in use")
    .option("--overlap <duration>", "how long the one in use still works", "24h")
    .option("--out <file>", "write it to a new file, mode 0600, instead of printing it")
    .addOption(configOption())
    .addOption(stateDirOption())
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun token rotate laptop --out laptop-new.token",
        "mcptun token rotate laptop --ttl 90d --overlap 1h --out laptop-new.token",
      ),
    )
    .action(async (rift, options) =>
      (await import("./token_rotate_command.ts")).runTokenRotate(io, { ...options, rift })
    ) as unknown as Command;
}

/** `a,b` is two globs, `{a,b}` is one. */
function collectGlobs(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...partsOf("--tunnels", value, /,(?![^{]*\})/)];
}

function collectNames(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...partsOf("--groups", value, /,/)];
}

function partsOf(flag: string, value: string, separator: RegExp): string[] {
  const parts = value.split(separator).map((part) => part.trim());
  if (parts.includes("")) {
    throw new TunnelError("USAGE", `${flag}: ${quotedName(value)} has an empty name`);
  }
  return parts;
}
