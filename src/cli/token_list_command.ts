/** `mcptun token list`: the credentials of rifts and the tokens of users; never a secret. @module */

import { existsSync } from "node:fs";

import { systemClock } from "../clock.ts";
import { type CredentialRecord, CredentialStore } from "../identity/credential_store.ts";
import { RiftsSeen } from "../identity/rifts_seen.ts";
import {
  isActiveUserToken,
  type UserTokenRecord,
  UserTokenStore,
} from "../identity/user_token_store.ts";
import { type Logger, silentLogger } from "../log.ts";
import { connectedRifts } from "./connected_rifts.ts";
import type { Io } from "./io.ts";
import { stateDirOf, type StatePlace } from "./key_option.ts";
import { columns, timeOf, warn } from "./report.ts";
import { distanceOf, shownName } from "./token_values.ts";

/** What `token list` is told. */
export interface TokenListOptions extends StatePlace {
  /** Also those that are revoked or have ended. */
  readonly all?: true | undefined;
  readonly json?: true | undefined;
}

/** `rotated` and `renewed`: still good, but there is another in its place. */
type State = "active" | "rotated" | "renewed" | "revoked" | "ended";

interface RiftRow {
  readonly name: string;
  readonly serial: string;
  readonly tunnels: readonly string[];
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly lastSeenMs: number | null;
  /** `null`: no edge runs that could tell. */
  readonly connected: boolean | null;
  readonly state: State;
}

interface UserRow {
  readonly name: string;
  readonly id: string;
  readonly groups: readonly string[];
  readonly issuedAtMs: number;
  readonly expiresAtMs: number | null;
  readonly state: State;
}

/** Prints two tables, or one line of JSON. @throws {TunnelError} `STATE_UNUSABLE`, `CONFIG_INVALID` */
export async function runTokenList(io: Io, options: TokenListOptions): Promise<void> {
  const stateDir = stateDirOf(io, options, "list");
  const nowMs = systemClock.wallNow();
  const listed = existsSync(stateDir)
    ? await readRows(io, stateDir, nowMs)
    : nothingIn(io, stateDir);
  const shown = (row: { readonly state: State }): boolean =>
    options.all === true || (row.state !== "revoked" && row.state !== "ended");
  const rifts = listed.rifts.filter(shown);
  const users = listed.users.filter(shown);
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify({ rifts, users })}\n`);
    return;
  }
  io.stdout.write(
    rifts.length === 0
      ? "Rifts: none\n"
      : `Rifts\n${columns([RIFT_HEADER, ...rifts.map((row) => riftCells(row, nowMs))], "  ")}`,
  );
  io.stdout.write(
    users.length === 0
      ? "Users: none\n"
      : `Users\n${columns([USER_HEADER, ...users.map((row) => userCells(row, nowMs))], "  ")}`,
  );
  const hidden = listed.rifts.length - rifts.length + listed.users.length - users.length;
  if (hidden > 0) {
    io.stdout.write(`${hidden} revoked or ended not shown (--all shows them)\n`);
  }
}

const RIFT_HEADER = ["NAME", "TUNNELS", "ENDS", "LAST SEEN", "CONNECTED", "STATE"];
const USER_HEADER = ["NAME", "ID", "GROUPS", "ENDS", "STATE"];

interface Rows {
  readonly rifts: readonly RiftRow[];
  readonly users: readonly UserRow[];
}

/** Looking must not make the directory. */
function nothingIn(io: Io, stateDir: string): Rows {
  warn(
    io,
    `there is no state directory ${
      JSON.stringify(stateDir)
    } (is it another --config or --state-dir?)`,
  );
  return { rifts: [], users: [] };
}

async function readRows(io: Io, stateDir: string, nowMs: number): Promise<Rows> {
  const rifts = await (await CredentialStore.open({ stateDir })).list();
  const users = await (await UserTokenStore.open({ stateDir })).list();
  const seen = await RiftsSeen.open({ stateDir, clock: systemClock, log: warningsTo(io) });
  const connected = await connectedRifts(io, { stateDir });
  const renewed = new Set(rifts.map(({ renews }) => renews));
  return {
    rifts: rifts.map((record) => {
      const { name, serial, tunnels, issuedAtMs, expiresAtMs } = record;
      const isConnected = connected?.has(serial) ?? null;
      const lastSeenMs = isConnected === true ? Math.trunc(nowMs) : seen.of(serial)?.lastSeenMs;
      return {
        name,
        serial,
        tunnels,
        issuedAtMs,
        expiresAtMs,
        lastSeenMs: lastSeenMs ?? null,
        connected: isConnected,
        state: riftState(record, renewed, nowMs),
      };
    }).sort(byName),
    users: users.map((record) => {
      const { user: name, id, groups, issuedAtMs, expiresAtMs } = record;
      return { name, id, groups, issuedAtMs, expiresAtMs, state: userState(record, nowMs) };
    }).sort(byName),
  };
}

function riftState(
  record: CredentialRecord,
  renewed: ReadonlySet<string | undefined>,
  nowMs: number,
): State {
  if (record.revoked) return "revoked";
  if (record.expiresAtMs <= nowMs) return "ended";
  if (record.rotated === true) return "rotated";
  return renewed.has(record.serial) ? "renewed" : "active";
}

function userState(record: UserTokenRecord, nowMs: number): State {
  if (isActiveUserToken(record, nowMs)) return "active";
  return record.revoked ? "revoked" : "ended";
}

interface Named {
  readonly name: string;
  readonly issuedAtMs: number;
}

/** Not by locale: the order is the same on every host. */
function byName(a: Named, b: Named): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : a.issuedAtMs - b.issuedAtMs;
}

function riftCells(row: RiftRow, nowMs: number): readonly string[] {
  const { name, tunnels, expiresAtMs, lastSeenMs, connected, state } = row;
  const lastSeen = connected === true
    ? "now"
    : lastSeenMs === null
    ? "-"
    : `${timeOf(lastSeenMs)}, ${distanceOf(lastSeenMs, nowMs)}`;
  return [
    shownName(name),
    tunnels.join(", "),
    `${timeOf(expiresAtMs)}, ${distanceOf(expiresAtMs, nowMs)}`,
    lastSeen,
    connected === null ? "-" : connected ? "yes" : "no",
    state === "rotated" || state === "renewed"
      ? `${state}, ends ${distanceOf(expiresAtMs, nowMs)}`
      : state,
  ];
}

function userCells(row: UserRow, nowMs: number): readonly string[] {
  const { name, id, groups, expiresAtMs, state } = row;
  return [
    shownName(name),
    id,
    groups.map(shownName).join(", ") || "-",
    expiresAtMs === null ? "never" : `${timeOf(expiresAtMs)}, ${distanceOf(expiresAtMs, nowMs)}`,
    state,
  ];
}

function warningsTo(io: Io): Logger {
  return {
    ...silentLogger,
    warn: (message, fields) => warn(io, `${message}: ${String(fields?.["error"] ?? "")}`),
  };
}
