/** `mcptun token rotate`: a rift's next credential, while the one in use still works. @module */

import { existsSync } from "node:fs";

import { systemClock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { encodeCredential, rotateRiftCredential } from "../identity/credential.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { openTunnelCa } from "../identity/tunnel_ca.ts";
import { quotedName } from "../identity/user_name.ts";
import { pinoLogger } from "../runtime/pino_log.ts";
import type { Io } from "./io.ts";
import { loadFor, stateDirFlag, type StatePlace } from "./key_option.ts";
import { columns, timeOf } from "./report.ts";
import { type TokenOutputOptions, withTokenOutput } from "./token_output.ts";
import { dialedAddress, distanceOf, durationOf, nearestHint, ttlOf } from "./token_values.ts";

/** What `token rotate` is told. */
export interface TokenRotateOptions extends TokenOutputOptions, StatePlace {
  readonly rift: string;
  /** Absent: as long as the one in use was made for. */
  readonly ttl?: string | undefined;
  /** How long the one in use still works. */
  readonly overlap: string;
}

/** Prints the new credential on stdout, or writes it to `--out`; facts go to stderr. @throws {TunnelError} */
export async function runTokenRotate(io: Io, options: TokenRotateOptions): Promise<void> {
  const { rift: name, ttl } = options;
  const overlapMs = durationOf("--overlap", options.overlap, 0);
  const wish = ttl === undefined ? {} : { ttlMs: ttlOf(ttl) };
  const { config } = loadFor(io, options.config, stateDirFlag(options));
  const address = dialedAddress(config);
  const { stateDir } = config.edge;
  const clock = systemClock;
  const level = config.log.level === "debug" ? "debug" : "warn";
  const log = pinoLogger({ ...config.log, level, destination: io.stderr });
  await requireKnown(stateDir, name);
  const done = await withTokenOutput(io, options, async (output) => {
    const ca = await openTunnelCa({ stateDir, clock, log });
    const store = await CredentialStore.open({ stateDir });
    const fresh = await rotateRiftCredential({
      ca,
      store,
      name,
      overlapMs,
      address,
      clock,
      ...wish,
    });
    const { serial, tunnels, expiresAtMs } = fresh;
    const before = (await store.active(name, clock.wallNow()))
      .filter((record) => record.serial !== serial);
    const previousEndsMs = Math.max(clock.wallNow(), ...before.map((old) => old.expiresAtMs));
    try {
      await output.give(encodeCredential(fresh), {
        kind: "rift",
        name,
        serial,
        tunnels,
        expiresAtMs,
        previous: before.map((old) => ({ serial: old.serial, expiresAtMs: old.expiresAtMs })),
        address,
      });
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      // The rift still runs on the one before: better a lost new one than a rift without any.
      throw new TunnelError(
        error.code,
        `${error.message}; the new credential is lost, and the one in use still ends ` +
          `${timeOf(previousEndsMs)}: rotate again before`,
        { cause: error },
      );
    }
    return { fresh, previousEndsMs };
  });
  if (options.json === true) return;
  const { fresh, previousEndsMs } = done;
  const nowMs = clock.wallNow();
  const endOf = (atMs: number): string => `${timeOf(atMs)}, ${distanceOf(atMs, nowMs)}`;
  io.stderr.write(columns([
    ["rift", fresh.name],
    ["tunnels", fresh.tunnels.join(", ")],
    ["new one ends", endOf(fresh.expiresAtMs)],
    ["old one ends", previousEndsMs <= nowMs ? "now" : endOf(previousEndsMs)],
    ["dials", `${fresh.address} (UDP)`],
    ...(options.out === undefined ? [] : [["written to", options.out]]),
  ]));
  io.stderr.write(
    previousEndsMs <= nowMs
      ? "Next: the rift ends now. On its host, put the new one in place of the old one, and start it again.\n"
      : "Next: on the rift's host, put the new one into the rift's token file, over the old one. A\n" +
        "running rift takes it from there within seconds. One that got its credential another way\n" +
        "(MCPTUN_TOKEN, standard input) has to be restarted with it before the old one ends.\n",
  );
}

/** Whether it is still good, the store decides. @throws {TunnelError} `USAGE` for an unknown name. */
async function requireKnown(stateDir: string, name: string): Promise<void> {
  if (!existsSync(stateDir)) {
    throw new TunnelError(
      "USAGE",
      `Cannot rotate: there is no state directory ${JSON.stringify(stateDir)}, ` +
        "so nothing was issued (is it another --config or --state-dir?)",
    );
  }
  const names = (await (await CredentialStore.open({ stateDir })).list()).map((one) => one.name);
  if (names.includes(name)) return;
  throw new TunnelError(
    "USAGE",
    `Cannot rotate ${quotedName(name)}: no rift's credential has this name ` +
      nearestHint(name, names),
  );
}
