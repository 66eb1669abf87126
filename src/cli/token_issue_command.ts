/** `mcptun token issue`: a credential for a rift, or a token for a user. @module */

import { systemClock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { encodeCredential, issueRiftCredential } from "../identity/credential.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { openTunnelCa } from "../identity/tunnel_ca.ts";
import { issueUserToken } from "../identity/user_token_issue.ts";
import { UserTokenStore } from "../identity/user_token_store.ts";
import { compileNameGlob } from "../policy/name_glob.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import type { Io } from "./io.ts";
import { loadFor, loadOrHint, stateDirFlag, stateDirOf, type StatePlace } from "./key_option.ts";
import { columns, timeOf, warn } from "./report.ts";
import { type TokenOutputOptions, withTokenOutput } from "./token_output.ts";
import { dialedAddress, shownName, ttlOf } from "./token_values.ts";

/** What `token issue` is told. */
export interface TokenIssueOptions extends TokenOutputOptions, StatePlace {
  /** Either this or `user`. */
  readonly rift?: string | undefined;
  readonly user?: string | undefined;
  /** Globs; with `rift` only. */
  readonly tunnels?: readonly string[] | undefined;
  /** With `user` only. */
  readonly groups?: readonly string[] | undefined;
  readonly ttl?: string | undefined;
}

/** Prints the secret on stdout, or writes it to `--out`; facts go to stderr. @throws {TunnelError} */
export async function runTokenIssue(io: Io, options: TokenIssueOptions): Promise<void> {
  const { rift, user, tunnels, groups, ttl } = options;
  if (rift !== undefined && user === undefined) {
    if (groups !== undefined) throw usage("--groups is for users: it goes with --user, not --rift");
    if (tunnels === undefined) {
      throw usage("--tunnels is missing: a rift may claim nothing without (such as 'team-a-*')");
    }
    if (ttl === undefined) throw usage("--ttl is missing: the lifetime, such as 12h or 30d");
    await issueForRift(io, options, { name: rift, tunnels, ttlMs: ttlOf(ttl) });
  } else if (user !== undefined && rift === undefined) {
    if (tunnels !== undefined) {
      throw usage("--tunnels is for rifts: it goes with --rift, not --user");
    }
    const ttlMs = ttl === undefined ? undefined : ttlOf(ttl);
    await issueForUser(io, options, { user, groups: [...new Set(groups)], ttlMs });
  } else {
    if (rift !== undefined) throw usage("--rift or --user, not both: one token is for one of them");
    throw usage(
      "Say who it is for: --rift NAME for a rift, or --user NAME for who uses an MCP client",
    );
  }
}

interface RiftWish {
  readonly name: string;
  readonly tunnels: readonly string[];
  readonly ttlMs: number;
}

async function issueForRift(
  io: Io,
  options: TokenIssueOptions,
  { name, tunnels, ttlMs }: RiftWish,
): Promise<void> {
  const { config, file } = loadFor(io, options.config, stateDirFlag(options));
  const address = dialedAddress(config);
  const matches = tunnels.map((glob) => [glob, compileNameGlob([glob])] as const);
  const clock = systemClock;
  // The facts below say it all; the first start of a CA is no news to the one who asks for a token.
  const level = config.log.level === "debug" ? "debug" : "warn";
  const log = pinoLogger({ ...config.log, level, destination: io.stderr });
  const { stateDir } = config.edge;
  const credential = await withTokenOutput(io, options, async (output) => {
    const ca = await openTunnelCa({ stateDir, clock, log });
    const store = await CredentialStore.open({ stateDir });
    const issued = await issueRiftCredential({ ca, store, name, tunnels, ttlMs, address, clock });
    const { serial, expiresAtMs } = issued;
    try {
      await output.give(encodeCredential(issued), {
        kind: "rift",
        name,
        serial,
        tunnels,
        expiresAtMs,
        address,
      });
    } catch (error) {
      // Nobody has this credential: its name must be free for the next try.
      await store.revoke(name);
      throw error;
    }
    return issued;
  });
  if (options.json !== true) {
    const covered = config.tunnels.filter(({ name }) => matches.some(([, match]) => match(name)));
    io.stderr.write(columns([
      ["rift", credential.name],
      [
        "tunnels",
        `${tunnels.join(", ")}  (declared now: ${
          covered.map(({ name }) => name).join(", ") || "none"
        })`,
      ],
      ["ends", timeOf(credential.expiresAtMs)],
      ["dials", `${credential.address} (UDP)`],
      ["state", stateDir],
      ...(options.out === undefined ? [] : [["written to", options.out]]),
    ]));
  }
  for (const [glob, match] of matches) {
    if (config.tunnels.some(({ name }) => match(name))) continue;
    const where = file === undefined ? "there is no mcptun.toml here" : `in ${file}`;
    warn(io, `${JSON.stringify(glob)} matches no declared tunnel (${where})`);
  }
}

interface UserWish {
  readonly user: string;
  readonly groups: readonly string[];
  readonly ttlMs: number | undefined;
}

async function issueForUser(
  io: Io,
  options: TokenIssueOptions,
  { user, groups, ttlMs }: UserWish,
): Promise<void> {
  // A named folder needs no configuration, which then only gives a warning.
  const wish = "issue";
  const loaded = options.stateDir === undefined ? loadOrHint(io, options.config, wish) : undefined;
  const stateDir = loaded?.config.edge.stateDir ?? stateDirOf(io, options, wish);
  const record = await withTokenOutput(io, options, async (output) => {
    const store = await UserTokenStore.open({ stateDir });
    const issued = await issueUserToken({ store, user, groups, ttlMs, clock: systemClock });
    const { id, expiresAtMs } = issued.record;
    try {
      await output.give(issued.token, { kind: "user", name: user, id, groups, expiresAtMs });
    } catch (error) {
      await store.revoke({ user, id }); // nobody has this token
      throw error;
    }
    return issued.record;
  });
  if (options.json !== true) {
    io.stderr.write(columns([
      ["user", shownName(user)],
      ["id", record.id],
      ["groups", groups.map(shownName).join(", ") || "none"],
      ["ends", record.expiresAtMs === null ? "never, unless revoked" : timeOf(record.expiresAtMs)],
      ["state", stateDir],
      ...(options.out === undefined ? [] : [["written to", options.out]]),
    ]));
    io.stderr.write("A running edge accepts it within 2 s\n");
  }
  if (loaded !== undefined && !loaded.config.tunnels.some(({ auth }) => auth === "edge")) {
    const { file } = loaded;
    const where = file === undefined ? "there is no mcptun.toml here" : `in ${file}`;
    warn(io, `no declared tunnel has auth = "edge", so none asks for this token (${where})`);
  }
}

function usage(message: string): TunnelError {
  return new TunnelError("USAGE", message);
}
