/**
 * Asks a private server, through its tunnel, whether it is there: what "ready" means.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { quicOf } from "../errors.ts";
import { PROBE_TIMEOUT_MS } from "../limits.ts";
import type { Stream } from "../transport/transport.ts";
import { encodeRequestHead, type ResponseHead, responseHeadReader } from "../wire/head.ts";
import type { ProbeResult } from "./edge_status.ts";
import type { RiftLink } from "./registry.ts";

/** What to ask, and for how long. */
export interface ProbeOptions {
  readonly tunnel: string;
  readonly link: RiftLink;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Sends `OPTIONS`, which changes nothing, and takes any status of the private server for an answer.
 * Never rejects.
 */
export function probeTunnel({ tunnel, link, clock, signal }: ProbeOptions): Promise<ProbeResult> {
  const startedAtMs = clock.now();
  return new Promise((resolve) => {
    let stream: Stream | undefined;
    const reader = responseHeadReader();
    const settle = (result: ProbeResult): void => {
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
      stream?.abort(quicOf("ABORTED"));
      resolve(result);
    };
    const fail = (reason: string): void => settle({ answered: false, reason });
    const onAbort = (): void => fail("the probe was given up");
    const timer = clock.setTimer(
      PROBE_TIMEOUT_MS,
      () => fail(`no answer in ${PROBE_TIMEOUT_MS} ms`),
      "no",
    );
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) return onAbort();
    try {
      stream = link.connection.openStream({
        onData(chunk, fin) {
          let head: ResponseHead | undefined;
          try {
            head = reader.push(chunk)?.head;
          } catch {
            return fail("the rift's answer cannot be read"); // the reader's text is for its log
          }
          if (head === undefined) return fin ? fail("the rift gave no answer") : undefined;
          if (head.error !== undefined) return fail(head.error);
          settle({ answered: true, tookMs: clock.now() - startedAtMs });
        },
        onDrain() {},
        onStopped() {},
        onAbort: () => fail("the rift broke off"),
      });
      stream.end(encodeRequestHead({
        tunnel,
        method: "OPTIONS",
        target: "",
        publicHost: "localhost",
        publicScheme: "http",
        clientAddress: "127.0.0.1",
        exchangeId: "probe",
        known: "edge",
        headers: ["Accept", "*/*"],
      }));
    } catch {
      fail("the rift takes no more exchanges"); // closed, or at its stream limit
    }
  });
}
