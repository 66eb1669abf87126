/** `mcptun token issue`: a credential for a rift. @module */

import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

import { systemClock } from "../clock.ts";
import { isWildcard, parseDuration, splitAddress } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import { type Credential, encodeCredential, issueRiftCredential } from "../identity/credential.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { openTunnelCa } from "../identity/tunnel_ca.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import type { Io } from "./io.ts";
import { loadFor } from "./key_option.ts";
import { columns, timeOf, warn } from "./report.ts";

/** What `token issue` is told. */
export interface TokenIssueOptions {
  readonly rift: string;
  /** Globs, separated by commas or given several times. */
  readonly tunnels: readonly string[];
  readonly ttl: string;
  readonly out?: string | undefined;
  readonly config?: string | undefined;
}

/** Prints the credential on stdout, or writes it to `--out`; facts go to stderr. @throws {TunnelError} */
export async function runTokenIssue(io: Io, options: TokenIssueOptions): Promise<void> {
  const { config, file } = loadFor(io, options.config, []);
  const ttl = parseDuration(options.ttl, { minMs: 60_000, maxMs: 3_650 * 86_400_000 });
  if ("problem" in ttl) throw new TunnelError("USAGE", `--ttl: ${ttl.problem}`);
  const ttlMs = ttl.value;
  const { host, port } = splitAddress(config.edge.tunnelAddress);
  if (isWildcard(host) || port === 0) {
    throw new TunnelError(
      "CONFIG_INVALID",
      `edge.tunnel_address: missing, and nobody can dial ${
        JSON.stringify(config.edge.tunnelAddress)
      } ` +
        '(set the name and UDP port that rifts dial, such as tunnel_address = "mcp.example.com:4443")',
    );
  }
  const matches = options.tunnels.map((glob) => [glob, compileNameGlob([glob])] as const);
  const clock = systemClock;
  // The facts below say it all; the first start of a CA is no news to the one who asks for a token.
  const level = config.log.level === "debug" ? "debug" : "warn";
  const log = pinoLogger({ ...config.log, level, destination: io.stderr });
  const out = options.out === undefined ? undefined : reserve(io, options.out);
  const { stateDir } = config.edge;
  const issue = async (): Promise<Credential> => {
    const ca = await openTunnelCa({ stateDir, clock, log });
    const store = await CredentialStore.open({ stateDir });
    const { rift: name, tunnels } = options;
    const address = config.edge.tunnelAddress;
    const issued = await issueRiftCredential({
      ca,
      store,
      name,
      tunnels,
      ttlMs,
      address,
      clock,
    });
    const line = `${encodeCredential(issued).reveal()}\n`;
    try {
      if (out === undefined) await writeOut(io, line);
      else out.fill(line);
    } catch (error) {
      // Nobody has this credential: its name must be free for the next try.
      await store.revoke(name);
      throw error;
    }
    return issued;
  };
  const credential = await issue().catch((error: unknown) => {
    out?.discard();
    throw error;
  });

  const covered = config.tunnels.filter(({ name }) => matches.some(([, match]) => match(name)));
  io.stderr.write(columns([
    ["rift", credential.name],
    [
      "tunnels",
      `${options.tunnels.join(", ")}  (declared now: ${
        covered.map(({ name }) => name).join(", ") || "none"
      })`,
    ],
    ["ends", timeOf(credential.expiresAtMs)],
    ["dials", `${credential.address} (UDP)`],
    ["state", stateDir],
    ...(options.out === undefined ? [] : [["written to", options.out]]),
  ]));
  for (const [glob, match] of matches) {
    if (config.tunnels.some(({ name }) => match(name))) continue;
    const where = file === undefined ? "there is no mcptun.toml here" : `in ${file}`;
    warn(io, `${JSON.stringify(glob)} matches no declared tunnel (${where})`);
  }
}

/** A new file that is either filled or gone. */
interface Reservation {
  fill(text: string): void;
  discard(): void;
}

/** Takes the name before the credential exists: a taken name must not leave a lost credential behind. */
function reserve(io: Io, shown: string): Reservation {
  const path = resolve(io.cwd, shown);
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EEXIST") {
        throw new TunnelError(
          "FILE_EXISTS",
          `${JSON.stringify(shown)} exists and stays as it is: move it away first, or name ` +
            "another file with --out",
        );
      }
      throw cannotWrite(JSON.stringify(shown), error);
    }
  };
  // Kept open: the name could lead to another file by the time the credential is there.
  const file = attempt(() => openSync(path, "wx", 0o600));
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    closeSync(file);
  };
  return {
    fill: (text) =>
      attempt(() => {
        writeFileSync(file, text);
        close();
      }),
    discard: () => {
      close();
      rmSync(path, { force: true });
    },
  };
}

/** Writes to standard output and waits until it is out. @throws {TunnelError} `STATE_UNUSABLE` */
async function writeOut(io: Io, text: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      // Some runtimes throw for a file that is full, others tell the callback.
      io.stdout.write(text, (error) => error ? reject(error) : resolve());
    });
  } catch (error) {
    throw cannotWrite("standard output", error);
  }
}

function cannotWrite(place: string, error: unknown): TunnelError {
  const reason = (error as NodeJS.ErrnoException).code ?? String(error);
  const text = `Cannot write ${place}: ${reason} (make room or name another place)`;
  return new TunnelError("STATE_UNUSABLE", text, { cause: error });
}
