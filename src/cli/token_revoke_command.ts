/** `mcptun token revoke`: ends the credential of a rift, or tokens of a user, before their time. @module */

import { existsSync } from "node:fs";

import { TunnelError } from "../errors.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { quotedName } from "../identity/user_name.ts";
import { UserTokenStore } from "../identity/user_token_store.ts";
import type { Io } from "./io.ts";
import { stateDirOf, type StatePlace } from "./key_option.ts";
import { nearestHint } from "./token_values.ts";

/** What `token revoke` is told. */
export interface TokenRevokeOptions extends StatePlace {
  /** Name of a rift; either this or `user`. */
  readonly rift?: string | undefined;
  readonly user?: string | undefined;
  /** One token of the user. */
  readonly id?: string | undefined;
  readonly json?: true | undefined;
}

/** What was done, as `--json` prints it. */
interface Revocation {
  readonly kind: "rift" | "user";
  readonly name: string;
  /** Serial numbers of credentials, ids of tokens; empty when all were revoked already. */
  readonly revoked: readonly string[];
}

/** Revokes and says what. @throws {TunnelError} `USAGE` for an unknown name, `STATE_UNUSABLE` */
export async function runTokenRevoke(io: Io, options: TokenRevokeOptions): Promise<void> {
  const { rift, user, id } = options;
  if ((rift === undefined) === (user === undefined)) {
    throw usage(
      rift === undefined
        ? "Say whose: the NAME of a rift, or --user NAME"
        : "The NAME of a rift or --user NAME, not both",
    );
  }
  if (id !== undefined && user === undefined) {
    throw usage("--id is for tokens of users: it goes with --user");
  }
  const stateDir = stateDirOf(io, options, "revoke");
  if (!existsSync(stateDir)) {
    throw usage(
      `Cannot revoke: there is no state directory ${JSON.stringify(stateDir)}, ` +
        "so nothing was issued (is it another --config or --state-dir?)",
    );
  }
  const done = user === undefined
    ? await revokeRift(stateDir, rift!) // one of them is given
    : await revokeUser(stateDir, user, id);
  if (options.json === true) io.stdout.write(`${JSON.stringify(done)}\n`);
  else io.stdout.write(sentenceOf(done));
}

async function revokeRift(stateDir: string, name: string): Promise<Revocation> {
  const store = await CredentialStore.open({ stateDir });
  const names = (await store.list()).map((record) => record.name);
  if (!names.includes(name)) {
    const users = await (await UserTokenStore.open({ stateDir })).list();
    const hint = users.some(({ user }) => user === name)
      ? "(a user has it: add --user)"
      : nearestHint(name, names);
    throw usage(`Cannot revoke ${quotedName(name)}: no rift's credential has this name ${hint}`);
  }
  const changed = await store.revoke(name);
  return { kind: "rift", name, revoked: changed.map(({ serial }) => serial) };
}

async function revokeUser(
  stateDir: string,
  user: string,
  id: string | undefined,
): Promise<Revocation> {
  const store = await UserTokenStore.open({ stateDir });
  const records = await store.list();
  const own = records.filter((record) => record.user === user);
  if (own.length === 0) {
    const hint = nearestHint(user, records.map((record) => record.user));
    throw usage(`Cannot revoke: user ${quotedName(user)} has no token ${hint}`);
  }
  if (id !== undefined && !own.some((record) => record.id === id)) {
    const ids = own.filter(({ revoked }) => !revoked).map((record) => record.id);
    throw usage(
      `Cannot revoke: user ${quotedName(user)} has no token with id ${quotedName(id)} ` +
        `(not revoked are: ${ids.slice(0, MAX_LISTED).join(", ") || "none"})`,
    );
  }
  const changed = await store.revoke({ user, id });
  return { kind: "user", name: user, revoked: changed.map((record) => record.id) };
}

/** Ids that an error names. */
const MAX_LISTED = 20;

function sentenceOf({ kind, name, revoked }: Revocation): string {
  const whose = `${kind} ${quotedName(name)}`;
  if (revoked.length === 0) return `Nothing to do: ${whose} was revoked already\n`;
  const what = kind === "rift" ? "credential" : "token";
  const count = revoked.length === 1 ? `1 ${what}` : `${revoked.length} ${what}s`;
  const list = revoked.length > MAX_LISTED ? "" : ` (${revoked.join(", ")})`;
  const effect = kind === "rift"
    ? "A running edge closes its connections within 2 s"
    : revoked.length === 1
    ? "A running edge refuses it and ends its event streams within 2 s"
    : "A running edge refuses them and ends their event streams within 2 s";
  return `Revoked ${count} of ${whose}${list}\n${effect}\n`;
}

function usage(message: string): TunnelError {
  return new TunnelError("USAGE", message);
}
