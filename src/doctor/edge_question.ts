/**
 * Asks an edge what it would grant, without becoming a rift: a hello with the feature "check"
 * registers nothing and replaces nobody.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { quicOf } from "../errors.ts";
import type { Connection, ConnectionEnd, StreamHandler } from "../transport/transport.ts";
import { encodeControl, type Refusal, type TunnelClaim, type Welcome } from "../wire/control.ts";
import { ControlReader } from "../wire/control_reader.ts";
import { FEATURES, SUPPORTED_VERSIONS } from "../wire/version.ts";

/** What is asked. */
export interface EdgeQuestion {
  readonly connection: Connection;
  readonly tunnels: readonly TunnelClaim[];
  /** Unlike that of any running rift, so that an edge takes this for nobody's next connection. */
  readonly instance: string;
  readonly software: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** What the edge says. */
export type EdgeReply =
  | {
    readonly kind: "welcome";
    readonly welcome: Welcome;
    /** One for each tunnel that is not granted. */
    readonly refusals: readonly Refusal[];
    /** This host's wall clock half-way between question and answer, ms. */
    readonly askedAtMs: number;
  }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "broken"; readonly problem: string }
  | { readonly kind: "ended"; readonly end: ConnectionEnd }
  | { readonly kind: "timeout" };

/** Asks over a fresh connection, and closes it. Never rejects. */
export async function askEdge(question: EdgeQuestion): Promise<EdgeReply> {
  const { connection, clock, tunnels } = question;
  const startedMs = clock.now();
  const startedWallMs = clock.wallNow();
  const reply = await new Promise<EdgeReply>((resolve) => {
    const reader = new ControlReader();
    const refusals: Refusal[] = [];
    let welcome: { readonly message: Welcome; readonly askedAtMs: number } | undefined;
    const settle = (outcome: EdgeReply): void => {
      timer.cancel();
      resolve(outcome);
    };
    const timer = clock.setTimer(question.timeoutMs, () => settle({ kind: "timeout" }));
    const look = (): void => {
      if (welcome === undefined) return;
      const { message, askedAtMs } = welcome;
      // An edge that cannot check has done more than that by now: no reason to stay.
      const whole = !message.features.includes(FEATURES.check) ||
        message.tunnels.length + refusals.length >= tunnels.length;
      if (whole) settle({ kind: "welcome", welcome: message, refusals, askedAtMs });
    };
    const handler: StreamHandler = {
      onData(chunk, fin) {
        try {
          for (const message of reader.push(chunk)) {
            if (message.type === "welcome" && welcome === undefined) {
              const halfMs = (clock.now() - startedMs) / 2;
              welcome = { message, askedAtMs: startedWallMs + halfMs };
            } else if (message.type === "refusal") {
              if (message.tunnel === undefined) {
                return settle({ kind: "refused", refusal: message });
              }
              if (refusals.length < tunnels.length) refusals.push(message);
            }
          }
        } catch (error) {
          const problem = error instanceof Error ? error.message : String(error);
          return settle({ kind: "broken", problem });
        }
        look();
        if (fin) settle({ kind: "broken", problem: "The edge ended the control stream" });
      },
      onDrain() {},
      onStopped() {},
      onAbort() {},
    };
    // The edge has no exchange for a connection that registers nothing.
    connection.accept((stream) => {
      stream.abort(quicOf("ABORTED"));
      return handler;
    });
    void connection.closed.then((end) => settle({ kind: "ended", end })); // never rejects
    const control = connection.openStream(handler);
    control.write(encodeControl({
      type: "hello",
      versions: SUPPORTED_VERSIONS,
      features: [FEATURES.check],
      instance: question.instance,
      // Below that of every rift: an older edge, which does not know the feature, then refuses this
      // connection instead of closing the one that serves.
      epoch: 0,
      software: question.software,
      attempt: 0,
      tunnels,
    }));
  });
  connection.close(quicOf("CONNECTION_CLOSED"), "The check is done");
  return reply;
}
