/**
 * What a running edge has in its state directory, and how it follows what commands change there.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import type { Edge } from "../edge/edge.ts";
import { CredentialStore } from "../identity/credential_store.ts";
import { type RiftAuthority, riftAuthority } from "../identity/rift_authority.ts";
import { RiftsSeen } from "../identity/rifts_seen.ts";
import { openTunnelCa, type TunnelCa } from "../identity/tunnel_ca.ts";
import { UserTokenStore } from "../identity/user_token_store.ts";
import { RENEWAL_CHECK_MS, SEEN_LOOK_MS } from "../limits.ts";
import type { Logger } from "../log.ts";

/** What is needed to open it. */
export interface EdgeStateOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The state directory of one edge. */
export class EdgeState {
  readonly ca: TunnelCa;
  readonly credentials: CredentialStore;
  readonly userTokens: UserTokenStore;
  readonly #seen: RiftsSeen;
  readonly #options: EdgeStateOptions;

  private constructor(
    options: EdgeStateOptions,
    parts: Pick<EdgeState, "ca" | "credentials" | "userTokens"> & { readonly seen: RiftsSeen },
  ) {
    this.#options = options;
    this.ca = parts.ca;
    this.credentials = parts.credentials;
    this.userTokens = parts.userTokens;
    this.#seen = parts.seen;
  }

  /** @throws {TunnelError} `STATE_UNUSABLE` with the path and what to do. */
  static async open(options: EdgeStateOptions): Promise<EdgeState> {
    const { stateDir, clock, log } = options;
    return new EdgeState(options, {
      ca: await openTunnelCa(options),
      credentials: await CredentialStore.open({ stateDir }),
      userTokens: await UserTokenStore.open({ stateDir }),
      seen: await RiftsSeen.open({ stateDir, clock, log }),
    });
  }

  /** Decides about rifts. Whoever it lets in was seen, however short the visit. */
  authority(): RiftAuthority {
    const { clock, log } = this.#options;
    const authority = riftAuthority({ ca: this.ca, store: this.credentials, clock, log });
    return {
      ...authority,
      verify: async (certificates) => {
        const rift = await authority.verify(certificates);
        this.#seen.seen(rift.name, rift.serial);
        return rift;
      },
    };
  }

  /** Tells the edge what changed, renews its certificate in time, and notes which rifts were there. */
  follow(edge: Edge, signal: AbortSignal): void {
    const { clock, log } = this.#options;
    this.credentials.watch({ clock, signal, onChange: () => edge.recheckRifts() });
    const readTokens = async (): Promise<void> => {
      await this.userTokens.reload().catch((error: unknown) => {
        log.error("Cannot read the list of user tokens, the one before stays in force", {
          error: String(error),
        });
      });
      edge.recheckClients();
    };
    this.userTokens.watch({ clock, signal, onChange: readTokens });
    // What changed since it was opened; handles its own failures.
    void readTokens();
    this.#every(SEEN_LOOK_MS, signal, () => this.note(edge));
    this.#every(RENEWAL_CHECK_MS, signal, () => {
      this.ca.serverMaterial().then((material) => edge.useTunnelTls(material)).catch(
        (error: unknown) => {
          log.error("Cannot renew the tunnel certificate", { error: String(error) });
        },
      );
    });
  }

  /** Notes which rifts are connected now. */
  note(edge: Edge): void {
    for (const { name, serial, healthy } of edge.status().rifts) {
      if (healthy) this.#seen.seen(name, serial);
    }
  }

  /** Writes what has to be written. Idempotent; never rejects. */
  close(): Promise<void> {
    return this.#seen.close();
  }

  #every(intervalMs: number, signal: AbortSignal, run: () => void): void {
    const { clock } = this.#options;
    const again = (): void => {
      run();
      timer = clock.setTimer(intervalMs, again, "no");
    };
    let timer = clock.setTimer(intervalMs, again, "no");
    signal.addEventListener("abort", () => timer.cancel(), { once: true });
  }
}
