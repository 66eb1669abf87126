/**
 * The commands: names, flags, help. Text in, text out; the work is in the `*_command.ts` files.
 *
 * Commands that run a role are imported when they are called: the libraries behind them take half a
 * second to load, and `--help` or `config check` need none of them.
 *
 * @module
 */

import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";

import { TunnelError } from "../errors.ts";
import { auditCommand, auditFileOption } from "./audit_program.ts";
import { runConfigCheck } from "./config_command.ts";
import { refuseSecretArguments } from "./credential_source.ts";
import { DAY_TEXT, examples } from "./help_text.ts";
import { runInit } from "./init_command.ts";
import type { Io } from "./io.ts";
import { configOption, DEFAULT_FILE, keyOption, stateDirOption } from "./key_option.ts";
import { runPolicyCheck, runPolicyExplain } from "./policy_command.ts";
import { readProduct } from "./product.ts";
import { reportFailure } from "./report.ts";
import { tokenCommand } from "./token_program.ts";

/** What a command says besides an error: `doctor` has done its work and may still end with 1. */
interface Outcome {
  exitCode: 0 | 1;
}

/** Runs one command line, without the program's name, and gives the exit code. Never rejects. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  try {
    refuseSecretArguments(argv);
    const outcome: Outcome = { exitCode: 0 };
    const program = makeProgram(io, outcome);
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync(helpOfInner(argv, program), { from: "user" });
    return outcome.exitCode;
  } catch (error) {
    return reportFailure(io, error);
  }
}

/**
 * `help token issue` as `token help issue`: the help command of the library looks one level deep.
 * And `help bogus` as `bogus`, which is refused: the library would show the help of what is above.
 */
function helpOfInner(argv: readonly string[], program: Command): readonly string[] {
  const [first, ...path] = argv;
  const [last] = path.slice(-1);
  if (first !== "help" || last === undefined) return argv;
  let command: CommandUnknownOpts = program as CommandUnknownOpts;
  for (const [at, name] of path.entries()) {
    const inner = command.commands.find((one) => one.name() === name);
    if (inner === undefined) return name.startsWith("-") ? argv : path.slice(0, at + 1);
    command = inner;
  }
  return [...path.slice(0, -1), "help", last];
}

/** An empty value comes from a variable that is not set. @throws {TunnelError} `USAGE` */
function refuseEmptyValues(command: CommandUnknownOpts): void {
  for (const option of command.options) {
    if (command.getOptionValue(option.attributeName()) !== "") continue;
    throw new TunnelError(
      "USAGE",
      `${option.long}: its value is empty (is it a variable that is not set?)`,
    );
  }
}

/** A command with those it belongs to, as it is typed. */
function pathOf(command: CommandUnknownOpts): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function makeProgram(io: Io, outcome: Outcome): Command {
  const program = new Command("mcptun");
  program
    .description("Reach a private MCP server from outside, over QUIC, with no open port")
    .version(readProduct().version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .hook("preAction", (_program, command) => refuseEmptyValues(command))
    .addHelpText("after", examples("mcptun dev", "mcptun init", "mcptun edge", "mcptun help rift"));
  program.addCommand(devCommand(io));
  program.addCommand(initCommand(io));
  program.addCommand(edgeCommand(io));
  program.addCommand(riftCommand(io));
  program.addCommand(statusCommand(io));
  program.addCommand(tokenCommand(io));
  program.addCommand(configCommand(io));
  program.addCommand(policyCommand(io, outcome));
  program.addCommand(auditCommand(io, outcome));
  program.addCommand(doctorCommand(io, outcome));
  for (const command of allCommands(program as Command)) {
    command
      .exitOverride()
      .helpOption("-h, --help", "print help")
      .allowExcessArguments(false)
      .showHelpAfterError(`(see "${pathOf(command)} --help")`)
      .configureOutput({
        writeOut: (text) => void io.stdout.write(text),
        writeErr: (text) => void io.stderr.write(text),
        outputError: (text, write) => write(text.replace(/^error: /, "mcptun: ")),
        // Pipes and tests have no width; 100 is what the documents use.
        getOutHelpWidth: () => 100,
        getErrHelpWidth: () => 100,
      });
  }
  return program as Command;
}

function devCommand(io: Io): Command {
  return new Command("dev")
    .description("Run edge, rift and a sample MCP server here, to try everything in one minute")
    .option("--upstream <url>", "your own MCP server instead of the sample")
    .option("--port <number>", "public port on loopback; 0 takes a free one", "7331")
    .option("--policy <file>", "judge every call by this policy file, and print each decision")
    .option("--user <name>", "who the token of this run is for", "dev")
    .option("--groups <names>", "groups of that user; separate with commas")
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun dev",
        "mcptun dev --policy user.toml --user alice --groups frontend",
        "mcptun dev --upstream http://127.0.0.1:9090/mcp",
        "mcptun dev --json --port 0",
      ),
    )
    .action(async (options) =>
      (await import("./dev_command.ts")).runDev(io, options)
    ) as unknown as Command;
}

function initCommand(io: Io): Command {
  return new Command("init")
    .description("Write a commented mcptun.toml for this host")
    .option("--config <file>", "the file to write", DEFAULT_FILE)
    .addHelpText("after", examples("mcptun init", "mcptun init --config /etc/mcptun/mcptun.toml"))
    .action((options) => runInit(io, options)) as unknown as Command;
}

function edgeCommand(io: Io): Command {
  return new Command("edge")
    .description("Run the public role: serve MCP clients, take the connections of rifts")
    .addOption(configOption())
    .addOption(keyOption("--listen <address>", "edge.listen"))
    .addOption(keyOption("--tunnel-listen <address>", "edge.tunnel_listen"))
    .addOption(stateDirOption())
    .addOption(keyOption("--log-level <level>", "log.level"))
    .addOption(keyOption("--log-format <format>", "log.format"))
    .addHelpText(
      "after",
      examples(
        "mcptun edge",
        "mcptun edge --config /etc/mcptun/mcptun.toml",
        "mcptun edge --listen 127.0.0.1:9000",
      ),
    )
    .action(async (options) =>
      (await import("./edge_command.ts")).runEdge(io, options)
    ) as unknown as Command;
}

function riftCommand(io: Io): Command {
  return new Command("rift")
    .description("Run the private role: dial the edge, forward to the private servers")
    .addOption(configOption())
    .addOption(keyOption("--protocol <protocol>", "rift.protocol"))
    .option(
      "--token-file <file>",
      'file with the credential, "-" for standard input (else: MCPTUN_TOKEN, rift.token_file)',
    )
    .option(
      "--expose <tunnel=url>",
      "serve a tunnel from a private server; repeat for more (replaces [[rift.expose]])",
      collect,
    )
    .addOption(keyOption("--edge-address <address>", "rift.edge_address"))
    .addOption(keyOption("--log-level <level>", "log.level"))
    .addOption(keyOption("--log-format <format>", "log.format"))
    .addHelpText(
      "after",
      examples(
        "mcptun rift --token-file rift.token --expose code-server=http://127.0.0.1:9090/mcp",
        "mcptun rift --protocol http --token-file rift.token --expose wiki=http://127.0.0.1:3000",
        "mcptun rift --config /etc/mcptun/mcptun.toml",
      ),
    )
    .action(async (options) =>
      (await import("./rift_command.ts")).runRift(io, options)
    ) as unknown as Command;
}

function statusCommand(io: Io): Command {
  return new Command("status")
    .description("Show what the edge on this host is doing: tunnels, rifts, load, errors")
    .addOption(configOption())
    .addOption(stateDirOption())
    .option("--json", "print one line of JSON instead of tables")
    .option("--watch [seconds]", "look again and again (default: every 2 seconds)")
    .addHelpText(
      "after",
      examples(
        "mcptun status",
        "mcptun status --config /etc/mcptun/mcptun.toml --watch",
        "mcptun status --json",
      ),
    )
    .action(async (options) =>
      (await import("./status_command.ts")).runStatus(io, options)
    ) as unknown as Command;
}

function configCommand(io: Io): Command {
  const check = new Command("check")
    .description("Check the configuration; print every effective value and where it came from")
    .addOption(configOption())
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun config check",
        "mcptun config check --config /etc/mcptun/mcptun.toml --json",
      ),
    )
    .action((options) => runConfigCheck(io, options));
  return new Command("config")
    .description("Work on the configuration")
    .addCommand(check as unknown as Command)
    .addHelpText("after", examples("mcptun config check")) as unknown as Command;
}

function doctorCommand(io: Io, outcome: Outcome): Command {
  return new Command("doctor")
    .description("Find what is broken on the way to an MCP server, and how to mend it")
    .option("--url <url>", "walk the way of an MCP client to this URL")
    .option("--rift", "walk the way of a rift, on the private host")
    .option(
      "--token-file <file>",
      'file with the token of a user, or for --rift the credential; "-" for standard input ' +
        "(else: MCPTUN_USER_TOKEN; for --rift MCPTUN_TOKEN, rift.token_file)",
    )
    .option("--ca <file>", "PEM certificates to trust besides the system's (--url)")
    .addOption(configOption())
    .option(
      "--expose <tunnel=url>",
      "a private server to check instead of [[rift.expose]]; repeat for more (--rift)",
      collect,
    )
    .addOption(keyOption("--edge-address <address>", "rift.edge_address"))
    .option("--timeout <duration>", "time each question may take (default: 10s)")
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun doctor --url https://mcp.example.com/code-server/mcp --token-file user.token",
        "mcptun doctor --rift --config /etc/mcptun/mcptun.toml",
        "mcptun doctor --rift --json",
      ),
    )
    .action(async (options) => {
      outcome.exitCode = await (await import("./doctor_command.ts")).runDoctor(io, options);
    }) as unknown as Command;
}

function policyCommand(io: Io, outcome: Outcome): Command {
  const config = () =>
    new Option("--config <file>", "judge by the tunnels' own rules of this configuration too");
  const check = new Command("check")
    .description(
      "Check a policy file: its form, its [[test]] cases, and what is probably not meant",
    )
    .argument("<file>", "the policy file, such as user.toml")
    .addOption(config())
    .option("--json", "print one line of JSON instead of text")
    .option("--strict", "let warnings count as problems")
    .addHelpText(
      "after",
      examples(
        "mcptun policy check user.toml",
        "mcptun policy check user.toml --config mcptun.toml --strict",
      ),
    )
    .action((file, options) => runPolicyCheck(io, file, options));
  const explain = new Command("explain")
    .description("Say what a user may do, layer by layer, with the rule that decides")
    .argument("<file>", "the policy file, such as user.toml")
    .requiredOption("--user <name>", "the user")
    .option("--groups <names>", "groups of the user; separate with commas")
    .requiredOption("--tunnel <name>", "the tunnel")
    .option("--tool <name>", "may the user call this tool?")
    .option("--resource <uri>", "may the user read this resource?")
    .option("--prompt <name>", "may the user get this prompt?")
    .option("--method <name>", "may the user call this method?")
    .addOption(config())
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun policy explain user.toml --user alice --tunnel code-server --tool read_file",
        "mcptun policy explain user.toml --user bob --groups ops,dev --tunnel code-server \\\n" +
          "      --resource file:///repo/README.md --config mcptun.toml --json",
      ),
    )
    .action((file, options) => runPolicyExplain(io, file, options));
  const replay = new Command("replay")
    .description("Say which decisions of the audit trail a policy file would change")
    .argument("<file>", "the policy file, such as user.toml")
    .option(
      "--since <time>",
      `calls made then or later: 24h ago, or 2026-11-23T10:00 (UTC) ${DAY_TEXT}`,
    )
    .option("--until <time>", "calls made before that")
    .addOption(auditFileOption())
    .addOption(config())
    .option("--json", "print one line of JSON instead of text")
    .addHelpText(
      "after",
      examples(
        "mcptun policy replay user.toml --since 24h --config mcptun.toml",
        "mcptun policy replay user.toml --since 7d --file audit.jsonl --json",
      ),
    )
    .action(async (file, options) => {
      const { runPolicyReplay } = await import("./policy_replay_command.ts");
      outcome.exitCode = await runPolicyReplay(io, file, options);
    });
  return new Command("policy")
    .description("Work on the rules of who may use what")
    .addCommand(check as unknown as Command)
    .addCommand(explain as unknown as Command)
    .addCommand(replay as unknown as Command)
    .addHelpText("after", examples("mcptun policy check user.toml")) as unknown as Command;
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap((inner) => allCommands(inner as Command))];
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
